/** Service and EndpointSlice: which ports exist and who answers on them. */
import type { KubeObject } from "../../world.ts";
import { fields, integer, items, present, text, texts } from "../json.ts";
import { type Meta, metaOf } from "../meta.ts";

export interface ServicePort {
  readonly port: number;
  readonly name: string; // "" for a port without a name
  readonly appProtocol?: string;
}

export interface Service {
  readonly namespace: string;
  readonly name: string;
  readonly externalName: boolean;
  readonly ports: readonly ServicePort[];
  /** Only of a Service in front of a Gateway's proxies. */
  readonly reach?: ServiceReach;
}

/** Where a Service can be reached. */
export interface ServiceReach {
  readonly type: string;
  readonly clusterIPs: readonly string[];
  readonly loadBalancer: readonly { readonly type: "IPAddress" | "Hostname"; readonly value: string }[];
}

/** Gateway API's label of what is made for a Gateway (GEP-1762). */
export const GATEWAY_NAME_LABEL = "gateway.networking.k8s.io/gateway-name";

export interface EndpointSlice {
  readonly namespace: string;
  readonly name: string;
  readonly service: string;
  readonly ports: readonly { readonly name: string; readonly port: number }[];
  readonly ready: readonly string[]; // addresses
}

export function parseService(object: KubeObject): Service {
  const spec = fields(object.spec);
  const { namespace, name } = metaOf(object);
  return {
    namespace,
    name,
    externalName: spec["type"] === "ExternalName",
    ports: items(spec["ports"]).flatMap((item) => {
      const port = fields(item);
      const number = integer(port["port"]);
      const udp = (text(port["protocol"]) ?? "TCP") !== "TCP";
      if (number === undefined || udp) return [];
      return [
        {
          port: number,
          name: text(port["name"]) ?? "",
          ...present<Pick<ServicePort, "appProtocol">>({ appProtocol: text(port["appProtocol"]) }),
        },
      ];
    }),
    ...(object.metadata.labels?.[GATEWAY_NAME_LABEL] === undefined ? {} : { reach: parseReach(object) }),
  };
}

function parseReach(object: KubeObject): ServiceReach {
  const spec = fields(object.spec);
  const ingress = items(fields(fields(object.status)["loadBalancer"])["ingress"]);
  return {
    type: text(spec["type"]) ?? "ClusterIP",
    clusterIPs: texts(spec["clusterIPs"]).filter((address) => address !== "None"),
    loadBalancer: ingress.flatMap((item): ServiceReach["loadBalancer"] => {
      const { ip, hostname } = fields(item);
      if (typeof ip === "string" && ip !== "") return [{ type: "IPAddress", value: ip }];
      return typeof hostname === "string" && hostname !== "" ? [{ type: "Hostname", value: hostname }] : [];
    }),
  };
}

/** Undefined for slices that belong to no Service or hold names instead of addresses. */
export function parseEndpointSlice(object: KubeObject): EndpointSlice | undefined {
  const service = object.metadata.labels?.["kubernetes.io/service-name"];
  if (service === undefined || object["addressType"] === "FQDN") return undefined;
  const { namespace, name }: Meta = metaOf(object);
  return {
    namespace,
    name,
    service,
    ports: items(object["ports"]).flatMap((item) => {
      const port = fields(item);
      const number = integer(port["port"]);
      return number === undefined ? [] : [{ name: text(port["name"]) ?? "", port: number }];
    }),
    ready: items(object["endpoints"]).flatMap((item) => {
      const endpoint = fields(item);
      // Absent means ready (EndpointSlice API); terminating endpoints are not.
      return fields(endpoint["conditions"])["ready"] === false
        ? []
        : items(endpoint["addresses"]).filter((address) => typeof address === "string");
    }),
  };
}
