/**
 * Limits as Envoy's local rate limits. Buckets stand where a count must be one: those of a Gateway's or listener's policy in the Gateway's
 * ECDS filter, those of nearer policies in the virtual host, so that the branches and matches of a route count together and an edit of
 * another host refills nothing (envoy.md N). A route only says which limits count (`RouteAction.rate_limits`).
 */
import { type CallerBound, collectLimits, type KeyPart, limitKeyOf } from "../../envoy/collect.ts";
import { LOCAL_RATE_LIMIT } from "../../envoy/type-url.ts";
import type { ExtensionName, RouteContext, RoutePiece, SharedEntry, SlotName } from "../../slice.ts";
import { AUDIT_LIMIT_HEADER } from "../../translate/chain.ts";
import {
  HOST_PLACES,
  hostSlots,
  isAuditSlot,
  isLimitSlot,
  type LimitPlace,
  type LimitSlot,
  limitSlots,
  ofGateway,
  stageOf,
} from "../../translate/limit-slots.ts";
import type { JsonObject, JsonValue } from "../../world.ts";
import { actionsOf } from "./actions.ts";
import { dealt, groupOf, placeOf } from "./groups.ts";
import type { Limit, Model } from "./model.ts";

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
  const at = model.limits.map((limit) => ({ limit, place: placeOf(limit, context.audit) }));
  const inHeader = context.audit ? undefined : at.find(fitsHeader)?.limit;
  const placed = at.map((one): Placed => ({ ...one, inHeader: one.limit === inHeader }));
  const entries = placed.map(({ limit, place }): Entry => ({
    place,
    key: `${place}|${limit.id}`,
    value: sharedLimit(limit, place, context.audit),
  }));
  const filters = new Set(at.map(({ limit, place }) => `${place} ${groupOf(limit)}`));
  return {
    rateLimits: placed.map((one) => ({ stage: stageOf(one.place), ...ruleOf(one, model.headers && !context.audit) })),
    ...(inHeader?.keys.type === "Address" ? { limitKey: limitKeyOf(inHeader.id, inHeader.keys) } : {}),
    direct: directLimits(placed, entries, model, context.audit),
    host: entries.filter(({ place }) => !ofGateway(place)).map(({ key, value }) => ({ key, value })),
    gateway: entries.flatMap(({ place, key, value }) => (isGatewaySlot(place) ? [{ slot: place, key, value }] : [])),
    response: model.headers && !context.audit && filters.size > 1 ? ONE_SET : [],
    slots: { ...collecting("collect", placed, "rl-pre"), ...collecting("collect-post", placed, "rl-post") },
    metadata: context.audit ? { [AUDITED]: textOf(model.limits) } : policiesOf(model.limits),
  };
}

/** Which limit counts a request, and under which key; `stage` says in which filters. */
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
  const limits = entries.map(({ value }) => value as unknown as SharedLimit);
  const rules = new Map(placed.map((one) => [one.limit.id, ruleOf(one, headers && !audit)]));
  return Object.fromEntries(
    HOST_PLACES.flatMap((place) => {
      const own = limits.filter((limit) => inHost(limit.place) === place);
      return [...dealt(own, hostSlots(place))].map(([slot, some]) => {
        const counted = some.flatMap(({ id }) => rules.get(id) ?? []);
        return [slot, { ...filterOf(slot, some), rate_limits: counted }];
      });
    }),
  );
}

interface Entry extends SharedEntry {
  readonly place: LimitPlace;
}

/** The slots that take configuration from a route. */
function inHost(place: LimitPlace): LimitPlace {
  const when = place.startsWith("rl-pre") ? "rl-pre" : "rl-post";
  return isAuditSlot(place) ? `${when}-host-audit` : `${when}-host`;
}

function isGatewaySlot(place: LimitPlace): place is LimitPlace & LimitSlot {
  return ofGateway(place);
}

/** The virtual host's buckets by slot. */
export function host(entries: ReadonlyMap<string, JsonObject>): Partial<Readonly<Record<SlotName, JsonObject>>> {
  const limits = inOrder(entries);
  return Object.fromEntries(
    HOST_PLACES.flatMap((place) => {
      const own = limits.filter((limit) => limit.place === place);
      return [...dealt(own, hostSlots(place))].map(([slot, some]) => [slot, filterOf(slot, some)]);
    }),
  );
}

