/**
 * API keys and passwords of ApiConsumers. Keys stand once per Gateway (ECDS, all namespaces that its routes use, in parts); a route says who may
 * pass, so a key comes and goes without touching a route. Users and their passwords stand in the routes: basic_auth has no list of who
 * may pass.
 */
import { denyWhere, noneOf } from "../../envoy/rbac.ts";
import { HTTP_FILTER } from "../../envoy/type-url.ts";
import type { KeyPart, Lookup, SharedEntry } from "../../slice.ts";
import { AUTH_HEADER, CONSUMER_HEADER } from "../../translate/chain.ts";
import type { JsonObject } from "../../world.ts";
import type { Place } from "./place.ts";

/** Mutation of slot `select` that lets one of the filters run which are never inert. */
export function choose(filter: KeyPart | "basic" | "names"): JsonObject {
  const header = { key: AUTH_HEADER, value: filter };
  return { append: { header, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" } };
}

/** Per-route configuration of slot api_key. Envoy takes an empty `allowed_clients` for "every client": never call it with an empty list. */
export function apiKeyRoute(places: readonly Place[], clients: readonly string[] | undefined): JsonObject {
  return {
    "@type": `${HTTP_FILTER}.api_key_auth.v3.ApiKeyAuthPerRoute`,
    key_sources: places.map(({ in: kind, name }) => ({ [kind === "param" ? "query" : kind]: name })),
    ...(clients === undefined ? {} : { allowed_clients: clients }),
    forwarding: { header: CONSUMER_HEADER, hide_credentials: false },
  };
}

/** Slot authn where every consumer of the namespace may pass: the Gateway's other namespaces have keys in the same filter. */
export function onlyNamespace(namespace: string, policy: string): JsonObject {
  const ours = { header: { name: CONSUMER_HEADER, string_match: { prefix: `${namespace}/` } } };
  return denyWhere([{ policy, principals: [noneOf([ours])] }], "authn", false);
}

/** Asks for what the consumers of a namespace are known by on the Gateway. */
export function consumersOf(namespace: string): SharedEntry {
  return { key: namespace, value: { namespace } };
}

/**
 * Without any key Envoy does not look for one, and a call without a credential could not be told from one with a wrong credential. No consumer
 * has this key, since keys have no spaces; whoever sends it is a client without a namespace, whom every route refuses.
 */
const NOBODY: readonly JsonObject[] = [{ key: "no key", client: "nobody" }];

/** The ECDS resource of a part of the keys. A key in two hands would make Envoy refuse it whole; consumers/ settles that, this makes sure. */
export function apiKeyExtension(entries: ReadonlyMap<string, JsonObject>, lookup: Lookup): JsonObject {
  const clients = new Map<string, string>();
  for (const namespace of [...entries.keys()].sort()) {
    for (const { name, suspended, liveKeys } of lookup.consumers(namespace, undefined)) {
      if (suspended) continue;
      for (const key of liveKeys) if (!clients.has(key)) clients.set(key, `${namespace}/${name}`);
    }
  }
  return {
    "@type": `${HTTP_FILTER}.api_key_auth.v3.ApiKeyAuth`,
    credentials: clients.size === 0 ? NOBODY : [...clients].map(([key, client]) => ({ key, client })),
  };
}

/** Per-route configuration of slot basic; Envoy refuses an empty list. */
export function basicRoute(users: string): JsonObject {
  return { "@type": `${HTTP_FILTER}.basic_auth.v3.BasicAuthPerRoute`, users: { inline_string: users } };
}
