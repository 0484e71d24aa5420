/**
 * In which order a first evaluation takes the objects in: what is referred to before what refers to it, and the policies of a namespace
 * right before its routes, so that each unit is computed once and while what it reads is at hand.
 */
import type { Change, Kind } from "./world.ts";

const ORDER: readonly Kind[] = [
  "GatewayClass",
  "Namespace",
  "ReferenceGrant",
  "Secret",
  "ConfigMap",
  "Jwks",
  "Certificate",
  "Service",
  "EndpointSlice",
  "BackendTLSPolicy",
  "ApiConsumer",
  "ApiGrant",
];

export function inStartOrder(changes: readonly Change[]): Change[] {
  const withGateway = new Set(changes.flatMap(({ key }) => (key.kind === "Gateway" ? [key.namespace] : [])));
  const first = ORDER.length;
  const rank = ({ key: { kind, namespace } }: Change): number => {
    const at = ORDER.indexOf(kind);
    if (at >= 0) return at;
    // Policies on a Gateway or a listener count for all routes behind it.
    if (kind === "ApiPolicy" && withGateway.has(namespace)) return first;
    return kind === "Gateway" ? first + 1 : first + 2;
  };
  return changes
    .map((change) => ({ change, rank: rank(change), namespace: change.key.namespace, kind: change.key.kind }))
    .sort((a, b) => {
      if (a.rank !== b.rank) return a.rank - b.rank;
      if (a.rank < first + 2) return 0;
      return compare(a.namespace, b.namespace) || compare(a.kind, b.kind); // ApiPolicy before HTTPRoute
    })
    .map(({ change }) => change);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