/** The Gateway's buckets: the whole filter of one slot. */
export function extension(slot: ExtensionName, entries: ReadonlyMap<string, JsonObject>): JsonObject {
  if (!isLimitSlot(slot)) throw new RangeError(`no slot of limits: ${slot}`);
  return filterOf(slot, inOrder(entries));
}

function inOrder(entries: ReadonlyMap<string, JsonObject>): readonly SharedLimit[] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value as unknown as SharedLimit);
}

/**
 * Whom a 429 of this filter names: the one policy whose limits refuse in it; where routes of a host have each their own, what the route's
 * metadata says of the filter's one group of limits, or of all limits of the route.
 */
function refuser(limits: readonly SharedLimit[]): string {
  const enforced = limits.filter(({ audit }) => audit !== true);
  const [only, ...others] = new Set(enforced.map(({ policy }) => policy));
  if (only !== undefined && others.length === 0) return only;
  const [group = "", ...further] = new Set(enforced.map((limit) => limit.group));
  const metadata = "xds.route_metadata.filter_metadata['gatewarden']";
  const all = `${metadata}['${POLICIES}']`;
  if (further.length > 0) return `%CEL(${all})%`;
  const key = policiesKey(group);
  return `%CEL('${key}' in ${metadata} ? ${metadata}['${key}'] : ${all})%`;
}

/** Key of the route's metadata: the policies of all its limits. */
const POLICIES = "rateLimit";
/** The policies of all that are audited. */
const AUDITED = `${POLICIES}:audit`;
/** The policies of those of one group, on routes whose limits come from several. */
function policiesKey(group: string): string {
  return `${POLICIES}:${group}`;
}

/** Whom an audited filter names: the one policy whose limits stand in it, or all that are audited on the route. */
function auditor(limits: readonly SharedLimit[]): string {
  const [only = "", ...others] = new Set(limits.map(({ policy }) => policy));
  return others.length === 0 ? only : `%CEL(xds.route_metadata.filter_metadata['gatewarden']['${AUDITED}'])%`;
}

function filterOf(slot: LimitSlot, limits: readonly SharedLimit[]): JsonObject {
  const stage = [...limitSlots("pre"), ...limitSlots("post")].find(({ name }) => name === slot)?.stage ?? 0;
  const base = { "@type": LOCAL_RATE_LIMIT, stat_prefix: slot, stage };
  if (limits.length === 0) return base;
  const always = { default_value: { numerator: 100, denominator: "HUNDRED" } };
  return {
    ...base,
    filter_enabled: always,
    ...(isAuditSlot(slot) ? reporting(limits) : refusing(limits, always)),
    // Only for requests that no limit counts; so large that it never refuses.
    token_bucket: { max_tokens: MAX_UINT32, tokens_per_fill: MAX_UINT32, fill_interval: seconds(INTERVAL_MS) },
    always_consume_default_token_bucket: false,
    descriptors: limits.flatMap(({ descriptors }) => descriptors),
    max_dynamic_descriptors: Math.max(1, ...limits.map(({ maxKeys }) => maxKeys * KEPT_PER_KEY)) + SHARED_KEYS,
    ...(limits.some(({ shared }) => shared === true) ? { local_cluster_rate_limit: {} } : {}),
  };
}

