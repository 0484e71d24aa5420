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
const STAGES = [...GATEWAY_SLOTS, HOST_SLOTS[0]] as const;

/** Where a limit counts, as far as its route knows. */
export type LimitPlace = `rl-${When}-${(typeof STAGES)[number]}`;

const PLACES: readonly LimitPlace[] = (["pre", "post"] as const).flatMap((when) =>
  STAGES.map((stage): LimitPlace => `rl-${when}-${stage}`),
);

/** `RouteAction.rate_limits[].stage` speaks to the filters of that stage. Envoy takes 0 to 10. */
export function stageOf(place: LimitPlace): number {
  return PLACES.indexOf(place);
}

/** All slots before or behind authentication in the order of the chain, with their stages. */
export function limitSlots(when: When): readonly { readonly name: LimitSlot; readonly stage: number }[] {
  return [
    ...GATEWAY_SLOTS.map((slot) => ({ name: `rl-${when}-${slot}`, stage: stageOf(`rl-${when}-${slot}`) }) as const),
    ...hostSlots(`rl-${when}-host`).map((name) => ({ name, stage: stageOf(`rl-${when}-host`) })),
  ];
}

/** The slots of a host in which limits of this place can stand. */
export function hostSlots(place: LimitPlace): readonly LimitSlot[] {
  const when: When = place.startsWith("rl-pre") ? "pre" : "post";
  return HOST_SLOTS.map((slot): LimitSlot => `rl-${when}-${slot}`);
}

export function isLimitSlot(name: ExtensionName): name is LimitSlot {
  return name.startsWith("rl-");
}

export function ofGateway(slot: LimitSlot | LimitPlace): boolean {
  return slot.includes("-gateway");
}
