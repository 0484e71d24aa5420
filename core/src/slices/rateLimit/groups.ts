/**
 * Which limits may stand in one filter. Envoy says of a refusal only which filter it was, so limits of different policies of a route are kept
 * apart: by the level and precedence of their policy, of which a route has one each, and by whether they count over all proxies, which is
 * said per filter.
 */
import type { LimitPlace, LimitSlot } from "../../translate/limit-slots.ts";
import type { Limit } from "./model.ts";

/**
 * The Gateway's own limits have a filter to themselves; Overrides and listeners' share one, which is right where a route has but one of them.
 * Audited ones have their own, but for those that count over all proxies: these are said per filter, and a filter never mixes them with others.
 */
export function placeOf({ identified, shared, source }: Limit, audit: boolean): LimitPlace {
  const when = identified ? "rl-post" : "rl-pre";
  const { level, precedence } = source;
  const reports = audit && !shared;
  if (level !== "Gateway" && level !== "Listener") return reports ? `${when}-host-audit` : `${when}-host`;
  if (reports) return `${when}-gateway-audit`;
  if (shared) return `${when}-gateway-shared`;
  return level === "Gateway" && precedence === "Default" ? `${when}-gateway` : `${when}-gateway-2`;
}

/** Far to near; part of a key in the route's metadata. */
export function groupOf(limit: Pick<Limit, "identified" | "shared" | "source">): string {
  const { level, precedence } = limit.source;
  const rank = ["Gateway", "Listener", "Namespace", "Route", "Rule"].indexOf(level);
  return `${String(rank)}${precedence === "Override" ? "!" : ""}${limit.shared ? "*" : ""}`;
}

interface Grouped {
  readonly group: string;
  readonly shared?: true;
}

/**
 * Limits of one place dealt out to its filters: a group to each as long as there are filters, then several groups in the last one. A filter
 * never mixes limits that count over all proxies with others.
 */
export function dealt<L extends Grouped>(
  limits: readonly L[],
  slots: readonly LimitSlot[],
): ReadonlyMap<LimitSlot, readonly L[]> {
  const groups = [...Map.groupBy(limits, ({ group }) => group)].sort(([a], [b]) => (a < b ? -1 : 1));
  const some = groups.map(([, own]) => own);
  const dealtOut = some.length <= slots.length ? some : crowded(some, slots.length);
  return new Map(slots.flatMap((slot, at) => (dealtOut[at] === undefined ? [] : [[slot, dealtOut[at]]])));
}

function crowded<L extends Grouped>(groups: readonly (readonly L[])[], room: number): readonly (readonly L[])[] {
  const everywhere = groups.flat().filter(({ shared }) => shared === true);
  const alone = groups.filter(([first]) => first?.shared !== true);
  const apart = everywhere.length === 0 ? room - 1 : room - 2;
  const rest = alone.slice(apart).flat();
  return [...alone.slice(0, apart), rest, everywhere].filter((own) => own.length > 0);
}
