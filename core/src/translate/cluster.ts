/** Clusters and their endpoints: one cluster per Service port and way to call it; addresses travel by EDS only. */
import type { EndpointSlice, ServicePort } from "../kinds/core/service.ts";
import { compareText } from "../kinds/meta.ts";
import type { JsonObject } from "../world.ts";
import { TYPE } from "./chain.ts";

export interface ClusterUse {
  readonly name: string;
  readonly service: string; // namespace/name
  readonly port: ServicePort;
  readonly transportSocket?: JsonObject;
  /** Called by gRPC, whatever the Service says. */
  readonly grpc?: true;
}

const HTTP_OPTIONS = `${TYPE}extensions.upstreams.http.v3.HttpProtocolOptions`;

export function clusterJson({ name, port, transportSocket, grpc }: ClusterUse): JsonObject {
  return {
    "@type": `${TYPE}config.cluster.v3.Cluster`,
    name,
    type: "EDS",
    // With the first endpoints or none: an unknown Service must not hold up the listener.
    eds_cluster_config: { eds_config: { ads: {}, resource_api_version: "V3" } },
    connect_timeout: "5s",
    lb_policy: "LEAST_REQUEST",
    common_lb_config: { healthy_panic_threshold: { value: 0 } },
    ignore_health_on_host_removal: true,
    per_connection_buffer_limit_bytes: 32768,
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": HTTP_OPTIONS,
        ...protocolJson(grpc === true || port.appProtocol === "kubernetes.io/h2c"),
      },
    },
    ...(transportSocket === undefined ? {} : { transport_socket: transportSocket }),
  };
}

function protocolJson(http2: boolean): JsonObject {
  return http2
    ? { explicit_http_config: { http2_protocol_options: {} } }
    : { explicit_http_config: { http_protocol_options: {} } };
}

export function endpointsJson(name: string, port: ServicePort, slices: readonly EndpointSlice[]): JsonObject {
  const ready = readyAddresses(port, slices);
  return {
    "@type": `${TYPE}config.endpoint.v3.ClusterLoadAssignment`,
    cluster_name: name,
    endpoints: ready.length === 0 ? [] : [{ lb_endpoints: ready.map(endpointJson) }],
  };
}

/** Who is ready on the Service's port, over all its slices, sorted: the order in which slices come says nothing. */
export function readyAddresses(port: ServicePort, slices: readonly EndpointSlice[]): readonly Address[] {
  const ready = new Map<string, Address>();
  for (const slice of slices) {
    const target = slice.ports.find((one) => one.name === port.name);
    if (target === undefined) continue;
    for (const host of slice.ready) ready.set(`${host} ${target.port}`, { host, port: target.port });
  }
  return [...ready].sort(([a], [b]) => compareText(a, b)).map(([, address]) => address);
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

function endpointJson({ host, port }: Address): JsonObject {
  return { endpoint: { address: { socket_address: { address: host, port_value: port } } } };
}
