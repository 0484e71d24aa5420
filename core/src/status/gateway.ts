/** Status of a Gateway and its listeners, and of a GatewayClass, but for what only proxies can say. */
import { certificateRefs } from "../attach/certificates.ts";
import type { Listener } from "../attach/listeners.ts";
import { joinKey } from "../key.ts";
import type { GatewayClass } from "../kinds/gateway-api/gateway.ts";
import { idOf } from "../kinds/meta.ts";
import type { Objects } from "../objects.ts";
import type { ParameterReads, Parameters } from "../infrastructure/parameters.ts";
import { clusterReach, externalReach } from "./reach.ts";
import { frontendPiece } from "../translate/frontend-tls.ts";
import { readPair } from "../translate/secret.ts";
import type { Wiring } from "../translate/wiring.ts";
import type { OwnGateway, Views } from "../views.ts";
import type { Condition, ListenerStatus, ObjectStatus } from "../world.ts";
import { condition, type Fault, POLICY_AFFECTED } from "./condition.ts";

export interface GatewayReads {
  readonly objects: Objects;
  readonly views: Views;
  readonly wiring: Wiring;
  readonly parameters: ParameterReads;
}

export function gatewayStatus(own: OwnGateway, reads: GatewayReads): Extract<ObjectStatus, { kind: "Gateway" }> {
  const { gateway } = own;
  const { generation } = gateway;
  const listeners = own.listeners.map((listener) => listenerStatus(own, listener, reads));
  const valid = own.listeners.some(({ fault }) => fault === undefined);
  const reach = own.inCluster ? clusterReach(own, reads) : externalReach(own);
  const invalid: Fault | undefined = valid
    ? undefined
    : { reason: "ListenersNotValid", message: "no listener can be served; see their conditions" };
  const allValid = own.listeners.every(({ fault }) => fault === undefined);
  const accepted = allValid
    ? { reason: "Accepted", message: "every listener is valid" }
    : { reason: "ListenersNotValid", message: "some listeners cannot be served; see their conditions" };
  const fault = reach.fault ?? invalid;
  return {
    kind: "Gateway",
    generation,
    conditions: [
      condition("Accepted", generation, fault, accepted),
      ...(fault === undefined
        ? []
        : [condition("Programmed", generation, { reason: "Invalid", message: fault.message }, accepted)]),
      ...(fault === undefined && reach.waits !== undefined
        ? [condition("Programmed", generation, reach.waits, accepted)]
        : []),
      ...affected(reads.views.policiesAt("Gateway", gateway.namespace, gateway.name).length > 0, generation),
    ],
    addresses: invalid === undefined ? reach.addresses : [],
    listeners,
  };
}

/** GEP-713: an object says that a policy changes how it behaves, and here also which one, broken, closes it. */
export function affected(
  byPolicy: boolean,
  generation: number,
  closures: readonly string[] = [],
): readonly Condition[] {
  return byPolicy
    ? [
        condition(POLICY_AFFECTED, generation, undefined, {
          reason: "PolicyAffected",
          message: ["an ApiPolicy holds here", ...closures].join("; "),
        }),
      ]
    : [];
}

function listenerStatus(own: OwnGateway, listener: Listener, reads: GatewayReads): ListenerStatus {
  const { generation } = own.gateway;
  const { fault, kindsFault, kinds, name } = listener;
  const refs =
    fault === undefined && listener.protocol === "HTTPS" ? certificateFault(own, listener, reads) : undefined;
  const unresolved = kindsFault ?? refs;
  const [broken] = [fault, refs].filter((one) => one !== undefined);
  return {
    name,
    supportedKinds: kinds,
    attachedRoutes: reads.wiring.attachedRoutes.size(joinKey(idOf(own.gateway), name)),
    conditions: [
      condition("Accepted", generation, fault?.condition === "Accepted" ? fault : undefined, {
        reason: "Accepted",
        message: "the listener is valid",
      }),
      conflicted(listener, generation),
      condition("ResolvedRefs", generation, unresolved, {
        reason: "ResolvedRefs",
        message: "every reference is there and may be used",
      }),
      condition("Programmed", generation, broken && { reason: "Invalid", message: broken.message }, {
        reason: "Programmed",
        message: "",
      }),
      ...affected(
        reads.views.policiesAt("Gateway", own.gateway.namespace, own.gateway.name, name).length > 0,
        generation,
      ),
    ],
  };
}

