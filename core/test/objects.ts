/** Small Kubernetes objects for tests of the pipeline. */
import type { Change, Kind, KubeObject } from "../src/world.ts";

export const CONTROLLER = "gatewarden.io/gateway-controller";
export const OPTIONS = {
  controllerName: CONTROLLER,
  requirePolicy: false,
  logDirectory: "/var/log/gatewarden",
} as const;

type Written = Readonly<Record<string, unknown>>;

/** An object of one kind as a change; `created` orders ages. */
export function put(
  kind: Kind,
  name: string,
  fields: Written,
  options: { readonly namespace?: string; readonly created?: number; readonly generation?: number } = {},
): Change {
  const {
    namespace = kind === "GatewayClass" || kind === "Namespace" ? "" : "shop",
    created = 0,
    generation = 1,
  } = options;
  const object = {
    metadata: {
      name,
      ...(namespace === "" ? {} : { namespace }),
      uid: `${kind}-${namespace}-${name}`,
      generation,
      creationTimestamp: new Date(1_700_000_000_000 + created * 1000).toISOString(),
      ...(fields["metadata"] as Written | undefined),
    },
    ...Object.fromEntries(Object.entries(fields).filter(([key]) => key !== "metadata")),
  } as KubeObject;
  return { key: { kind, namespace, name }, object };
}

export function gone(change: Change): Change {
  return { key: change.key, object: undefined };
}

export const gatewayClass = put("GatewayClass", "gatewarden", { spec: { controllerName: CONTROLLER } });

export function gateway(name: string, listeners: readonly Written[], more: Written = {}): Change {
  return put("Gateway", name, {
    spec: {
      gatewayClassName: "gatewarden",
      addresses: [{ type: "IPAddress", value: "127.0.0.1" }],
      listeners,
      ...more,
    },
  });
}

export function route(name: string, spec: Written, options: Parameters<typeof put>[3] = {}): Change {
  return put("HTTPRoute", name, { spec: { parentRefs: [{ name: "edge" }], ...spec } }, options);
}

export function backend(name: string, port = 8080): Written {
  return { name, port };
}

/** A Service and the slice that says who answers. */
export function service(
  name: string,
  endpoint: { readonly address: string; readonly port: number },
  port = 8080,
  namespace = "shop",
): readonly Change[] {
  return [
    put("Service", name, { spec: { ports: [{ name: "http", port, protocol: "TCP" }] } }, { namespace }),
    put(
      "EndpointSlice",
      `${name}-1`,
      {
        metadata: { labels: { "kubernetes.io/service-name": name } },
        addressType: "IPv4",
        ports: [{ name: "http", port: endpoint.port }],
        endpoints: [{ addresses: [endpoint.address], conditions: { ready: true } }],
      },
      { namespace },
    ),
  ];
}

export function policy(
  name: string,
  targets: readonly Written[],
  sections: Written,
  options: Parameters<typeof put>[3] = {},
): Change {
  return put("ApiPolicy", name, { spec: { targetRefs: targets, ...sections } }, options);
}
