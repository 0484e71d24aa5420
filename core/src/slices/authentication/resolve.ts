/** Defaults filled in, key sets and consumers read. */
import { contentHash } from "../../hash.ts";
import type { Problem } from "../../problems.ts";
import { durationMs } from "../../schema/duration.ts";
import { invalid } from "../../schema/parse.ts";
import type { At, Found, Lookup, Resolution } from "../../slice.ts";
import type { JwksSource } from "../../world.ts";
import { pinKeys } from "./key-set.ts";
import type { ApiKey, Basic, Issuer, Keys, Model } from "./model.ts";
import { placesOf } from "./place.ts";
import { DEFAULTS, type JwtSpec, type Spec } from "./schema.ts";
import { sha1Base64 } from "./sha1.ts";

export function resolve(spec: Spec, at: At, lookup: Lookup): Resolution<Model> {
  const { namespace, level } = at.source;
  const problems: Problem[] = [];
  const issuers = (spec.jwt ?? []).flatMap((jwt, index) => {
    const keys = keysOf(jwt, `${at.path}.jwt[${index}].jwks`, namespace, lookup);
    problems.push(...keys.problems);
    return keys.value === undefined ? [] : [issuerOf(jwt, keys.value)];
  });
  const methods = [spec.jwt, spec.apiKey, spec.basic, spec.clientCertificate];
  const decided = spec.mode !== undefined || methods.some((method) => method !== undefined);
  const model: Model = {
    policy: at.source.text,
    mode: decided ? (spec.mode ?? DEFAULTS.mode) : "Undecided",
    forbid: spec.forbid ?? [],
    namespace,
    qualified: level === "Gateway" || level === "Listener",
    issuers,
    ...(spec.apiKey === undefined ? {} : { apiKey: apiKeyOf(spec.apiKey, namespace, lookup) }),
    ...(spec.basic === undefined ? {} : { basic: basicOf(spec.basic, namespace, lookup) }),
    ...(spec.clientCertificate === undefined ? {} : { identities: spec.clientCertificate.identities }),
    ...(spec.clientCertificate?.consumerHeader === undefined
      ? {}
      : { certificateHeader: spec.clientCertificate.consumerHeader }),
    recognises: recognised(spec, lookup.recognises(namespace)),
  };
  const [error, ...errors] = problems.filter(({ severity = "error" }) => severity === "error");
  if (error !== undefined) return { ok: false, problems: [error, ...errors] };
  return problems.length === 0 ? { ok: true, model } : { ok: true, model, warnings: problems };
}

/** What no method asks for is not read, so that consumers of another kind change no route. */
function recognised(
  { jwt, clientCertificate }: Spec,
  { tokens, certificates }: ReturnType<Lookup["recognises"]>,
): Model["recognises"] {
  return { tokens: jwt !== undefined && tokens, certificates: clientCertificate !== undefined && certificates };
}

function issuerOf(jwt: JwtSpec, keys: Keys): Issuer {
  const { audiences = [], claimsToHeaders = [], from = DEFAULTS.jwtFrom, rolesClaim } = jwt;
  return {
    name: jwt.name,
    issuer: jwt.issuer,
    audiences,
    ...(jwt.algorithms === undefined ? {} : { algorithms: jwt.algorithms }),
    keys,
    places: placesOf(from),
    claims: claimsToHeaders,
    ...(rolesClaim === undefined ? {} : { rolesClaim }),
    ...(jwt.consumerHeader === undefined ? {} : { consumerHeader: jwt.consumerHeader }),
    forwardToken: jwt.forwardToken ?? DEFAULTS.forwardToken,
    // 0 would be Envoy's default of a minute.
    clockSkewSeconds: Math.max(1, Math.round(durationMs(jwt.clockSkew ?? DEFAULTS.clockSkew) / 1_000)),
  };
}

interface ReadKeys {
  readonly value: Keys | undefined;
  readonly problems: readonly Problem[];
}

function keysOf(jwt: JwtSpec, path: string, namespace: string, lookup: Lookup): ReadKeys {
  const { jwks = {}, algorithms = DEFAULTS.algorithms } = jwt;
  const named = (what: unknown): string => contentHash([what, algorithms]);
  if (jwks.inline !== undefined) {
    return pinned(jwks.inline, jwt, { id: named(jwks.inline), field: `${path}.inline`, symmetric: false });
  }
  if (jwks.ref !== undefined) {
    const { kind, name, key } = jwks.ref;
    const found = textOf(lookup.value(kind, namespace, name, key), `${path}.ref`);
    if (!found.ok) return { value: undefined, problems: [found.problem] };
    const id = named([kind, namespace, name, key]);
    return pinned(found.value, jwt, { id, field: `${path}.ref`, symmetric: kind === "Secret" });
  }
  return fetched(jwt, path, namespace, lookup);
}

interface Origin {
  readonly id: string;
  readonly field: string;
  readonly symmetric: boolean;
}