function conflicted({ fault }: Listener, generation: number): Condition {
  const conflict = fault?.condition === "Conflicted" ? fault : undefined;
  return {
    type: "Conflicted",
    status: conflict === undefined ? "False" : "True",
    reason: conflict?.reason ?? "NoConflicts",
    message: conflict?.message ?? "no other listener has its port and hostname",
    observedGeneration: generation,
  };
}

function certificateFault(own: OwnGateway, listener: Listener, { objects, views }: GatewayReads): Fault | undefined {
  const refs = certificateRefs(own, listener, views);
  if (refs.length === 0)
    return {
      reason: "InvalidCertificateRef",
      message: "tls.certificateRefs is empty; name a Secret of type kubernetes.io/tls",
    };
  for (const ref of refs) {
    if (!ref.ok) return ref.fault;
    const pair = readPair(ref.secret, objects.values.get(`Secret/${ref.secret}`));
    if (!pair.ok) return pair;
  }
  const frontend = frontendPiece(own.gateway, listener.port, { values: objects.values, permitted: views.permitted });
  if (frontend?.ok === false) return frontend.fault;
  return undefined;
}

/** Gateway API features that hold (its names), sorted as the API wants them. */
const SUPPORTED_FEATURES: readonly string[] = [
  "BackendTLSPolicy",
  "BackendTLSPolicySANValidation",
  "Gateway",
  "GatewayFrontendClientCertificateValidation",
  "GatewayFrontendClientCertificateValidationInsecureFallback",
  "GatewayHTTPListenerIsolation",
  "GatewayPort8080",
  "GatewayStaticAddresses",
  "HTTPRoute",
  "HTTPRoute303RedirectStatusCode",
  "HTTPRoute307RedirectStatusCode",
  "HTTPRoute308RedirectStatusCode",
  "HTTPRouteBackendProtocolH2C",
  "HTTPRouteBackendProtocolWebSocket",
  "HTTPRouteBackendRequestHeaderModification",
  "HTTPRouteBackendTimeout",
  "HTTPRouteDestinationPortMatching",
  "HTTPRouteHostRewrite",
  "HTTPRouteMethodMatching",
  "HTTPRouteNamedRouteRule",
  "HTTPRouteParentRefPort",
  "HTTPRoutePathRedirect",
  "HTTPRoutePathRewrite",
  "HTTPRoutePortRedirect",
  "HTTPRouteQueryParamMatching",
  "HTTPRouteRequestMirror",
  "HTTPRouteRequestMultipleMirrors",
  "HTTPRouteRequestPercentageMirror",
  "HTTPRouteRequestTimeout",
  "HTTPRouteResponseHeaderModification",
  "HTTPRouteSchemeRedirect",
  "ReferenceGrant",
].toSorted();

/** @param parameters where proxies run in the cluster: what the class's parametersRef leads to */
export function gatewayClassStatus(
  { generation }: GatewayClass,
  parameters: Parameters | undefined,
): Extract<ObjectStatus, { kind: "GatewayClass" }> {
  return {
    kind: "GatewayClass",
    generation,
    conditions: [
      condition("Accepted", generation, parameters?.ok === false ? parameters.fault : undefined, {
        reason: "Accepted",
        message: "Gatewarden serves Gateways of this class",
      }),
    ],
    supportedFeatures: SUPPORTED_FEATURES.map((name) => ({ name })),
  };
}
