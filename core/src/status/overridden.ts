/**
 * What of a policy does not hold because an Override at the same or a farther target allows less (api.md "Composition" 4). It is found out from
 * the policy alone, at every listener that its target is reached through: what nearer policies make of it is their affair.
 */
import { type Layer, levelFault, policyText, winnerOf } from "../attach/layer.ts";
import type { ParsedApiPolicy } from "../kinds/api-policy.ts";
import { splitId } from "../kinds/meta.ts";
import type { Problem } from "../problems.ts";
import type { AnySlice } from "../slices.ts";
import { policyId, type Views } from "../views.ts";
import { layerOf, type Lost, type PolicyReads, type Target, writtenSlices } from "./target.ts";

export function lostToFloors(
  policy: ParsedApiPolicy,
  gateway: string,
  targets: readonly Target[],
  { views }: PolicyReads,
): readonly Lost[] {
  return targets.flatMap((target) => {
    const paths = floorsAbove(policy, gateway, target, views);
    if (paths.every((floors) => floors.length === 0)) return [];
    return writtenSlices(policy, views.slices).flatMap((slice) => lostSection(policy, target, slice, paths, views));
  });
}

/** By listener: the layers whose Overrides the policy meets at the target, farthest first. */
function floorsAbove(
  policy: ParsedApiPolicy,
  gatewayId: string,
  target: Target,
  views: Views,
): readonly (readonly Layer[])[] {
  const gateway = splitId(gatewayId);
  const { namespace } = policy.key;
  const { level, ref } = target;
  // What many policies meet is read as floors, what is the policy's own as it is: a value of its own would cost more than it saves.
  const own = layerOf(policy, target, views);
  const listeners =
    level === "Gateway"
      ? [undefined]
      : level === "Listener"
        ? [ref.sectionName]
        : level === "Namespace"
          ? listenersFor(namespace, gatewayId, views)
          : listenersOf(`${namespace}/${ref.name}`, gatewayId, views);
  return [...new Set(listeners)].map((listener) => {
    const farther = [
      ...(level === "Gateway" ? [] : [views.floorsAt("Gateway", gateway.namespace, gateway.name)]),
      ...(level === "Gateway" || level === "Listener" || listener === undefined
        ? []
        : [views.floorsAt("Listener", gateway.namespace, gateway.name, listener)]),
      ...(level === "Route" || level === "Rule" ? [views.floorsAt("Namespace", namespace, namespace)] : []),
      ...(level === "Rule" ? [views.layerAt("Route", namespace, ref.name)] : []),
    ];
    // A floor stands beneath the Default of its own target, not beneath itself.
    const met = policy.precedence === "Override" ? farther : [...farther, own];
    return met.filter(({ policies }) => policies.some(({ precedence }) => precedence === "Override"));
  });
}

/** Through which listeners of the Gateway a route is reached. */
function listenersOf(route: string, gateway: string, views: Views): readonly string[] {
  const { parents } = views.attachments.get(route);
  return parents.flatMap((parent) => (parent.gateway === gateway ? parent.listeners : []));
}

/** Which of them routes of a namespace could be reached through; those that choose by labels are taken for open. */
function listenersFor(namespace: string, gateway: string, views: Views): readonly string[] {
  const own = splitId(gateway).namespace === namespace;
  const listeners = views.gateways.get(gateway)?.listeners ?? [];
  return listeners.flatMap(({ name, spec: { from } }) => (from === "None" || (from === "Same" && !own) ? [] : [name]));
}

function lostSection(
  policy: ParsedApiPolicy,
  { level, text }: Target,
  slice: AnySlice,
  paths: readonly (readonly Layer[])[],
  views: Views,
): readonly Lost[] {
  const state = levelFault(slice, policy, level) ?? views.state(policy, slice);
  if (!state.ok) return [];
  const found = paths.map((layers) => layers.flatMap((layer) => clash(policy, slice, state.model, layer, views) ?? []));
  const messages = new Set(found.flat().map(({ message }) => `${slice.key} of ${text}: ${message}`));
  const whole = found.every((clashes) => clashes.some((one) => one.whole));
  return [...messages].map((message) => ({ part: `${slice.key} ${text}`, whole, message }));
}

function clash(
  policy: ParsedApiPolicy,
  slice: AnySlice,
  near: unknown,
  layer: Layer,
  views: Views,
): { readonly whole: boolean; readonly message: string } | undefined {
  const floor = winnerOf(slice.key, layer, policy.mode, "Override");
  if (floor === undefined || policyId(floor) === policyId(policy)) return undefined;
  const state = levelFault(slice, floor, layer.level) ?? views.state(floor, slice);
  if (!state.ok) return undefined; // it closes the target, and its own status says so
  const name = policyText(floor);
  if (slice.tighten === undefined) return { whole: true, message: `the Override ${name} holds in its place` };
  const { overridden, partly } = slice.tighten(state.model, near);
  if (overridden === undefined) return undefined;
  return { whole: partly !== true, message: textOf(name, overridden) };
}

function textOf(floor: string, { message }: Problem): string {
  return `the Override ${floor} holds: ${message}`;
}
