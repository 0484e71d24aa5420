/** Section `allowlist`: the only addresses that may call (README.md beside this file). */
import { addresses, type AddressRange, mergeEntries, resolveEntries, shownRange } from "../../envoy/address-list.ts";
import { denyWhere, noneOf } from "../../envoy/rbac.ts";
import type { RouteContext, RoutePiece, Slice } from "../../slice.ts";
import { evaluate } from "./evaluate.ts";
import { DEFAULTS, schema, type Spec } from "./schema.ts";

/** Who has none of its live addresses is refused in the name of `policy`. */
interface List {
  readonly policy: string; // "namespace/name#allowlist": the nearest that wrote it
  readonly ranges: readonly AddressRange[];
}

export interface Model extends List {
  readonly inherit: boolean;
  /** Lists that have to hold as well, each for itself: those of Overrides. */
  readonly floors: readonly List[];
}

export const allowlist: Slice<"allowlist", Spec, Model> = {
  key: "allowlist",
  schema,
  levels: ["Gateway", "Listener", "Namespace", "Route", "Rule"],
  listenerSettings: [],
  mayOpen: false,
  closes: true,
  audit: true,
  validate: () => [],
  resolve: (spec, { source }, lookup) => ({
    ok: true,
    model: {
      policy: source.text,
      ranges: resolveEntries(spec.entries, source, lookup),
      // What a farther Default would add to an Override's list would get below the floor.
      inherit: source.precedence === "Default" && (spec.inherit ?? DEFAULTS.inherit),
      floors: [],
    },
  }),
  replaces: ({ inherit }) => !inherit,
  merge: (far, near) => (near.inherit ? { ...near, ranges: mergeEntries(far.ranges, near.ranges) } : near),
  tighten: ({ policy, ranges, floors }, near) => ({
    model: { ...near, floors: [...near.floors, ...floors, { policy, ranges }] },
  }),
  route,
  evaluate,
  shown: ({ policy, ranges, floors }) =>
    [...floors, { policy, ranges }].map((list) => ({ policy: list.policy, entries: list.ranges.map(shownRange) })),
};

/** Where all entries of a list have ended that is everybody: an ended entry still counts. */
function route({ policy, ranges, floors }: Model, { audit }: RouteContext): RoutePiece {
  const lists = [...floors, { policy, ranges }];
  const rules = lists.map((list) => ({ policy: list.policy, principals: [noneOf(addresses(list.ranges))] }));
  return {
    slots: { allowlist: denyWhere(rules, "allowlist", audit) },
    ...(audit ? {} : { metadata: { allowlist: lists.map((list) => list.policy).join(", ") } }),
  };
}
