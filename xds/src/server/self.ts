/**
 * The proxies of a gateway as the endpoints of their local cluster. Envoy divides a PerGateway limit by how many there are
 * (`local_cluster_rate_limit`); nobody ever connects to these addresses, they only differ.
 */
import { SELF_CLUSTER } from "../bootstrap.ts";
import type { JsonObject, ResourceChange } from "../types.ts";

/** @param slots a small number for each proxy, kept while it is known, so that a reconnect changes no bytes */
export function selfEndpoints(gateway: string, slots: readonly number[]): ResourceChange {
  const endpoints = slots.toSorted((one, other) => one - other).map(endpointAt);
  const json: JsonObject = {
    "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    cluster_name: SELF_CLUSTER,
    endpoints: [{ lb_endpoints: endpoints }],
  };
  return { gateway, type: "endpoint", name: SELF_CLUSTER, json: slots.length === 0 ? undefined : json };
}

const FIRST_PORT = 1;

function endpointAt(slot: number): JsonObject {
  return { endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: FIRST_PORT + slot } } } };
}

/** The smallest number that is not taken. */
export function freeSlot(taken: Iterable<number>): number {
  const used = new Set(taken);
  let slot = 0;
  while (used.has(slot)) slot += 1;
  return slot;
}
