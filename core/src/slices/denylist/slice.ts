/** Section `denylist`: addresses that are refused, whatever else would let them in (README.md beside the allowlist). */
import {
  addresses,
  type AddressRange,
  mergeEntries,
  resolveEntries,
  shownRange,
  unionEntries,
} from "../../envoy/address-list.ts";
import { denyWhere } from "../../envoy/rbac.ts";
import type { RouteContext, RoutePiece, Slice } from "../../slice.ts";
import { evaluate } from "./evaluate.ts";
import { schema, type Spec } from "./schema.ts";

export interface Model {
  readonly ranges: readonly AddressRange[];
}

export const denylist: Slice<"denylist", Spec, Model> = {
  key: "denylist",
  schema,
  levels: ["Gateway", "Listener", "Namespace", "Route", "Rule"],
  listenerSettings: [],
  mayOpen: false,
  closes: true,
  audit: true,
  validate: () => [],
  resolve: (spec, { source }, lookup) => ({
    ok: true,
    model: { ranges: resolveEntries(spec.entries, source, lookup) },
  }),
  merge: (far, near) => ({ ranges: mergeEntries(far.ranges, near.ranges) }),
  tighten: (floor, near) => ({ model: { ranges: unionEntries(floor.ranges, near.ranges) } }),
  route,
  evaluate,
  shown: ({ ranges }) => ranges.map((range) => ({ ...shownRange(range), policy: range.policy })),
};

/** One RBAC policy for each ApiPolicy that took part, so that a refusal names the one that has the address. */
function route({ ranges }: Model, { audit }: RouteContext): RoutePiece {
  const rules = [...Map.groupBy(ranges, ({ policy }) => policy)]
    .map(([policy, own]) => ({ policy, principals: addresses(own) }))
    .filter(({ principals }) => principals.length > 0);
  if (rules.length === 0) return {};
  return {
    slots: { denylist: denyWhere(rules, "denylist", audit) },
    ...(audit ? {} : { metadata: { denylist: rules.map(({ policy }) => policy).join(", ") } }),
  };
}
