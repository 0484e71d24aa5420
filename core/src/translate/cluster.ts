/** Clusters and their endpoints: one cluster per Service port and way to call it; addresses travel by EDS only. */
import type { EndpointSlice, ServicePort } from "../kinds/core/service.ts";
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

/** Ready addresses of the Service's port over all its slices, sorted: the order in which slices come says nothing. */
export function endpointsJson(name: string, port: ServicePort, slices: readonly EndpointSlice[]): JsonObject {
  const addresses = new Set<string>();
  for (const slice of slices) {
    const target = slice.ports.find((one) => one.name === port.name);
    if (target === undefined) continue;
    for (const address of slice.ready) addresses.add(`${address} ${target.port}`);
  }
  return {
    "@type": `${TYPE}config.endpoint.v3.ClusterLoadAssignment`,
    cluster_name: name,
    endpoints: addresses.size === 0 ? [] : [{ lb_endpoints: [...addresses].sort().map(endpointJson) }],
  };
}

function endpointJson(text: string): JsonObject {
  const [address = "", port = ""] = text.split(" ");
  return { endpoint: { address: { socket_address: { address, port_value: Number(port) } } } };
}
