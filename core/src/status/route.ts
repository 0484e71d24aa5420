/** Status of an HTTPRoute: per parent of ours, whether it attached and whether its references lead somewhere. */
import type { ParentVerdict } from "../attach/attachment.ts";
import { routeFaults } from "../attach/route-faults.ts";
import type { HttpRoute } from "../kinds/gateway-api/http-route.ts";
import { splitKey } from "../key.ts";
import { compareText, idOf } from "../kinds/meta.ts";
import { placeKey } from "../translate/host-stage.ts";
import type { Wiring } from "../translate/wiring.ts";
import type { Views } from "../views.ts";
import type { Condition, ObjectStatus } from "../world.ts";
import { condition, type Fault } from "./condition.ts";
import { affected } from "./gateway.ts";

export interface RouteReads {
  readonly views: Views;
  readonly wiring: Wiring;
}

/** Undefined where no parent is ours. */
export function routeStatus(
  route: HttpRoute,
  reads: RouteReads,
): Extract<ObjectStatus, { kind: "HTTPRoute" }> | undefined {
  const { parents, places } = reads.views.attachments.get(idOf(route));
  if (parents.length === 0) return undefined;
  const { generation } = route;
  const faults = routeFaults(route);
  const lost = reads.wiring.lostHosts.get(idOf(route));
  const claimed = ({ gateway, listeners }: ParentVerdict): readonly string[] | undefined => {
    const own = places.filter((place) => place.gateway === gateway && listeners.includes(place.listener));
    const gone = own.filter((place) => lost.has(placeKey(place)));
    return own.length > 0 && gone.length === own.length ? gone.map(({ pattern }) => pattern) : undefined;
  };
  const partlyLost = places.filter((place) => lost.has(placeKey(place))).map(({ pattern }) => pattern);
  const refs = backendFault(route, reads.views);
  return {
    kind: "HTTPRoute",
    generation,
    parents: parents.map((parent) => ({
      parentRef: parent.written,
      gateway: parent.gateway,
      conditions: [
        condition("Accepted", generation, acceptedFault(parent, route, faults, claimed(parent)), {
          reason: "Accepted",
          message: partlyLost.length === 0 ? parent.message : `${parent.message}; ${claimedText(partlyLost)}`,
        }),
        condition("ResolvedRefs", generation, refs, {
          reason: "ResolvedRefs",
          message: "every reference is there and may be used",
        }),
        ...partiallyInvalid(route, faults, generation),
        ...affected(isAffected(route, parent, reads.views), generation, closuresOf(route, parent, reads.wiring)),
      ],
    })),
  };
}

function acceptedFault(
  parent: ParentVerdict,
  route: HttpRoute,
  faults: readonly Fault[],
  claimed: readonly string[] | undefined,
): Fault | undefined {
  if (!parent.accepted) return { reason: parent.reason, message: parent.message };
  if (faults[0] !== undefined && faults.length === route.rules.length)
    return { reason: faults[0].reason, message: faults.map(({ message }) => message).join("; ") };
  return claimed && { reason: "HostnameClaimed", message: claimedText(claimed) };
}

/** Host by host, whose it is: the older route's namespace (rules.md R41). */
function claimedText(lost: readonly string[]): string {
  const hosts = [...new Set(lost)].sort();
  return `an older route of another namespace holds ${hosts.slice(0, 8).join(", ")}${hosts.length > 8 ? ` and ${hosts.length - 8} more` : ""}`;
}

function partiallyInvalid(route: HttpRoute, faults: readonly Fault[], generation: number): readonly Condition[] {
  if (faults.length === 0 || faults.length === route.rules.length) return [];
  const message = `Dropped Rule(s): ${faults.map((fault) => fault.message).join("; ")}`;
  return [
    condition("PartiallyInvalid", generation, undefined, { reason: faults[0]?.reason ?? "UnsupportedValue", message }),
  ];
}

function backendFault(route: HttpRoute, views: Views): Fault | undefined {
  const from = { kind: "HTTPRoute", namespace: route.namespace };
  for (const rule of route.rules) {
    const mirrors = rule.filters.flatMap((filter) => (filter.type === "RequestMirror" ? [filter.backend] : []));
    for (const ref of [...rule.backends, ...mirrors]) {
      const backend = views.backend(ref, from);
      if (!backend.ok) return backend;
    }
  }
  return undefined;
}

/** Which broken policies close it by the parent's listeners. */
function closuresOf(route: HttpRoute, { gateway, listeners }: ParentVerdict, wiring: Wiring): readonly string[] {
  const found = [...wiring.closedBy.get(idOf(route))].filter(([place]) => {
    const [at, listener = ""] = splitKey(place);
    return at === gateway && listeners.includes(listener);
  });
  return found.map(([, text]) => text).sort(compareText);
}

function isAffected(route: HttpRoute, { gateway, listeners }: ParentVerdict, views: Views): boolean {
  const own = views.gateways.get(gateway);
  if (own === undefined) return false;
  const rules = [undefined, ...route.rules.flatMap(({ name }) => name ?? [])];
  return listeners.some((listener) =>
    rules.some((rule) => views.layers(own.gateway, listener, route, rule).length > 0),
  );
}
