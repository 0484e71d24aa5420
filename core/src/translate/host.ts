/**
 * One host pattern of an HCM: all routes that are found under it, as one ScopedRouteConfiguration with its RouteConfiguration inline
 * (docs/design/scopes.md). An edit of another host does not touch it.
 */
import type { JsonObject } from "../world.ts";
import { awake } from "../envoy/lua.ts";
import { slotFault, TYPE } from "./chain.ts";
import { ROUTE_METADATA } from "./local-reply.ts";
import { type Answer, answerAction, answerMetadata, NOT_FOUND } from "./refusal.ts";
import { indexName, INDEX_METADATA, scopeName } from "./scope-picker.ts";

const switchedOff = { "@type": `${TYPE}config.route.v3.FilterConfig`, disabled: true } as const;
/** A known host does not have to be found. */
const known = { pick: switchedOff } as const;
/** Where routes of a host have limits by address, it is awake for all of them and finds nothing to do on the others: no route needs a word for it. */
const collecting = { collect: awake() } as const;

export interface HostContent {
  readonly routes: readonly JsonObject[]; // in order of precedence
  /** Whether a route sets the header that slot `collect` reads (`RoutePiece.limitKey`). */
  readonly collects: boolean;
  /** Configuration that the host's routes share, by slot. */
  readonly shared: Readonly<Record<string, JsonObject>>;
}

/** The last route answers 404: a host that is known never falls through to a wildcard's routes. */
export function hostScope(
  hcm: string,
  pattern: string,
  content: HostContent,
  otherwise: Answer = NOT_FOUND,
): JsonObject {
  const name = scopeName(hcm, pattern);
  return scope(name, {
    name: "*",
    domains: ["*"],
    routes: [...content.routes, answerRoute("otherwise", otherwise)],
    typed_per_filter_config: { ...known, ...(content.collects ? collecting : {}), ...content.shared },
  });
}

/** What proxies serve that cannot be given the scope and never had a good one. */
export function closedScope(hcm: string, pattern: string, answer: Answer): JsonObject {
  return hostScope(hcm, pattern, { routes: [], collects: false, shared: {} }, answer);
}

/** Lists the wildcard patterns of an HCM for the `pick` filter. Its route is read, never served. */
export function indexScope(hcm: string, wildcards: readonly string[]): JsonObject {
  const suffixes = wildcards.map((pattern) => (pattern === "*" ? "*" : pattern.slice(2)));
  const route = answerRoute("index", NOT_FOUND);
  return scope(indexName(hcm), {
    name: "index",
    domains: ["*"],
    routes: [
      {
        ...route,
        metadata: {
          filter_metadata: { [INDEX_METADATA]: Object.fromEntries(suffixes.sort().map((suffix) => [suffix, true])) },
        },
      },
    ],
  });
}

function scope(name: string, virtualHost: JsonObject): JsonObject {
  return {
    "@type": `${TYPE}config.route.v3.ScopedRouteConfiguration`,
    name,
    key: { fragments: [{ string_key: name }] },
    // Without a name of its own: it would be said once more.
    route_configuration: {
      // In a scope Envoy checks by default, and one cluster that is late would make it refuse the whole scope; without, its routes answer 503.
      validate_clusters: false,
      virtual_hosts: [virtualHost],
    },
  };
}

/** A route for everything that gives the answer. */
export function answerRoute(name: string, answer: Answer, match: JsonObject = { prefix: "/" }): JsonObject {
  return {
    name,
    match,
    ...answerAction(answer),
    // Every scope ends with this one: the local reply knows it by its status, and each scope is that much smaller.
    ...(answer === NOT_FOUND ? {} : { metadata: { filter_metadata: { [ROUTE_METADATA]: answerMetadata(answer) } } }),
  };
}

/** What Envoy would ignore without a word: a fault of ours, and then the route must not stand as it is. */
export function configFault(slots: Readonly<Record<string, JsonObject>>): string | undefined {
  for (const [slot, config] of Object.entries(slots)) {
    const fault = slotFault(slot, config);
    if (fault !== undefined) return fault;
  }
  return undefined;
}
