/**
 * Random policies on the way to a route rule, and a small judge of calls that knows the models and nothing of Envoy: for properties of
 * composition (overrides.prop.test.ts).
 */
import fc from "fast-check";
import type { Layer, SectionState } from "../src/attach/layer.ts";
import { effectiveSections, type Verdict } from "../src/attach/policies.ts";
import { type ParsedApiPolicy, parseApiPolicy } from "../src/kinds/api-policy.ts";
import type { Identity } from "../src/schema/identity.ts";
import type { Level, SectionKey } from "../src/slice.ts";
import { type AnySlice, slices } from "../src/slices.ts";
import type { Model as Allowlist } from "../src/slices/allowlist/slice.ts";
import type { Model as Authentication } from "../src/slices/authentication/model.ts";
import type { Place } from "../src/slices/authentication/place.ts";
import type { Model as Denylist } from "../src/slices/denylist/slice.ts";
import type { Model as Mtls } from "../src/slices/mtls/model.ts";
import { atOf, lookupOf, sourceOf, type World } from "./section.ts";
import { createKeys, jwk, keySet } from "./tokens.ts";

export const LEVELS = ["Gateway", "Listener", "Namespace", "Route", "Rule"] as const satisfies readonly Level[];
const JUDGED: readonly SectionKey[] = ["denylist", "allowlist", "authentication", "mtls", "rateLimit", "logging"];

const keys = createKeys();
const KEYS = keySet(jwk(keys.rsa, { alg: "RS256" }), jwk(keys.p256, { alg: "ES256" }));
const world: World = {
  consumers: ["infra", "shop"].flatMap((namespace) =>
    ["a", "b"].map((name) => ({
      namespace,
      name,
      labels: { name },
      liveKeys: [`${namespace}-${name}`],
      password: "p",
    })),
  ),
};

export interface Written {
  readonly level: number; // index into LEVELS
  readonly name: string;
  readonly spec: Readonly<Record<string, unknown>>;
}

const cidr = fc.constantFrom("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "192.0.2.0/24", "10.1.2.3/32");
const entries = fc
  .uniqueArray(fc.record({ cidr }), { minLength: 1, maxLength: 3, selector: (entry) => entry.cidr })
  .map((list) => ({ entries: list }));
const identity = fc.record({
  type: fc.constantFrom("Exact", "Prefix"),
  san: fc.constant("URI"),
  value: fc.constantFrom("spiffe://a/", "spiffe://a/b", "spiffe://c/"),
});
const identities = fc.array(identity, { minLength: 1, maxLength: 2 });
const some = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const without = (record: object): object =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));

const jwt = fc
  .record({
    issuer: fc.constantFrom("corp", "partner"),
    audiences: some(fc.subarray(["x", "y"], { minLength: 1 })),
    algorithms: some(fc.subarray(["RS256", "ES256"], { minLength: 1 })),
    from: some(fc.constantFrom({ headers: [{ name: "authorization", prefix: "Bearer " }] }, { cookies: ["sid"] })),
  })
  .map(({ issuer, ...more }) => ({ name: issuer, issuer, jwks: { type: "Inline", inline: KEYS }, ...without(more) }));
const apiKey = fc
  .record({
    from: some(fc.constantFrom({ headers: ["x-api-key"] }, { headers: ["x-api-key", "x-other"] })),
    consumerSelector: some(fc.constantFrom("a", "b").map((name) => ({ matchLabels: { name } }))),
  })
  .map(without);
const methods = fc
  .record({
    mode: some(fc.constantFrom("Required", "Optional")),
    jwt: some(fc.uniqueArray(jwt, { minLength: 1, maxLength: 2, selector: ({ name }) => name })),
    apiKey: some(apiKey),
    clientCertificate: some(fc.record({ identities })),
    forbid: some(fc.subarray(["Public", "Optional"], { minLength: 1 })),
  })
  .map(without);
const authentication = fc.oneof(
  { weight: 5, arbitrary: methods },
  { weight: 1, arbitrary: fc.constant({ mode: "Public", reason: "x" }) },
  { weight: 1, arbitrary: fc.record({ forbid: fc.subarray(["Public", "Optional"], { minLength: 1 }) }) },
);
const limits = fc
  .uniqueArray(
    fc.record({
      name: fc.constantFrom("each", "all"),
      requests: fc.constantFrom(1, 10, 100),
      per: fc.constantFrom("1s", "1m"),
      burst: fc.constantFrom(1, 50),
      // What this version cannot do breaks the section.
      scope: fc.constantFrom("PerProxy", "PerProxy", "PerProxy", "PerGateway", "Global"),
    }),
    { minLength: 1, maxLength: 2, selector: ({ name }) => name },
  )
  .map((list) => ({ limits: list }));
