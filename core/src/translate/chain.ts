/**
 * The fixed filter chain: every slot present, every slot inert until a route speaks to it, byte-stable (docs/design/filter-chain.md).
 * No slot is `disabled: true`: the scope is picked by filters, after the first route match, and a disabled slot would stay off then.
 */
import { contentHash } from "../hash.ts";
import type { KeyPart, SlotName } from "../slice.ts";
import { collectFilter } from "../envoy/collect.ts";
import { sleepFault } from "../envoy/lua.ts";
import { namesFilter, recogniseFilter } from "../envoy/recognise.ts";
import { LUA, LUA_PER_ROUTE } from "../envoy/type-url.ts";
import type { JsonObject } from "../world.ts";
import { limitSlots, ofGateway } from "./limit-slots.ts";
import { lowerScript, pickScript } from "./scope-picker.ts";

/** Everything that Envoy's type URLs begin with. */
export const TYPE = "type.googleapis.com/envoy.";
const FILTER = `${TYPE}extensions.filters.http.`;

/** Request headers with this prefix are ours: a client's are removed before anything reads them, ours before the upstream does. */
export const INTERNAL_PREFIX = "x-gatewarden-";
export const SCOPE_HEADER = "x-gatewarden-scope";
/**
 * Says which of the filters has to run that are never inert (`basic`, or a part of the API keys: `api_key-<n>`) or costly (`names`).
 */
export const AUTH_HEADER = "x-gatewarden-auth";
/** `namespace/name` of the verified consumer. */
export const CONSUMER_HEADER = "x-gatewarden-consumer";
/** Dynamic metadata of slot `consumer`: what no formatter can cut out of a header. */
export const EXTRACTED = "gatewarden.authentication";
/** The consumer's name without its namespace. It stands in the listener: a route that needs no other rule says nothing. */
export const CONSUMER_NAME: JsonObject = {
  header: CONSUMER_HEADER,
  on_header_present: {
    metadata_namespace: EXTRACTED,
    key: "consumer",
    type: "STRING",
    regex_value_rewrite: { pattern: { regex: "^[^/]*/" }, substitution: "" },
  },
};
/** User name of a verified basic credential; the slot `identity` makes it the consumer's. */
export const USER_HEADER = "x-gatewarden-user";
/** Filter state in which the verified consumer stays for access logs after its header is gone. */
export const CONSUMER_STATE = "gatewarden.consumer";

/** Policy whose audited limit would have refused. Slot `would-limit` keeps it for logs, since `clean` removes it. */
export const AUDIT_LIMIT_HEADER = "x-gatewarden-would-limit";
/** Where it is kept. */
export const AUDIT_LIMIT_NAMESPACE = "gatewarden.would-limit";

/** Name of the policy inside the constant path guard; `local-reply.ts` makes its refusal a 400. */
export const PATH_GUARD = "gatewarden#paths";

/** More parts make a changed key smaller, and every listener larger (0.3 kB each). */
export const KEY_PARTS = 32;

type Source = "chain" | "gateway"; // where the filter's own configuration stands: in the listener, or in ECDS for the whole Gateway

interface Slot {
  readonly name: SlotName | "paths" | "remember" | "would-limit" | "clean";
  readonly from: Source;
  /** Types that typed_per_filter_config of a route or host may have under this name; Envoy ignores others without a word. */
  readonly perRoute: readonly string[];
  readonly inert: JsonObject;
}

const headerMutation = { "@type": `${FILTER}header_mutation.v3.HeaderMutation` };
const headerMutationRoute = [`${FILTER}header_mutation.v3.HeaderMutationPerRoute`];
const rbac = { "@type": `${FILTER}rbac.v3.RBAC` };
const rbacRoute = [`${FILTER}rbac.v3.RBACPerRoute`];

const chosen: JsonObject = {
  name: "chosen",
  typed_config: {
    "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
    header_name: AUTH_HEADER,
  },
};

