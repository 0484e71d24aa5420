/** Section `allowlist`: the only addresses that may call (README.md beside this file). */
import { addresses, type AddressRange, mergeEntries, resolveEntries } from "../../envoy/address-list.ts";
import { denyWhere, noneOf } from "../../envoy/rbac.ts";
import type { RouteContext, RoutePiece, Slice } from "../../slice.ts";
import { cel, DEFAULTS, schema, type Spec } from "./schema.ts";

export interface Model {
  readonly ranges: readonly AddressRange[];
  readonly inherit: boolean;
}

export const allowlist: Slice<"allowlist", Spec, Model> = {
  key: "allowlist",
  schema,
  cel,
  levels: ["Gateway", "Listener", "Namespace", "Route", "Rule"],
  listenerSettings: [],
  mayOpen: false,
  closes: true,
  audit: true,
  validate: () => [],
  resolve: (spec, { source }, lookup) => ({
    ok: true,
    model: { ranges: resolveEntries(spec.entries, source, lookup), inherit: spec.inherit ?? DEFAULTS.inherit },
  }),
  replaces: ({ inherit }) => !inherit,
  merge: (far, near) => (near.inherit ? { ...far, ranges: mergeEntries(far.ranges, near.ranges) } : near),
  route,
};

/**
 * Whoever has none of the live addresses is refused in the name of the nearest policy. Where all entries have ended that is everybody: an
 * ended entry still counts.
 */
function route({ ranges }: Model, { audit, source }: RouteContext): RoutePiece {
  const rule = { policy: source.text, principals: [noneOf(addresses(ranges))] };
  return {
    slots: { allowlist: denyWhere([rule], "allowlist", audit) },
    ...(audit ? {} : { metadata: { allowlist: source.text } }),
  };
}