const authorization = fc.record({
  rules: fc.uniqueArray(
    fc.record({
      name: fc.constantFrom("read", "write"),
      action: fc.constantFrom("Allow", "Deny"),
      methods: fc.subarray(["GET", "PUT"], { minLength: 1 }),
    }),
    { minLength: 1, maxLength: 2, selector: ({ name }) => name },
  ),
});
const logging = fc.record({
  calls: fc.constantFrom("All", "Denied", "Errors", "None"),
  sampling: fc.constantFrom(0, 50, 100),
  headers: fc.subarray(["x-a", "x-b", "x-c"], { minLength: 1 }),
  fields: fc
    .subarray(["one", "two"], { minLength: 1 })
    .map((names) => Object.fromEntries(names.map((name) => [name, name]))),
});
const mtls = fc
  .record({ mode: fc.constantFrom("Strict", "Optional"), identities: some(identities) })
  .map((client) => ({ client: without(client) }));

const policy: fc.Arbitrary<Written> = fc
  .record({
    level: fc.integer({ min: 0, max: LEVELS.length - 1 }),
    name: fc.stringMatching(/^[a-z]{6}$/),
    precedence: fc.constantFrom("Default", "Override"),
    mode: fc.constantFrom("Enforce", "Enforce", "Enforce", "Audit"),
    failurePolicy: fc.constantFrom("Closed", "Open"),
    sections: fc.record({
      denylist: some(entries),
      allowlist: some(fc.tuple(entries, some(fc.boolean())).map(([list, inherit]) => without({ ...list, inherit }))),
      authentication: some(authentication),
      rateLimit: some(limits),
      authorization: some(authorization),
      logging: some(logging),
      mtls: some(mtls),
    }),
  })
  .map(({ level, name, sections, ...how }) => {
    const { mtls: client, ...others } = sections;
    const placed = level < 2 ? { ...others, mtls: client } : others; // client certificates are the listener's affair
    return { level, name, spec: { targetRefs: [{ kind: "Namespace" }], ...how, ...without(placed) } };
  });

export const hierarchies: fc.Arbitrary<readonly Written[]> = fc.uniqueArray(policy, {
  maxLength: 6,
  selector: ({ name }) => name,
});

const SECTIONS = { denylist: entries, allowlist: entries, authentication, mtls } as const;

/** Hierarchies of one section alone, in every policy. */
export function hierarchiesOf(section: keyof typeof SECTIONS): fc.Arbitrary<readonly Written[]> {
  const one = fc
    .record({
      level: fc.integer({ min: 0, max: section === "mtls" ? 1 : LEVELS.length - 1 }),
      name: fc.stringMatching(/^[a-z]{6}$/),
      precedence: fc.constantFrom("Default", "Override"),
      [section]: SECTIONS[section],
    })
    .map(({ level, name, ...spec }) => ({ level, name, spec: { targetRefs: [{ kind: "Namespace" }], ...spec } }));
  return fc.uniqueArray(one as fc.Arbitrary<Written>, { minLength: 2, maxLength: 4, selector: ({ name }) => name });
}

export interface Call {
  readonly address: string;
  readonly tokens: readonly {
    readonly place: string;
    readonly issuer: string;
    readonly audience: string;
    readonly alg: string;
  }[];
  readonly keys: readonly { readonly place: string; readonly consumer: string }[];
  readonly certificate: string | undefined;
}

const once = <T extends { readonly place: string }>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<readonly T[]> =>
  fc.uniqueArray(arbitrary, { maxLength: 2, selector: ({ place }) => place });

export const calls: fc.Arbitrary<Call> = fc.record({
  address: fc.constantFrom("10.1.2.3", "10.1.2.4", "10.1.9.9", "10.9.9.9", "192.0.2.1", "203.0.113.1"),
  tokens: once(
    fc.record({
      place: fc.constantFrom("header authorization", "cookie sid"),
      issuer: fc.constantFrom("corp", "partner", "nobody"),
      audience: fc.constantFrom("x", "y", "z"),
      alg: fc.constantFrom("RS256", "ES256"),
    }),
  ),
  keys: once(
    fc.record({
      place: fc.constantFrom("header x-api-key", "header x-other"),
      consumer: fc.constantFrom("infra/a", "infra/b", "shop/a", "shop/b", "nobody"),
    }),
  ),
  certificate: fc.constantFrom(undefined, "spiffe://a/b", "spiffe://a/z", "spiffe://d/"),
});

/** What holds for a rule behind these policies. */
export function verdictOf(written: readonly Written[]): Verdict {
  const layers = LEVELS.map((level, at): Layer => {
    const policies = written.filter((one) => one.level === at).map(parsed);
    return { level, policies, overrides: true };
  });
  return effectiveSections(layers, slices, stateOf);
}