function refusing(limits: readonly SharedLimit[], always: JsonObject): JsonObject {
  return {
    filter_enforced: always,
    enable_retry_after_header: true,
    rate_limited_as_resource_exhausted: true,
    response_headers_to_add: [
      { header: { key: "x-gatewarden-policy", value: refuser(limits) }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" },
    ],
  };
}

/** Not enforced, Envoy tells the request that it would have been refused. The first to say so is the one that would have answered. */
function reporting(limits: readonly SharedLimit[]): JsonObject {
  const header = { key: AUDIT_LIMIT_HEADER, value: auditor(limits) };
  return { request_headers_to_add_when_not_enforced: [{ header, append_action: "ADD_IF_ABSENT" }] };
}

/** What a limit is wherever it counts: {@link SharedEntry} values. */
interface SharedLimit {
  readonly id: string;
  readonly place: LimitPlace;
  readonly group: string;
  readonly policy: string;
  readonly shared?: true;
  readonly audit?: true;
  readonly maxKeys: number;
  readonly descriptors: readonly JsonObject[];
}

function sharedLimit(limit: Limit, place: LimitPlace, audit: boolean): SharedEntry["value"] {
  const bucket: JsonObject = {
    token_bucket: bucketOf(limit),
    ...(audit && !isAuditSlot(place) ? { shadow_mode: true } : {}),
  };
  const fixed: readonly JsonObject[] = [
    { key: "limit", value: limit.id },
    ...(limit.match === undefined ? [] : [{ key: "match", value: "yes" }]),
  ];
  const descriptor = (...further: readonly JsonObject[]): JsonObject => ({
    entries: [...fixed, ...further],
    ...bucket,
  });
  const { id, keys, source, shared } = limit;
  const common = {
    id,
    place,
    group: groupOf(limit),
    policy: source.text,
    ...(shared ? { shared } : {}),
    ...(audit ? { audit } : {}),
  };
  if (keys.type === "Together") return { ...common, maxKeys: 0, descriptors: [descriptor()] };
  if (keys.type === "Consumer") {
    // Without a consumer the action leaves its entry out.
    return { ...common, maxKeys: keys.maxKeys, descriptors: [descriptor({ key: "key" }), descriptor()] };
  }
  // `overflow` and `absent` are callers like others: they are never dropped, since Envoy keeps room for them.
  return { ...common, maxKeys: keys.maxKeys, descriptors: [descriptor({ key: "key" })] };
}

/** Envoy fills continuously, so that an interval and its tokens can be multiplied to meet {@link INTERVAL_MS}. */
function bucketOf({ requests, perMs, burst }: Limit): JsonObject {
  const times = perMs % INTERVAL_MS === 0 ? 1 : Math.min(INTERVAL_MS, Math.floor(MAX_UINT32 / requests));
  const intervalMs = Math.max(1, Math.round((perMs * times) / INTERVAL_MS)) * INTERVAL_MS;
  return { max_tokens: burst, tokens_per_fill: requests * times, fill_interval: seconds(intervalMs) };
}

interface Placed {
  readonly limit: Limit;
  readonly place: LimitPlace;
  /** Its key stands in the header of slot `collect`; there is room for one. */
  readonly inHeader: boolean;
}

/** A caller has the same key there as in metadata: a limit counts together on routes that differ in this. */
function fitsHeader({ limit, place }: Pick<Placed, "limit" | "place">): boolean {
  return limit.keys.type === "Address" && place.startsWith("rl-pre");
}

function collecting(slot: "collect" | "collect-post", placed: readonly Placed[], prefix: string): RoutePiece["slots"] {
  const limits = new Map<string, CallerBound & { readonly by?: readonly KeyPart[] }>();
  for (const { limit, place, inHeader } of placed) {
    const { keys } = limit;
    const collected = keys.type === "Collected" || (keys.type === "Address" && !inHeader);
    if (place.startsWith(prefix) && collected) limits.set(limit.id, keys);
  }
  return limits.size === 0 ? {} : { [slot]: collectLimits(limits) };
}

/** Whom a 429 names: the policies of each group, and for logs all of the route. */
function policiesOf(limits: readonly Limit[]): Readonly<Record<string, JsonValue>> {
  const all = textOf(limits);
  const groups = Object.entries(Object.groupBy(limits, groupOf)).map(
    ([group, some = []]) => [group, textOf(some)] as const,
  );
  return {
    [POLICIES]: all,
    ...Object.fromEntries(groups.filter(([, text]) => text !== all).map(([group, text]) => [policiesKey(group), text])),
  };
}

function textOf(limits: readonly Limit[]): string {
  return [...new Set(limits.map(({ source }) => source.text))].join(", ");
}

function seconds(ms: number): string {
  return `${String(ms / 1_000)}s`;
}
