/** ApiConsumer: schema of its spec, and the parser. A consumer with problems has no credentials at all. */
import * as z from "zod";
import { regexFault } from "../envoy/re2.ts";
import type { Problem } from "../problems.ts";
import { dateTimeMs } from "../schema/date-time.ts";
import { type Identity, identities } from "../schema/identity.ts";
import { later } from "../schema/later.ts";
import { atomicList, listMap, listSet } from "../schema/list.ts";
import { invalid, parse, type Parsed } from "../schema/parse.ts";
import { attributes, secretRef } from "../schema/reference.ts";
import { type Immutable, defaultsTo, oneOrMore, rule } from "../schema/rule.ts";
import { dateTime, name, text } from "../schema/text.ts";
import type { TokenClaim } from "../slice.ts";
import type { KubeObject, ObjectKey } from "../world.ts";
import { fields, items, textMap as labelsOf } from "./json.ts";
import { type ObjectIdentity, identityOf } from "./object.ts";
import { claimPath } from "../schema/claim.ts";

export const DEFAULTS = { type: "Application", suspended: false } as const;
export const MAX_TOKENS = 8;
export const MAX_CONSUMER_IDENTITIES = 16;

function apiKey() {
  const shape = z.strictObject({
    name: name().describe("Name of the key."),
    secretRef: secretRef().describe("Where the key is kept."),
    notBefore: dateTime().describe("When the key begins to work; absent: at once.").exactOptional(),
    expiresAt: dateTime().describe("When it ends; absent: never.").exactOptional(),
  });
  return rule(shape, {
    cel: "!has(self.notBefore) || !has(self.expiresAt) || timestamp(self.notBefore) < timestamp(self.expiresAt)",
    message: "ends before it begins",
    fix: "write an expiresAt after notBefore",
    check: ({ notBefore, expiresAt }) =>
      notBefore === undefined || expiresAt === undefined || dateTimeMs(notBefore) < dateTimeMs(expiresAt),
  });
}

function token() {
  return z.strictObject({
    issuer: text().describe("What `iss` of the token is."),
    claim: rule(text(253), {
      cel: "self.contains('://') || !self.matches(r'(^|[.])([.]|$)')",
      message: "has an empty part",
      fix: "write names with single dots between them",
      check: (claim) => claimPath(claim).every((segment) => segment !== ""),
    }).describe("Claim; `.` reaches into objects, but in names that hold `://`, which are taken as they are."),
    value: text().describe("What the claim holds: a text, whole number or boolean."),
  });
}

const tokens = later(() => atomicList(token(), MAX_TOKENS));
const certificates = later(() => identities(1, MAX_CONSUMER_IDENTITIES));

export const specSchema = later(() =>
  oneOrMore(
    z.strictObject({
      type: defaultsTo(z.enum(["Application", "Job", "Person"]), DEFAULTS.type)
        .describe("What calls.")
        .exactOptional(),
      roles: listSet(text(253), 64).describe("Roles, for authorization rules.").exactOptional(),
      attributes: attributes()
        .describe("Facts about the consumer, for selectors, expressions of authorization rules and reports.")
        .exactOptional(),
      apiKeys: listMap(apiKey(), "name", 8)
        .describe("API keys; several live ones are a rotation with overlap.")
        .exactOptional(),
      basic: z
        .strictObject({ secretRef: secretRef().describe("Where the password is kept.") })
        .describe("Password; the user name is the consumer's name.")
        .exactOptional(),
      jwt: tokens().describe("Tokens that are this consumer.").exactOptional(),
      identities: certificates().describe("Client certificates that are this consumer.").exactOptional(),
      suspended: defaultsTo(z.boolean(), DEFAULTS.suspended)
        .describe("Whether all credentials are refused.")
        .exactOptional(),
    }),
    ["type", "roles", "attributes", "apiKeys", "basic", "jwt", "identities", "suspended"],
  ),
);

type SecretRef = Immutable<z.output<ReturnType<typeof secretRef>>>;

export interface ParsedApiKey {
  readonly name: string;
  readonly secretRef: SecretRef;
  readonly notBeforeMs: number | undefined;
  readonly expiresAtMs: number | undefined;
}

export interface ParsedApiConsumer extends ObjectIdentity {
  readonly key: ObjectKey & { readonly kind: "ApiConsumer" };
  readonly labels: Readonly<Record<string, string>>;
  readonly type: "Application" | "Job" | "Person";
  readonly roles: readonly string[];
  readonly attributes: Readonly<Record<string, string>>;
  readonly apiKeys: readonly ParsedApiKey[];
  readonly basic: { readonly secretRef: SecretRef } | undefined;
  /** Also of a consumer that is broken: these are refused, where they would otherwise pass as nobody's. */
  readonly tokens: readonly TokenClaim[];
  readonly identities: readonly Identity[];
  readonly suspended: boolean;
  readonly problems: readonly Problem[];
}

export function parseApiConsumer(object: KubeObject): ParsedApiConsumer {
  const identity = identityOf("ApiConsumer", object);
  const parsed = parseSpec(object.spec);
  const spec = parsed.ok ? parsed.value : {};
  return {
    ...identity,
    labels: labelsOf(fields(object.metadata)["labels"]),
    type: spec.type ?? DEFAULTS.type,
    roles: spec.roles ?? [],
    attributes: spec.attributes ?? {},
    apiKeys: (spec.apiKeys ?? []).map(({ name, secretRef, notBefore, expiresAt }) => ({
      name,
      secretRef,
      notBeforeMs: notBefore === undefined ? undefined : dateTimeMs(notBefore),
      expiresAtMs: expiresAt === undefined ? undefined : dateTimeMs(expiresAt),
    })),
    basic: spec.basic,
    tokens: (parsed.ok ? (spec.jwt ?? []) : legible(object.spec, "jwt", tokens())).map(({ claim, ...rest }) => ({
      ...rest,
      claim: claimPath(claim),
    })),
    identities: parsed.ok
      ? (spec.identities ?? [])
      : legible(object.spec, "identities", certificates()).filter((one) => patternFault(one) === undefined),
    // Nobody can tell what a consumer with problems was meant to be: it is as good as suspended.
    suspended: parsed.ok ? (spec.suspended ?? DEFAULTS.suspended) : true,
    problems: parsed.ok ? [] : parsed.problems,
  };
}

function parseSpec(written: unknown): Parsed<z.output<ReturnType<typeof specSchema>>> {
  const parsed = parse(specSchema(), written, "spec");
  if (!parsed.ok) return parsed;
  // One that Envoy refuses would take everybody's with it.
  const [problem, ...others] = (parsed.value.identities ?? []).flatMap((one, at) => {
    const fault = patternFault(one);
    if (fault === undefined) return [];
    return [invalid(`spec.identities[${at}].value`, fault, "write RE2 (https://github.com/google/re2/wiki/Syntax)")];
  });
  return problem === undefined ? parsed : { ok: false, problems: [problem, ...others] };
}

function patternFault({ type, value }: Identity): string | undefined {
  return type === "Regex" ? regexFault(value) : undefined;
}

/** The entries that can be made out in a spec that cannot be taken as a whole. */
function legible<T extends z.ZodType>(spec: unknown, key: string, list: z.ZodArray<T>): readonly z.output<T>[] {
  return items(fields(spec)[key]).flatMap((entry) => {
    const parsed = list.element.safeParse(entry);
    return parsed.success ? [parsed.data] : [];
  });
}
