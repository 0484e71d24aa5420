/** Status of a BackendTLSPolicy: per Gateway whose routes call its Services. */
import { gatewayRef } from "../kinds/gateway-api/gateway.ts";
import type { BackendTlsPolicy } from "../kinds/gateway-api/backend-tls-policy.ts";
import { compareText, idOf, splitId } from "../kinds/meta.ts";
import type { BackendTlsViews } from "../translate/backend-tls.ts";
import type { Wiring } from "../translate/wiring.ts";
import type { ObjectStatus } from "../world.ts";
import { condition, type Fault } from "./condition.ts";

export function backendTlsStatus(
  policy: BackendTlsPolicy,
  views: BackendTlsViews,
  wiring: Wiring,
): Extract<ObjectStatus, { kind: "BackendTLSPolicy" }> {
  const { generation, namespace, targets } = policy;
  const gateways = new Set(
    targets.flatMap(({ name }) => [...wiring.gatewaysByService.get(`${namespace}/${name}`).keys()]),
  );
  const fault = views.fault(policy);
  const lost = targets.flatMap(({ name, sectionName }) => {
    const winner = views.winner(`${namespace}/${name}`, sectionName);
    return winner === undefined || idOf(winner) === idOf(policy)
      ? []
      : [`Service ${name}: the older policy ${winner.name} has it`];
  });
  const conflict: Fault | undefined =
    targets.length > 0 && lost.length === targets.length
      ? { reason: "Conflicted", message: lost.join("; ") }
      : undefined;
  const accepted =
    conflict ??
    (fault && { reason: fault.reason === "Invalid" ? "Invalid" : "NoValidCACertificate", message: fault.message });
  const refs = fault === undefined || fault.reason === "Invalid" ? undefined : fault;
  const conditions = [
    condition("Accepted", generation, accepted, { reason: "Accepted", message: "the policy is valid and attached" }),
    condition("ResolvedRefs", generation, refs, { reason: "ResolvedRefs", message: "every CA is there" }),
  ];
  return {
    kind: "BackendTLSPolicy",
    generation,
    target: targets.map(({ kind, name }) => `${kind}/${name}`).join(", "),
    ancestors: [...gateways]
      .sort(compareText)
      .map((gateway) => ({ ancestorRef: gatewayRef(splitId(gateway)), gateway, conditions })),
  };
}
