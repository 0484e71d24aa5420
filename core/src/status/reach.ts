/** Where a Gateway can be reached: what its proxies bind, or what the Service in front of them has. */
import { requestedAddress } from "../infrastructure/objects.ts";
import { serviceName } from "../infrastructure/names.ts";
import { gatewayParameters, type ParameterReads } from "../infrastructure/parameters.ts";
import { DEFAULTS } from "../kinds/proxy-config.ts";
import type { Objects } from "../objects.ts";
import { boundAddresses } from "../translate/gateway-stage.ts";
import type { OwnGateway } from "../views.ts";
import type { Fault } from "./condition.ts";

export interface Reach {
  readonly addresses: readonly { readonly type: string; readonly value: string }[];
  /** Why the Gateway is not accepted as it is written. */
  readonly fault?: Fault;
  /** Why it cannot be reached yet. */
  readonly waits?: Fault;
}

/** Somebody else starts the proxies: they bind what the Gateway says. */
export function externalReach(own: OwnGateway): Reach {
  const other = own.gateway.addresses.find(({ type }) => type !== "IPAddress");
  if (other !== undefined)
    return { addresses: [], fault: unsupported(`type ${other.type} is not served; use IPAddress`) };
  return { addresses: boundAddresses(own).map((value) => ({ type: "IPAddress", value })) };
}

/** The operator runs the proxies. A mistake in the parameters changes nothing that runs, so the addresses stay. */
export function clusterReach(
  own: OwnGateway,
  reads: { readonly objects: Objects; readonly parameters: ParameterReads },
): Reach {
  const { gateway } = own;
  const reach = reads.objects.services.get(`${gateway.namespace}/${serviceName(gateway.name)}`)?.reach;
  const balanced = reach?.type === "LoadBalancer";
  const addresses =
    reach === undefined
      ? []
      : balanced
        ? reach.loadBalancer
        : reach.clusterIPs.map((value) => ({ type: "IPAddress", value }));
  const parameters = gatewayParameters(own, reads.parameters);
  if (!parameters.ok) return { addresses, fault: parameters.fault };
  const type = parameters.spec.service?.type ?? DEFAULTS.serviceType;
  const [first, second] = gateway.addresses;
  if (second !== undefined || (first !== undefined && first.type !== "IPAddress"))
    return { addresses, fault: unsupported("in the cluster at most one address of type IPAddress is served") };
  if (first !== undefined && type !== "LoadBalancer")
    return { addresses, fault: unsupported(`a Service of type ${type} cannot be given an address`) };
  const requested = requestedAddress(gateway);
  if (addresses.length === 0)
    return { addresses, waits: { reason: "AddressNotAssigned", message: "the Service has no address yet" } };
  if (requested !== undefined && !addresses.some(({ value }) => value === requested))
    return {
      addresses,
      waits: { reason: "AddressNotUsable", message: `the load balancer did not give the address ${requested}` },
    };
  return { addresses };
}

function unsupported(message: string): Fault {
  return { reason: "UnsupportedAddress", message: `spec.addresses: ${message}` };
}
