/** What a backendRef leads to: a port of a Service that may be named from here, or why not. */
import type { Service, ServicePort } from "../kinds/core/service.ts";
import { GATEWAY_GROUP } from "../kinds/gateway-api/gateway.ts";
import type { BackendRef } from "../kinds/gateway-api/http-route.ts";
import type { Reference } from "../kinds/gateway-api/reference-grant.ts";

export type Backend =
  | { readonly ok: true; readonly service: string; readonly port: ServicePort } // service: namespace/name
  | {
      readonly ok: false;
      readonly reason: "InvalidKind" | "BackendNotFound" | "RefNotPermitted" | "UnsupportedProtocol";
      readonly message: string;
    };

export interface BackendReads {
  readonly service: (id: string) => Service | undefined;
  readonly permitted: (reference: Reference, namespace: string) => boolean;
}

/** `from` is the object that holds the reference. */
export function resolveBackend(
  ref: BackendRef,
  from: { readonly group?: string; readonly kind: string; readonly namespace: string },
  reads: BackendReads,
): Backend {
  const id = `${ref.namespace}/${ref.name}`;
  if (ref.group !== "" || ref.kind !== "Service") {
    return {
      ok: false,
      reason: "InvalidKind",
      message: `backendRef ${id}: kind ${ref.kind} is not served; use Service`,
    };
  }
  const reference: Reference = {
    from: { group: from.group ?? GATEWAY_GROUP, kind: from.kind, namespace: from.namespace },
    to: { group: "", kind: "Service", name: ref.name },
  };
  // Asked before existence: the answer must not tell whether a foreign Service exists (R38).
  if (ref.namespace !== from.namespace && !reads.permitted(reference, ref.namespace)) {
    return {
      ok: false,
      reason: "RefNotPermitted",
      message: `backendRef ${id}: namespace ${ref.namespace} has no ReferenceGrant from ${from.kind} of namespace ${from.namespace} to this Service`,
    };
  }
  const service = reads.service(id);
  if (service === undefined) return notFound(`Service ${id} does not exist`);
  if (service.externalName) return notFound(`Service ${id} has type ExternalName, which is not served`);
  const port = service.ports.find((one) => one.port === ref.port);
  if (port === undefined) {
    return notFound(
      `Service ${id} has no TCP port ${ref.port ?? "(none written)"}; it has ${service.ports.map((one) => one.port).join(", ") || "none"}`,
    );
  }
  return { ok: true, service: id, port };
}

function notFound(message: string): Backend {
  return { ok: false, reason: "BackendNotFound", message: `backendRef: ${message}` };
}

/** Names of clusters are functions of identity: a restart changes none (R25). `tls` is the content hash of how the backend is called. */
export function clusterName(service: string, port: number, tls?: string): string {
  return tls === undefined ? `${service}:${port}` : `${service}:${port}#${tls}`;
}
