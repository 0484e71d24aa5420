/**
 * Limits as Envoy's local rate limits. Buckets stand where a count must be one: those of a Gateway's or listener's policy in the Gateway's
 * ECDS filter, those of nearer policies in the virtual host, so that the branches and matches of a route count together and an edit of
 * another host refills nothing (envoy.md N). A route only says which limits count (`RouteAction.rate_limits`).
 */
import { type CallerBound, collectLimits, type KeyPart, limitKeyOf } from "../../envoy/collect.ts";
import { LOCAL_RATE_LIMIT } from "../../envoy/type-url.ts";
import type { ExtensionName, RouteContext, RoutePiece, SharedEntry, SlotName, Source } from "../../slice.ts";
import type { JsonObject, JsonValue } from "../../world.ts";
import { actionsOf } from "./actions.ts";
import type { Limit, Model } from "./model.ts";

/** Slots by stage: `RouteAction.rate_limits[].stage` speaks to the filter of that stage. */
const SLOTS = [
  "rl-pre-gateway",
  "rl-pre-gateway-shared",
  "rl-pre-host",
  "rl-pre-host-shared",
  "rl-post-gateway",
  "rl-post-gateway-shared",
  "rl-post-host",
  "rl-post-host-shared",
] as const satisfies readonly SlotName[];
type LimitSlot = (typeof SLOTS)[number];

const MAX_UINT32 = 4_294_967_295;
/** Envoy wants every interval to be a multiple of the default bucket's, which must not be shorter. */
const INTERVAL_MS = 50;
/**
 * How many buckets Envoy keeps for each `maxKeys`. Every worker thread admits up to maxKeys callers per generation of the script's book, and two
 * generations can fall into the time in which a bucket fills: with up to 8 workers none is dropped before it is full again.
 */
const KEPT_PER_KEY = 16;
/** The bucket of those beyond `maxKeys`, and that of calls without a key. */
const SHARED_KEYS = 2;

/**
 * Every filter that counted adds its own headers to the answer. The first are those of the filter that counted last: of the one that refused,
 * or else of the nearest and most personal limit. The others go.
 */
const ONE_SET: readonly JsonObject[] = ["limit", "remaining", "reset"].map((name) => {
  const key = `x-ratelimit-${name}`;
  return { append: { header: { key, value: `%RESP(${key})%` }, append_action: "OVERWRITE_IF_EXISTS" } };
});

export function route(model: Model, context: RouteContext): RoutePiece {
  const slotted = model.limits.map((limit) => ({ limit, slot: slotOf(limit) }));
  const inHeader = context.audit ? undefined : slotted.find(fitsHeader)?.limit;
  const placed = slotted.map((one): Placed => ({ ...one, inHeader: one.limit === inHeader }));
  const entries = placed.map(({ limit, slot }) => ({
    slot,
    key: `${slot}|${limit.id}`,
    value: sharedLimit(limit, slot, context.audit),
  }));
  return {
    rateLimits: placed.map((one) => ({
      stage: SLOTS.indexOf(one.slot),
      ...ruleOf(one, model.headers && !context.audit),
    })),
    ...(inHeader?.keys.type === "Address" ? { limitKey: limitKeyOf(inHeader.id, inHeader.keys) } : {}),
    direct: directLimits(placed, entries, model, context.audit),
    host: entries.filter(({ slot }) => !ofGateway(slot)).map(({ key, value }) => ({ key, value })),
    gateway: entries.filter(({ slot }) => ofGateway(slot)),
    response: model.headers && !context.audit && new Set(placed.map(({ slot }) => slot)).size > 1 ? ONE_SET : [],
    slots: { ...collecting("collect", placed, "rl-pre"), ...collecting("collect-post", placed, "rl-post") },
    ...(context.audit ? {} : { metadata: policiesOf(placed) }),
  };
}

/** Which limit counts a request, and under which key; `stage` says in which filter. */
function ruleOf({ limit, inHeader }: Placed, headers: boolean): JsonObject {
  return { actions: actionsOf(limit, inHeader), x_ratelimit_option: headers ? "DRAFT_VERSION_03" : "OFF" };
}

/**
 * The same limits for a route that Envoy answers itself, with a redirect: it has no RouteAction, so filter, buckets and rules stand in the
 * route, and it counts apart from the others.
 */
