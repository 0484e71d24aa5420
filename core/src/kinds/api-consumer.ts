/** ApiConsumer: schema of its spec, and the parser. A consumer with problems has no credentials at all. */
import { z } from "zod";
import type { Problem } from "../problems.ts";
import { dateTimeMs } from "../schema/date-time.ts";
import { listMap, listSet, textMap } from "../schema/list.ts";
import { parse } from "../schema/parse.ts";
import { secretRef } from "../schema/reference.ts";
import { type Immutable, defaultsTo, oneOrMore, rule } from "../schema/rule.ts";
import { MAX_NAME, dateTime, name, text } from "../schema/text.ts";
import type { KubeObject, ObjectKey } from "../world.ts";
import { fields, textMap as labelsOf } from "./json.ts";
import { type ObjectIdentity, identityOf } from "./object.ts";

export const DEFAULTS = { type: "Application", suspended: false } as const;

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

export const specSchema = oneOrMore(
  z.strictObject({
    type: defaultsTo(z.enum(["Application", "Job", "Person"]), DEFAULTS.type)
      .describe("What calls.")
      .exactOptional(),
    roles: listSet(text(253), 64).describe("Roles, for authorization rules (not there yet).").exactOptional(),
    attributes: rule(textMap(text(), 32), {
      cel: `self.all(k, size(k) <= ${MAX_NAME})`,
      message: "has a name that is too long",
      fix: `write at most ${MAX_NAME} characters`,
      check: (attributes) => Object.keys(attributes).every((key) => key.length <= MAX_NAME),
    })
      .describe("Facts about the consumer, for people and reports.")
      .exactOptional(),
    apiKeys: listMap(apiKey(), "name", 8)
      .describe("API keys; several live ones are a rotation with overlap.")
      .exactOptional(),
    basic: z
      .strictObject({ secretRef: secretRef().describe("Where the password is kept.") })
      .describe("Password; the user name is the consumer's name.")
      .exactOptional(),
    suspended: defaultsTo(z.boolean(), DEFAULTS.suspended)
      .describe("Whether all credentials are refused.")
      .exactOptional(),
  }),
  ["type", "roles", "attributes", "apiKeys", "basic", "suspended"],
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
  readonly suspended: boolean;
  readonly problems: readonly Problem[];
}

export function parseApiConsumer(object: KubeObject): ParsedApiConsumer {
  const identity = identityOf("ApiConsumer", object);
  const parsed = parse(specSchema, object.spec, "spec");
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
    // Nobody can tell what a consumer with problems was meant to be: it is as good as suspended.
    suspended: parsed.ok ? (spec.suspended ?? DEFAULTS.suspended) : true,
    problems: parsed.ok ? [] : parsed.problems,
  };
}
