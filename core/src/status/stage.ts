/** The stage of statuses: one effect per object, after everything that it could speak of. */
import type { Consumers } from "../consumers/view.ts";
import { consumerStatus } from "../consumers/status.ts";
import { grantStatus, type Named } from "../grants/status.ts";
import { classParameters } from "../infrastructure/parameters.ts";
import { parameterReads } from "../infrastructure/stage.ts";
import type { Right } from "../kinds/api-grant.ts";
import { splitId } from "../kinds/meta.ts";
import type { Graph } from "../memo.ts";
import type { Objects, PresentKind } from "../objects.ts";
import type { Outbox } from "../outbox.ts";
import type { BackendTlsViews } from "../translate/backend-tls.ts";
import type { Wiring } from "../translate/wiring.ts";
import type { Lookup } from "../slice.ts";
import type { Views } from "../views.ts";
import type { ObjectKey, ObjectStatus } from "../world.ts";
import { backendTlsStatus } from "./backend-tls.ts";
import { gatewayClassStatus, gatewayStatus } from "./gateway.ts";
import { policyStatus } from "./policy.ts";
import { routeStatus } from "./route.ts";

export interface StatusParts {
  readonly graph: Graph;
  readonly objects: Objects;
  readonly views: Views;
  readonly wiring: Wiring;
  readonly outbox: Outbox;
  readonly consumers: Consumers;
  readonly backendTls: BackendTlsViews;
  readonly clock: Pick<Lookup, "nowMs" | "until">;
  readonly controllerName: string;
  /** Proxies run in pods that we make. */
  readonly inCluster: boolean;
}

const RANK = 4;

export function createStatuses(parts: StatusParts): void {
  const { graph, objects, views, wiring, outbox, consumers } = parts;

  function statuses(kind: PresentKind, statusOf: (id: string) => ObjectStatus | undefined): void {
    const key = (id: string): ObjectKey =>
      kind === "GatewayClass" ? { kind, namespace: "", name: id } : { kind, ...splitId(id) };
    const effects = graph.effects(
      `status-${kind}`,
      RANK,
      (id) => outbox.status(key(id), statusOf(id)),
      (id) => outbox.status(key(id), undefined),
    );
    objects.follow(kind, effects);
  }

  const parameters = parameterReads(objects);
  statuses("GatewayClass", (id) => {
    const gatewayClass = objects.classes.get(id);
    return gatewayClass?.controllerName === parts.controllerName
      ? gatewayClassStatus(gatewayClass, parts.inCluster ? classParameters(gatewayClass, parameters) : undefined)
      : undefined;
  });
  statuses("Gateway", (id) => {
    const own = views.gateways.get(id);
    return own && gatewayStatus(own, { objects, views, wiring, parameters });
  });
  statuses("HTTPRoute", (id) => {
    const route = objects.routes.get(id);
    return route && routeStatus(route, { views, wiring });
  });
  statuses("ApiPolicy", (id) => {
    const policy = objects.policies.get(id);
    return policy && policyStatus(policy, { objects, views, wiring });
  });
  statuses("BackendTLSPolicy", (id) => {
    const policy = objects.backendTls.get(id);
    return policy && backendTlsStatus(policy, parts.backendTls, wiring);
  });
  statuses("ApiGrant", (id) => {
    const grant = objects.apiGrants.get(id);
    if (grant === undefined) return undefined;
    const { namespace } = grant.key;
    const named = (right: Right): Named => ({
      consumer: objects.consumers.get(`${namespace}/${right.consumer}`),
      policy: objects.policies.get(`${namespace}/${right.policy}`),
    });
    return grantStatus(grant, named, [...wiring.grantsOn.get(id).keys()].sort(), parts.clock);
  });
  statuses("ApiConsumer", (id) => {
    const credentials = consumers.credentials.get(id);
    const settled = consumers.settled.get(id);
    if (credentials === undefined || settled === undefined) return undefined;
    const { namespace } = splitId(id);
    return consumerStatus(credentials, settled, [...wiring.consumersOn.get(namespace).keys()].sort());
  });
}