/** Slots in the order of the checks (api.md "Order of checks"). The names are API: routes, ECDS and statistics use them. */
const slots: readonly Slot[] = [
  { name: "pick", from: "chain", perRoute: [`${TYPE}config.route.v3.FilterConfig`], inert: scopePicker() },
  { name: "paths", from: "chain", perRoute: [], inert: pathGuard() },
  { name: "select", from: "chain", perRoute: headerMutationRoute, inert: headerMutation },
  { name: "collect", from: "chain", perRoute: [LUA_PER_ROUTE], inert: collectFilter("collect") },
  { name: "denylist", from: "chain", perRoute: rbacRoute, inert: rbac },
  { name: "allowlist", from: "chain", perRoute: rbacRoute, inert: rbac },
  ...rateLimits("pre"),
  {
    name: "jwt",
    from: "gateway",
    perRoute: [`${FILTER}jwt_authn.v3.PerRouteConfig`],
    inert: { "@type": `${FILTER}jwt_authn.v3.JwtAuthentication` },
  },
  { name: "api_key", from: "chain", perRoute: [`${FILTER}api_key_auth.v3.ApiKeyAuthPerRoute`], inert: keyParts() },
  {
    name: "basic",
    from: "chain",
    perRoute: [`${FILTER}basic_auth.v3.BasicAuthPerRoute`],
    // Users stand in the routes; Envoy wants one here: a hash that no password has.
    inert: onlyWhenChosen("basic", {
      "@type": `${FILTER}basic_auth.v3.BasicAuth`,
      users: { inline_string: `nobody:{SHA}${"A".repeat(27)}=` },
      forward_username_header: USER_HEADER,
    }),
  },
  // Only where a route chose it: it compares names one by one.
  { name: "names", from: "gateway", perRoute: [], inert: onlyWhenChosen("names", namesFilter(new Map())) },
  { name: "recognise", from: "gateway", perRoute: [LUA_PER_ROUTE], inert: recogniseFilter(new Map()) },
  { name: "authn", from: "chain", perRoute: rbacRoute, inert: rbac },
  {
    name: "consumer",
    from: "chain",
    perRoute: [`${FILTER}header_to_metadata.v3.Config`],
    inert: { "@type": `${FILTER}header_to_metadata.v3.Config`, request_rules: [CONSUMER_NAME] },
  },
  { name: "identity", from: "chain", perRoute: headerMutationRoute, inert: headerMutation },
  { name: "remember", from: "chain", perRoute: [], inert: rememberConsumer() },
  { name: "cert", from: "chain", perRoute: rbacRoute, inert: rbac },
  { name: "authz", from: "chain", perRoute: rbacRoute, inert: rbac },
  { name: "collect-post", from: "chain", perRoute: [LUA_PER_ROUTE], inert: collectFilter("collect-post") },
  ...rateLimits("post"),
  { name: "would-limit", from: "chain", perRoute: [], inert: rememberAuditedLimit() },
  { name: "clean", from: "chain", perRoute: [], inert: withoutInternalHeaders() },
];

/** What is one ECDS resource per Gateway, by its name: the configuration of a slot, or a part of the API keys. */
export const gatewaySlots: ReadonlyMap<string, JsonObject> = new Map([
  ...slots.filter(({ from }) => from === "gateway").map(({ name, inert }): [string, JsonObject] => [name, inert]),
  ...keyPartNames().map((name): [string, JsonObject] => [name, noKeys()]),
]);

const routeTypes: ReadonlyMap<string, readonly string[]> = new Map(slots.map(({ name, perRoute }) => [name, perRoute]));

function typeUrl({ "@type": type }: JsonObject): string {
  return typeof type === "string" ? type : "";
}

/** Why Envoy would silently ignore this per-route configuration; undefined when it will not. */
export function slotFault(slot: string, config: JsonObject): string | undefined {
  const types = routeTypes.get(slot);
  if (types === undefined) return `no slot "${slot}" in the chain`;
  const type = typeUrl(config);
  return types.includes(type) ? sleepFault(slot, config) : `slot "${slot}" does not take ${type}`;
}

/** `http_filters` of every HCM. */
export function httpFilters(): readonly JsonObject[] {
  return [
    ...slots.map((slot) =>
      slot.from === "gateway" ? discovered(slot) : { name: slot.name, typed_config: slot.inert },
    ),
    { name: "router", typed_config: { "@type": `${FILTER}router.v3.Router`, suppress_envoy_headers: true } },
  ];
}

/** A filter from ECDS. It starts inert and unwarmed: a listener never waits for it, and what is missing refuses (unknown requirement, no client). */
function discovered({ name, inert }: { readonly name: string; readonly inert: JsonObject }): JsonObject {
  return {
    name,
    config_discovery: {
      config_source: { ads: {}, resource_api_version: "V3" },
      default_config: inert,
      apply_default_config_without_warming: true,
      type_urls: [typeUrl(inert)],
    },
  };
}

/** The part in which the keys of a namespace's consumers stand. Part of every proxy's configuration: it never changes. */
export function keyPartOf(namespace: string): KeyPart {
  return `api_key-${Number.parseInt(contentHash(namespace).slice(0, 8), 16) % KEY_PARTS}`;
}

export function isKeyPart(name: string): boolean {
  return name.startsWith("api_key-");
}

