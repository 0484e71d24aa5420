/**
 * The slots `collect` (before every check) and `collect-post` (behind authorization): a constant Lua script that puts what a route asks
 * for into dynamic metadata: keys of rate limits, request headers for logs. It is inert without per-route configuration.
 *
 * Keys go through here because Envoy's own wildcard descriptors forget the least recently used caller when they are full, and a forgotten
 * bucket is a full one: whoever invents keys refills his own (measured, envoy.md O). The script counts the callers instead, and those
 * beyond the limit's `maxKeys` get the key `overflow`.
 */
import type { JsonObject } from "../world.ts";
import { collectScript } from "./collect-script.ts";
import { LUA, LUA_PER_ROUTE } from "./type-url.ts";

/** Dynamic metadata: `{<limit id>: <key>}`; `{overflow: <limit id>}`. */
export const KEYS_NAMESPACE = "gatewarden.keys";
export const OVERFLOW_NAMESPACE = "gatewarden.limits";
/** Dynamic metadata: `{headers: {<name>: <value>}}`. */
export const LOG_NAMESPACE = "gatewarden.log";

/** Dynamic metadata: `{uri: […], dns: […], email: "…,…"}` of the client's certificate, where the listener verified it. */
export const CERTIFICATE_NAMESPACE = "gatewarden.certificate";
/** Brings the certificate's mail addresses to the script, which cannot read them itself and takes the header away. */
const EMAIL_HEADER = "x-gatewarden-email";

export const ABSENT_KEY = "absent";
export const OVERFLOW_KEY = "overflow";

/** What makes a caller; several are taken together. */
export interface KeyPart {
  readonly type: "ClientIP" | "Consumer" | "Header" | "Claim" | "Query" | "Path" | "Method";
  readonly name?: string;
}

export interface CollectedLimit {
  readonly by: readonly KeyPart[];
  readonly maxKeys: number;
  /** After so long without a call the bucket is full again and the caller need not be remembered. */
  readonly idleMs: number;
}

/** The filter as it stands in the chain; both slots have this one. */
export function collectFilter(): JsonObject {
  return { "@type": LUA, default_source_code: { inline_string: collectScript }, clear_route_cache: false };
}

/** Each limit is one line of text, which the script parses once, whatever else the route collects. */
export function collectLimits(limits: ReadonlyMap<string, CollectedLimit>): JsonObject {
  const lines = [...limits].map(([id, { by, maxKeys, idleMs }]) => {
    const parts = by.map(({ type, name = "" }) => `${type}:${encodeURIComponent(name)}`);
    return [id, [maxKeys, idleMs, ...parts].join(" ")];
  });
  return perRoute({ limits: Object.fromEntries(lines) as JsonObject });
}

/** Values of credential headers are never read: `masked` names get a placeholder. */
export function collectHeaders(names: readonly string[], masked: (name: string) => boolean): JsonObject {
  return perRoute({ headers: Object.fromEntries(names.map((name) => [name, masked(name) ? "masked" : "plain"])) });
}

/** Names of the client's certificate: {@link CERTIFICATE_NAMESPACE}. */
export function collectCertificate(): JsonObject {
  return perRoute({ certificate: true });
}

/** Mutation of slot `select` that goes with {@link collectCertificate} where mail addresses are asked for. */
export function tellEmail(): JsonObject {
  const header = { key: EMAIL_HEADER, value: "%DOWNSTREAM_PEER_EMAIL_SAN%" };
  return { append: { header, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" } };
}

function perRoute(context: JsonObject): JsonObject {
  return { "@type": LUA_PER_ROUTE, filter_context: context };
}
