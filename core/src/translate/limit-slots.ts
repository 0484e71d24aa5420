/**
 * The slots in which limits count. A 429 names one policy because the limits of different policies stand in filters of their own, as far as
 * there are filters: each costs every request 0.3 µs of Envoy's CPU, also where nothing is in it.
 */
import type { ExtensionName, SlotName } from "../slice.ts";

export type LimitSlot = Extract<SlotName, `rl-${string}`>;
type When = "pre" | "post";

/** Slots of the whole Gateway, in ECDS: a route says by name in which its limits are. */
const GATEWAY_SLOTS = ["gateway", "gateway-2", "gateway-shared"] as const;
/** Slots of the virtual host. A host deals its limits out to them, so its routes do not know in which they are: these have one stage. */
const HOST_SLOTS = ["host", "host-2", "host-3"] as const;
/** In which nothing is refused: first, so that calls count that an enforced limit refuses. They share a stage, since Envoy has only 11. */
const AUDIT_SLOTS = ["gateway-audit", "host-audit"] as const;
const WHEN = ["pre", "post"] as const;

/** Where a limit counts, as far as its route knows. */
export type LimitPlace =
  `rl-${When}-${(typeof GATEWAY_SLOTS)[number] | (typeof HOST_SLOTS)[0] | (typeof AUDIT_SLOTS)[number]}`;

/** The places that stand in the virtual host, or in a route that Envoy answers itself. */
export const HOST_PLACES = ["rl-pre-host-audit", "rl-pre-host", "rl-post-host-audit", "rl-post-host"] as const;

/** By stage. */
const PLACES: readonly (readonly LimitPlace[])[] = [
  ...WHEN.flatMap((when) => [...GATEWAY_SLOTS, HOST_SLOTS[0]].map((slot): [LimitPlace] => [`rl-${when}-${slot}`])),
  ...WHEN.map((when) => AUDIT_SLOTS.map((slot): LimitPlace => `rl-${when}-${slot}`)),
];

/** `RouteAction.rate_limits[].stage` speaks to the filters of that stage. Envoy takes 0 to 10. */
export function stageOf(place: LimitPlace): number {
  return PLACES.findIndex((places) => places.includes(place));
}

/** All slots before or behind authentication in the order of the chain, with their stages. */
export function limitSlots(when: When): readonly { readonly name: LimitSlot; readonly stage: number }[] {
  return [
    ...[...AUDIT_SLOTS, ...GATEWAY_SLOTS].map(
      (slot) => ({ name: `rl-${when}-${slot}`, stage: stageOf(`rl-${when}-${slot}`) }) as const,
    ),
    ...hostSlots(`rl-${when}-host`).map((name) => ({ name, stage: stageOf(`rl-${when}-host`) })),
  ];
}

/** The slots of a host in which limits of this place can stand. */
export function hostSlots(place: LimitPlace): readonly LimitSlot[] {
  const when: When = place.startsWith("rl-pre") ? "pre" : "post";
  if (isAuditSlot(place)) return [`rl-${when}-host-audit`];
  return HOST_SLOTS.map((slot): LimitSlot => `rl-${when}-${slot}`);
}

export function isLimitSlot(name: ExtensionName): name is LimitSlot {
  return name.startsWith("rl-");
}

export function ofGateway(slot: LimitSlot | LimitPlace): boolean {
  return slot.includes("-gateway");
}

/** Whether limits there count and say whom they would refuse, and refuse nobody. */
export function isAuditSlot(slot: LimitSlot | LimitPlace): boolean {
  return slot.endsWith("-audit");
}
