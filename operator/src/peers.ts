/**
 * The proxies of a Gateway as the EDS cluster that their bootstrap names: how many there are divides PerGateway limits. Nobody connects to
 * these endpoints, so their addresses only count (RFC 5737).
 */
import type { JsonObject, Output, ResourceChange } from "@gatewarden/core/world.ts";
import { SELF_CLUSTER } from "@gatewarden/xds/bootstrap.ts";

export interface Peers {
  /** What the Gateways of an output add or take away. */
  update(output: Pick<Output, "resources" | "statuses">): readonly ResourceChange[];
  /** What a proxy that came or went changes. */
  recount(gateway: string): readonly ResourceChange[];
}

/** Beyond this a share is as good as nothing anyway. */
const MOST_PROXIES = 10_000;

/** @param count proxies of a gateway that are connected */
export function createPeers(count: (gateway: string) => number): Peers {
  const told = new Map<string, number>();

  const recount = (gateway: string): readonly ResourceChange[] => {
    const proxies = Math.min(MOST_PROXIES, Math.max(1, count(gateway)));
    if (!told.has(gateway) || told.get(gateway) === proxies) return [];
    told.set(gateway, proxies);
    return [{ gateway, type: "endpoint", name: SELF_CLUSTER, json: assignment(proxies), owners: [] }];
  };

  return {
    update(output) {
      const changes: ResourceChange[] = [];
      for (const { gateway } of output.resources) {
        if (told.has(gateway)) continue;
        told.set(gateway, 0);
        changes.push(...recount(gateway));
      }
      for (const { key, status } of output.statuses) {
        if (key.kind !== "Gateway") continue;
        const gateway = `${key.namespace}/${key.name}`;
        if (status !== undefined && !told.has(gateway)) {
          told.set(gateway, 0);
          changes.push(...recount(gateway));
        } else if (status === undefined && told.delete(gateway)) {
          changes.push({ gateway, type: "endpoint", name: SELF_CLUSTER, json: undefined, owners: [] });
        }
      }
      return changes;
    },
    recount,
  };
}

function assignment(proxies: number): JsonObject {
  const endpoints = Array.from({ length: proxies }, (_, index) => ({
    endpoint: {
      address: { socket_address: { address: `192.0.2.${(index % 254) + 1}`, port_value: Math.floor(index / 254) + 1 } },
    },
  }));
  return {
    "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    cluster_name: SELF_CLUSTER,
    endpoints: [{ lb_endpoints: endpoints }],
  };
}