function directLimits(
  placed: readonly Placed[],
  entries: readonly Entry[],
  { headers }: Model,
  audit: boolean,
): NonNullable<RoutePiece["direct"]> {
  const slots = new Set(placed.map(({ slot }) => ownSlot(slot)));
  return Object.fromEntries(
    [...slots].map((slot) => {
      const own = entries.filter((entry) => ownSlot(entry.slot) === slot);
      const rules = placed.filter((one) => ownSlot(one.slot) === slot).map((one) => ruleOf(one, headers && !audit));
      const limits = new Map(own.map(({ key, value }) => [key, value]));
      return [slot, { ...filterOf(slot, limits, POLICIES), rate_limits: rules }];
    }),
  );
}

interface Entry extends SharedEntry {
  readonly slot: LimitSlot;
}

/** The slot that takes configuration from a route. */
function ownSlot(slot: LimitSlot): LimitSlot {
  return slot.replace("-gateway", "-host") as LimitSlot;
}

/** The virtual host's buckets by slot. */
export function host(entries: ReadonlyMap<string, JsonObject>): Partial<Readonly<Record<SlotName, JsonObject>>> {
  const bySlot = new Map<LimitSlot, Map<string, JsonObject>>();
  for (const [key, value] of entries) {
    const slot = SLOTS.find((known) => known === value["slot"]);
    if (slot === undefined) continue;
    const limits = bySlot.get(slot) ?? new Map<string, JsonObject>();
    bySlot.set(slot, limits.set(key, value));
  }
  return Object.fromEntries([...bySlot].map(([slot, limits]) => [slot, filterOf(slot, limits)]));
}

/** The Gateway's buckets: the whole filter of one slot. */
export function extension(slot: ExtensionName, entries: ReadonlyMap<string, JsonObject>): JsonObject {
  return filterOf(slot, entries);
}

/** Whom a 429 of this filter names: the one policy whose limits are in it, or what the route's metadata says. */
function refuser(limits: readonly SharedLimit[], key: string): string {
  const [only, ...others] = new Set(limits.map(({ policy }) => policy));
  if (only !== undefined && others.length === 0) return only;
  const metadata = "xds.route_metadata.filter_metadata['gatewarden']";
  return `%CEL('${key}' in ${metadata} ? ${metadata}['${key}'] : ${metadata}['${POLICIES}'])%`;
}

/** Keys of the route's metadata: the policies of all limits; of those in the Gateway's and in the host's filters, where both have some. */
const POLICIES = "rateLimit";
const GATEWAY_POLICIES = "rateLimitGateway";
const HOST_POLICIES = "rateLimitHost";

/** `policies`: key of the route's metadata that says whom a 429 of this filter names, where that differs by route. */
function filterOf(
  slot: ExtensionName,
  entries: ReadonlyMap<string, JsonObject>,
  policies: string = ofGateway(slot) ? GATEWAY_POLICIES : HOST_POLICIES,
): JsonObject {
  const stage = SLOTS.findIndex((known) => known === slot);
  const base = { "@type": LOCAL_RATE_LIMIT, stat_prefix: slot, stage };
  if (entries.size === 0) return base;
  const limits = [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value as unknown as SharedLimit);
  const always = { default_value: { numerator: 100, denominator: "HUNDRED" } };
  return {
    ...base,
    filter_enabled: always,
    filter_enforced: always,
    // Only for requests that no limit counts; so large that it never refuses.
    token_bucket: { max_tokens: MAX_UINT32, tokens_per_fill: MAX_UINT32, fill_interval: seconds(INTERVAL_MS) },
    always_consume_default_token_bucket: false,
    enable_retry_after_header: true,
    rate_limited_as_resource_exhausted: true,
    response_headers_to_add: [
      {
        header: { key: "x-gatewarden-policy", value: refuser(limits, policies) },
        append_action: "OVERWRITE_IF_EXISTS_OR_ADD",
      },
    ],
    descriptors: limits.flatMap(({ descriptors }) => descriptors),
    max_dynamic_descriptors: Math.max(1, ...limits.map(({ maxKeys }) => maxKeys * KEPT_PER_KEY)) + SHARED_KEYS,
    ...(slot.endsWith("-shared") ? { local_cluster_rate_limit: {} } : {}),
  };
}