function pinned(jwks: string, jwt: JwtSpec, { id, field, symmetric }: Origin): ReadKeys {
  const algorithms = jwt.algorithms ?? DEFAULTS.algorithms;
  const keys = pinKeys(jwks, algorithms, symmetric);
  if (!keys.ok) {
    const fix = `put a JWKS there, {"keys":[…]}, with a key for ${algorithms.join(" or ")}`;
    return { value: undefined, problems: [{ ...invalid(field, keys.message, fix), reason: "InvalidRef" }] };
  }
  return { value: { id, jwks: keys.jwks }, problems: skippedProblems(field, keys.skipped) };
}

/** Never fetched breaks no section: the tokens of this issuer get 503 until the keys are there, everything else works (rules R33). */
function fetched(jwt: JwtSpec, path: string, namespace: string, lookup: Lookup): ReadKeys {
  const { jwks = {}, algorithms = DEFAULTS.algorithms } = jwt;
  const backend = jwks.backendRef && lookup.backend(jwks.backendRef, { kind: "ApiPolicy", namespace });
  if (backend?.ok === false) return { value: undefined, problems: [at(backend.problem, `${path}.backendRef`)] };
  const authorities = (jwks.caRefs ?? []).map(({ kind, name, key }, index) =>
    textOf(lookup.value(kind, namespace, name, key), `${path}.caRefs[${index}]`),
  );
  const missing = authorities.flatMap((found) => (found.ok ? [] : [found.problem]));
  if (missing.length > 0) return { value: undefined, problems: missing };
  const source = sourceOf(jwt, {
    ...(backend === undefined ? {} : { backend: { host: backend.value.host, port: backend.value.port } }),
    ...(authorities.length === 0
      ? {}
      : { caPem: authorities.map((found) => (found.ok ? found.value.trimEnd() : "")).join("\n") }),
  });
  const id = contentHash([source.id, algorithms]);
  const state = lookup.jwks(source);
  const without = `until it is there tokens of ${jwt.issuer} get 503 GW-AUTHN-005`;
  const problem = (severity: NonNullable<Problem["severity"]>, what: string): Problem => ({
    ...invalid(path, what, ...(severity === "warning" ? [] : [without])),
    reason: "InvalidRef",
    severity,
  });
  if (state?.jwks === undefined) {
    const never = state?.error === undefined ? undefined : `was never fetched: ${state.error}`;
    return {
      value: { id },
      problems: [never === undefined ? problem("pending", "is being fetched") : problem("unmet", never)],
    };
  }
  const stale = state.error === undefined ? [] : [problem("warning", `was not fetched: ${state.error}`)];
  const keys = pinKeys(state.jwks, algorithms, false);
  if (!keys.ok) return { value: { id }, problems: [problem("unmet", keys.message), ...stale] };
  return { value: { id, jwks: keys.jwks }, problems: [...skippedProblems(path, keys.skipped), ...stale] };
}

function sourceOf(jwt: JwtSpec, how: Pick<JwksSource, "backend" | "caPem">): JwksSource {
  const { uri } = jwt.jwks ?? {};
  const source = {
    type: uri === undefined ? ("Discovery" as const) : ("URI" as const),
    uri: uri ?? jwt.issuer,
    ...how,
  };
  return { id: contentHash(source), ...source };
}

function apiKeyOf(spec: NonNullable<Spec["apiKey"]>, namespace: string, lookup: Lookup): ApiKey {
  const { from = DEFAULTS.apiKeyFrom, consumerSelector, consumerHeader, forwardKey = DEFAULTS.forwardKey } = spec;
  const live = (selector: typeof consumerSelector): readonly string[] =>
    lookup
      .consumers(namespace, selector)
      .filter(({ suspended, liveKeys }) => !suspended && liveKeys.length > 0)
      .map(({ name }) => `${namespace}/${name}`);
  return {
    places: placesOf(from),
    // Without a selector nothing is read: a new consumer then changes no route.
    ...(consumerSelector === undefined ? {} : { clients: live(consumerSelector) }),
    ...(consumerHeader === undefined ? {} : { consumerHeader }),
    forwardKey,
  };
}

function basicOf(
  { consumerSelector, consumerHeader }: NonNullable<Spec["basic"]>,
  namespace: string,
  lookup: Lookup,
): Basic {
  const users = lookup
    .consumers(namespace, consumerSelector)
    .flatMap(({ name, suspended, password }) =>
      suspended || password === undefined ? [] : [`${name}:{SHA}${sha1Base64(password)}`],
    );
  return {
    selected: consumerSelector !== undefined,
    ...(users.length === 0 ? {} : { users: users.join("\n") }),
    ...(consumerHeader === undefined ? {} : { consumerHeader }),
  };
}

function textOf(found: Found<Uint8Array>, path: string): Found<string> {
  return found.ok
    ? { ok: true, value: Buffer.from(found.value).toString("utf8") }
    : { ok: false, problem: at(found.problem, path) };
}

function at(problem: Problem, path: string): Problem {
  return { ...problem, path };
}

function skippedProblems(path: string, skipped: readonly string[]): readonly Problem[] {
  return skipped.length === 0 ? [] : [warning(path, `has keys that are not used: ${skipped.slice(0, 4).join("; ")}`)];
}

function warning(path: string, what: string): Problem {
  return { ...invalid(path, what), reason: "InvalidRef", severity: "warning" };
}
