/** Service and EndpointSlice: which ports exist and who answers on them. */
import type { KubeObject } from "../../world.ts";
import { fields, integer, items, present, text } from "../json.ts";
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
}

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