/** What a limit is wherever it counts: {@link SharedEntry} values. */
interface SharedLimit {
  readonly slot: string;
  readonly policy: string;
  readonly maxKeys: number;
  readonly descriptors: readonly JsonObject[];
}

function sharedLimit(limit: Limit, slot: LimitSlot, audit: boolean): SharedEntry["value"] {
  const bucket: JsonObject = { token_bucket: bucketOf(limit), ...(audit ? { shadow_mode: true } : {}) };
  const fixed: readonly JsonObject[] = [
    { key: "limit", value: limit.id },
    ...(limit.match === undefined ? [] : [{ key: "match", value: "yes" }]),
  ];
  const descriptor = (...further: readonly JsonObject[]): JsonObject => ({
    entries: [...fixed, ...further],
    ...bucket,
  });
  const {
    keys,
    source: { text: policy },
  } = limit;
  if (keys.type === "Together") return { slot, policy, maxKeys: 0, descriptors: [descriptor()] };
  if (keys.type === "Consumer") {
    // Without a consumer the action leaves its entry out.
    return { slot, policy, maxKeys: keys.maxKeys, descriptors: [descriptor({ key: "key" }), descriptor()] };
  }
  // `overflow` and `absent` are callers like others: they are never dropped, since Envoy keeps room for them.
  return { slot, policy, maxKeys: keys.maxKeys, descriptors: [descriptor({ key: "key" })] };
}

/** Envoy fills continuously, so that an interval and its tokens can be multiplied to meet {@link INTERVAL_MS}. */
function bucketOf({ requests, perMs, burst }: Limit): JsonObject {
  const times = perMs % INTERVAL_MS === 0 ? 1 : Math.min(INTERVAL_MS, Math.floor(MAX_UINT32 / requests));
  const intervalMs = Math.max(1, Math.round((perMs * times) / INTERVAL_MS)) * INTERVAL_MS;
  return { max_tokens: burst, tokens_per_fill: requests * times, fill_interval: seconds(intervalMs) };
}

interface Placed {
  readonly limit: Limit;
  readonly slot: LimitSlot;
  /** Its key stands in the header of slot `collect`; there is room for one. */
  readonly inHeader: boolean;
}

/** A caller has the same key there as in metadata: a limit counts together on routes that differ in this. */
function fitsHeader({ limit, slot }: Pick<Placed, "limit" | "slot">): boolean {
  return limit.keys.type === "Address" && slot.startsWith("rl-pre");
}

function collecting(slot: "collect" | "collect-post", placed: readonly Placed[], prefix: string): RoutePiece["slots"] {
  const limits = new Map<string, CallerBound & { readonly by?: readonly KeyPart[] }>();
  for (const { limit, slot: place, inHeader } of placed) {
    const { keys } = limit;
    const collected = keys.type === "Collected" || (keys.type === "Address" && !inHeader);
    if (place.startsWith(prefix) && collected) limits.set(limit.id, keys);
  }
  return limits.size === 0 ? {} : { [slot]: collectLimits(limits) };
}

/** Whom a 429 names: the policies whose limits stand in the filter that refused, and for logs all of the route. */
function policiesOf(placed: readonly Placed[]): Readonly<Record<string, JsonValue>> {
  const texts = (which: readonly Placed[]): string =>
    [...new Set(which.map(({ limit }) => limit.source.text))].join(", ");
  const gateway = texts(placed.filter(({ slot }) => ofGateway(slot)));
  const nearer = texts(placed.filter(({ slot }) => !ofGateway(slot)));
  return {
    [POLICIES]: texts(placed),
    ...(gateway === "" || nearer === "" ? {} : { [GATEWAY_POLICIES]: gateway, [HOST_POLICIES]: nearer }),
  };
}

function slotOf({ identified, shared, source }: Limit): LimitSlot {
  const when = identified ? 4 : 0;
  const place = fromGateway(source) ? 0 : 2;
  const slot = SLOTS[when + place + (shared ? 1 : 0)];
  if (slot === undefined) throw new RangeError("a limit without a slot");
  return slot;
}

function fromGateway({ level }: Source): boolean {
  return level === "Gateway" || level === "Listener";
}

function ofGateway(slot: string): boolean {
  return slot.includes("-gateway");
}

function seconds(ms: number): string {
  return `${String(ms / 1_000)}s`;
}
