/**
 * The slots `collect` (before every check) and `collect-post` (behind authorization): a constant Lua script that finds out what a route asks
 * for. Into dynamic metadata: keys of rate limits, request headers for logs. Out of the query: credentials. It sleeps (lua.ts) where neither
 * the route nor its host asks for it.
 *
 * Keys go through here because Envoy's own wildcard descriptors forget the least recently used caller when they are full, and a forgotten
 * bucket is a full one: whoever invents keys refills his own (measured, envoy.md O). The script counts the callers instead, and those
 * beyond the limit's `maxKeys` get the key `overflow`. A limit by address alone has its key in a header that the slot `select` has written
 * out already: for a caller that is known the script reads it and is done.
 */
import { contentHash } from "../hash.ts";
import type { JsonObject } from "../world.ts";
import { collectPostScript, collectScript, LIMIT_HEADER } from "./collect-script.ts";
import { awake, sleepingLua } from "./lua.ts";

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

/** What makes a caller; several are taken together. */
export interface KeyPart {
  readonly type: "ClientIP" | "Consumer" | "Header" | "Claim" | "Query" | "Path" | "Method";
  readonly name?: string;
}

/** How many callers are told apart. */
export interface CallerBound {
  readonly maxKeys: number;
  /** After so long without a call the bucket is full again and the caller need not be remembered. */
  readonly idleMs: number;
}

export interface CollectedLimit extends CallerBound {
  readonly by: readonly KeyPart[];
}

type LimitLine = CallerBound & Partial<CollectedLimit>;

/** The filter as it stands in the chain. */
export function collectFilter(slot: "collect" | "collect-post"): JsonObject {
  return sleepingLua(slot === "collect" ? collectScript : collectPostScript);
}

/**
 * Each limit is one line of text, which the script parses once, whatever else the route collects. One without `by` is by address alone: its
 * key becomes that of {@link limitKeyOf}.
 */
export function collectLimits(limits: ReadonlyMap<string, LimitLine>): JsonObject {
  const lines = [...limits].map(([id, limit]) => {
    const { maxKeys, idleMs, by = [{ type: "Address", name: limitPrefix(id, limit) }] } = limit;
    const parts = by.map(({ type, name = "" }) => `${type}:${encodeURIComponent(name)}`);
    return [id, [maxKeys, idleMs, ...parts].join(" ")];
  });
  return awake({ limits: Object.fromEntries(lines) as JsonObject });
}

/** The caller of a limit by address, as `RoutePiece.limitKey`: the same text for the same caller on every route of the limit. */
export function limitKeyOf(id: string, bound: CallerBound): string {
  return `${limitPrefix(id, bound)}%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%`;
}

function limitPrefix(id: string, { maxKeys, idleMs }: CallerBound): string {
  const limit = `${String(maxKeys)} ${String(idleMs)} ${id}`;
  // The script finds its book by the first 12 characters, without taking the text apart.
  return `${contentHash(limit).slice(0, 12)} ${limit} `;
}

/** Mutation of slot `select`. `more`: the route has per-route configuration for slot `collect` too, which is dear to look for. */
export function limitKeyMutation(limitKey: string, more: boolean): JsonObject {
  const header = { key: LIMIT_HEADER, value: `${more ? "+" : ""}${limitKey}` };
  return { append: { header, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" } };
}

/** Values of credential headers are never read: `masked` names get a placeholder. */
export function collectHeaders(names: readonly string[], masked: (name: string) => boolean): JsonObject {
  return awake({ headers: Object.fromEntries(names.map((name) => [name, masked(name) ? "masked" : "plain"])) });
}

/** Names of the client's certificate: {@link CERTIFICATE_NAMESPACE}. */
export function collectCertificate(): JsonObject {
  return awake({ certificate: true });
}

/** Mutation of slot `select` that goes with {@link collectCertificate} where mail addresses are asked for. */
export function tellEmail(): JsonObject {
  const header = { key: EMAIL_HEADER, value: "%DOWNSTREAM_PEER_EMAIL_SAN%" };
  return { append: { header, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" } };
}

/**
 * These parameters, however they are escaped, do not reach the upstream; every other byte of the query stays as it was. Envoy's
 * header_mutation would decode the whole query, sort it and write it without encoding it again: `b=%26c%3dd` would reach the upstream as
 * another parameter, `b=%20` as a malformed request (measured).
 */
export function hideParameters(names: readonly string[]): JsonObject {
  return awake({ hidden: names });
}

/**
 * Only in slot `collect-post`. `numbers`: headers that hold a claim, with the claims that each may hold: numbers among them become what JSON
 * writes. `named`: claims that Envoy cannot write into their headers, since it reads the dots of their names as steps into objects.
 */
export function tellClaims(
  numbers: ReadonlyMap<string, readonly string[]>,
  named: readonly { readonly issuer: string; readonly claim: string; readonly header: string }[],
): JsonObject {
  return awake({
    ...(numbers.size === 0 ? {} : { claims: Object.fromEntries(numbers) }),
    ...(named.length === 0
      ? {}
      : {
          named: Object.fromEntries(named.map(({ issuer, claim, header }) => [`${issuer}\n${claim}\n${header}`, true])),
        }),
  });
}