function parsed({ level, name, spec }: Written): ParsedApiPolicy {
  const metadata = { name, namespace: namespaceAt(level), uid: name, creationTimestamp: "2026-01-01T00:00:00Z" };
  return parseApiPolicy({ metadata, spec });
}

const namespaceAt = (level: number): string => (level < 2 ? "infra" : "shop");

/** As lookup.ts does it for the engine. */
function stateOf(policy: ParsedApiPolicy, slice: AnySlice): SectionState {
  const spec = policy.sections[slice.key];
  if (spec === undefined) return { ok: false, problems: policy.problems };
  const { name, namespace } = policy.key;
  const source = sourceOf(slice.key, namespace === "infra" ? "Gateway" : "Route", name, namespace);
  const at = { ...atOf({ ...source, precedence: policy.precedence }) };
  const problems = slice.validate(spec as never, at);
  if (problems.length > 0) return { ok: false, problems };
  const resolved = slice.resolve(spec as never, at, lookupOf(world));
  return resolved.ok ? { ok: true, model: resolved.model, warnings: [], clusters: [] } : resolved;
}

/** The model of a section that is enforced. */
export function enforced(verdict: Verdict, section: SectionKey): unknown {
  return verdict.sections.find(({ slice }) => slice.key === section)?.enforced?.model;
}

/** `undecided`: what a route answers whose policies forbid modes and name no method; a floor alone leaves the choice to nearer policies. */
export function refuses(verdict: Verdict, call: Call, undecided = true): boolean {
  if (verdict.closed.length > 0) return true;
  return JUDGED.some((section) => {
    const model = enforced(verdict, section);
    if (model === undefined) return false;
    switch (section) {
      case "denylist":
        return within((model as Denylist).ranges, call.address);
      case "allowlist": {
        const { ranges, floors } = model as Allowlist;
        return [{ ranges }, ...floors].some((list) => !within(list.ranges, call.address));
      }
      case "authentication":
        return unauthenticated(model as Authentication, call, undecided);
      case "mtls":
        return uncertified(model as Mtls, call);
      default:
        return false;
    }
  });
}

function within(ranges: readonly { readonly cidr: string; readonly live: boolean }[], address: string): boolean {
  const bits = (text: string): string =>
    text
      .split(".")
      .map((part) => Number(part).toString(2).padStart(8, "0"))
      .join("");
  return ranges.some(({ cidr: range, live }) => {
    const [network = "", length = "0"] = range.split("/");
    return live && bits(address).startsWith(bits(network).slice(0, Number(length)));
  });
}

const named = (certificate: string, list: readonly Identity[]): boolean =>
  list.some(({ type, value }) => (type === "Exact" ? certificate === value : certificate.startsWith(value)));

function uncertified({ client }: Mtls, { certificate }: Call): boolean {
  if (client === undefined || client.mode === "Off") return false;
  if (certificate === undefined) return client.mode === "Strict";
  return [client.identities, ...client.further.map((list) => list.identities)].some(
    (list) => list.length > 0 && !named(certificate, list),
  );
}

const placeText = (place: Place): string => `${place.in} ${place.name}`;

/** The first credential that is present decides. */
function unauthenticated(
  model: Authentication,
  { tokens, keys: shown, certificate }: Call,
  undecided: boolean,
): boolean {
  if (model.mode === "Undecided") return undecided;
  if (model.mode === "Public") return false;
  const { dropped, issuers } = model;
  const at = <T extends { readonly place: string }>(list: readonly T[], place: Place): T | undefined =>
    list.find((one) => one.place === placeText(place));
  for (const place of dropped?.tokens ?? []) if (at(tokens, place) !== undefined) return true;
  for (const place of issuers.flatMap(({ places }) => places)) {
    const token = at(tokens, place);
    if (token === undefined) continue;
    return !issuers.some(
      ({ issuer, audiences, places, keys: own }) =>
        places.some((other) => placeText(other) === token.place) &&
        issuer === token.issuer &&
        (audiences.length === 0 || audiences.includes(token.audience)) &&
        own.jwks?.includes(`"alg":"${token.alg}"`) === true,
    );
  }
  for (const place of dropped?.keys ?? []) if (at(shown, place) !== undefined) return true;
  for (const place of model.apiKey?.places ?? []) {
    const key = at(shown, place);
    if (key === undefined) continue;
    return !(model.apiKey?.clients?.includes(key.consumer) ?? key.consumer.startsWith(`${model.namespace}/`));
  }
  if (certificate !== undefined && dropped?.certificate === true) return true;
  if (certificate !== undefined && model.identities !== undefined) return !named(certificate, model.identities);
  return model.mode === "Required";
}