function keyPartNames(): readonly KeyPart[] {
  return Array.from({ length: KEY_PARTS }, (_, at): KeyPart => `api_key-${at}`);
}

/** Refuses every request. */
function noKeys(): JsonObject {
  return { "@type": `${FILTER}api_key_auth.v3.ApiKeyAuth` };
}

/** The API keys in parts: a key that changes sends those of its part. The filter of the part that the route chose runs, or none. */
function keyParts(): JsonObject {
  const run = (name: KeyPart): JsonObject => ({
    action: {
      name,
      typed_config: {
        "@type": `${FILTER}composite.v3.ExecuteFilterAction`,
        dynamic_config: discovered({ name, inert: noKeys() }),
      },
    },
  });
  return {
    "@type": `${TYPE}extensions.common.matching.v3.ExtensionWithMatcher`,
    extension_config: { name: "api_key", typed_config: { "@type": `${FILTER}composite.v3.Composite` } },
    xds_matcher: {
      matcher_tree: {
        input: chosen,
        exact_match_map: { map: Object.fromEntries(keyPartNames().map((name) => [name, run(name)])) },
      },
    },
  };
}

/** Wraps a filter that is never inert so that it runs only where header `x-gatewarden-auth` names its slot. */
export function onlyWhenChosen(slot: "basic" | "names", filter: JsonObject): JsonObject {
  return {
    "@type": `${TYPE}extensions.common.matching.v3.ExtensionWithMatcher`,
    extension_config: { name: slot, typed_config: filter },
    xds_matcher: {
      matcher_list: {
        matchers: [
          {
            predicate: { not_matcher: { single_predicate: { input: chosen, value_match: { exact: slot } } } },
            on_match: {
              action: {
                name: "skip",
                typed_config: { "@type": `${TYPE}extensions.filters.common.matcher.action.v3.SkipFilter` },
              },
            },
          },
        ],
      },
    },
  };
}

/** Local limits: those of the whole Gateway in ECDS, those of a host in its virtual host. */
function rateLimits(when: "pre" | "post"): readonly Slot[] {
  const type = `${FILTER}local_ratelimit.v3.LocalRateLimit`;
  return limitSlots(when).map(({ name, stage }) => ({
    name,
    from: ofGateway(name) ? "gateway" : "chain",
    perRoute: ofGateway(name) ? [] : [type],
    inert: { "@type": type, stat_prefix: name, stage },
  }));
}

/** Both scripts in one slot: a scope switches them off with one entry. The default chain is the one of requests that found no route yet. */
function scopePicker(): JsonObject {
  const filters = Object.entries({ lower: lowerScript(), pick: pickScript() });
  return {
    "@type": `${FILTER}filter_chain.v3.FilterChainConfig`,
    default_filter_chain: { filters: filters.map(([name, script]) => ({ name, typed_config: lua(script) })) },
  };
}

function rememberAuditedLimit(): JsonObject {
  const metadata = { metadata_namespace: AUDIT_LIMIT_NAMESPACE, key: "policy", type: "STRING" };
  return {
    "@type": `${FILTER}header_to_metadata.v3.Config`,
    request_rules: [{ header: AUDIT_LIMIT_HEADER, on_header_present: metadata }],
  };
}

/** Ours do not reach the upstream, whichever a route uses. */
function withoutInternalHeaders(): JsonObject {
  return {
    ...headerMutation,
    mutations: { request_mutations: [{ remove_on_match: { key_matcher: { prefix: INTERNAL_PREFIX } } }] },
  };
}

function lua(script: string): JsonObject {
  return { "@type": LUA, default_source_code: { inline_string: script } };
}

/** What a backend may read as another path than we did is refused: path parameters (`/a;x`, `/..;/`), plain or escaped. */
function pathGuard(): JsonObject {
  const evasive = { safe_regex: { regex: "[^?#]*(;|%3[bB])[\\s\\S]*" } };
  return {
    ...rbac,
    rules: {
      action: "DENY",
      policies: {
        [PATH_GUARD]: {
          permissions: [{ header: { name: ":path", string_match: evasive } }],
          principals: [{ any: true }],
        },
      },
    },
  };
}

function rememberConsumer(): JsonObject {
  return {
    "@type": `${FILTER}set_filter_state.v3.Config`,
    on_request_headers: [
      {
        object_key: CONSUMER_STATE,
        factory_key: "envoy.string",
        format_string: { text_format_source: { inline_string: `%REQ(${CONSUMER_HEADER})%` }, omit_empty_values: true },
        skip_if_empty: true,
      },
    ],
  };
}
