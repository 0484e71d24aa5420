/** A Gateway whose proxies the operator runs in pods, reached through its Service: for scenarios on a cluster where the charts are installed. */
import { once } from "node:events";
import { connect } from "node:net";
import { eventually } from "../cluster/condition.ts";
import type { Api } from "./api.ts";
import { GATEWAY_CLASS } from "./installation.ts";
import { DEFAULT_PORT, type GatewayHandle, type GatewayOptions, type Tenant } from "./tenant.ts";

/** "1": the shared cluster has the charts, and the operator and every proxy run in pods. */
export const PODS_VARIABLE = "GATEWARDEN_TEST_PODS";

export const onPods = (): boolean => process.env[PODS_VARIABLE] === "1";

/** Of what a test asks for a process that runs in a pod. Always throws. */
export function noProcess(what: string): never {
  throw new Error(`${what} runs in a pod here, so there is no process of it: leave this scenario out on pods`);
}

/** A pod is scheduled, started and found by kube-proxy in that time also where two processors do everything. */
const START_LIMIT_MS = 120_000;

async function accepts(address: string, port: number): Promise<boolean> {
  const socket = connect(port, address);
  try {
    await once(socket, "connect");
    return true;
  } finally {
    socket.destroy();
  }
}

const PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

interface Service {
  readonly ports?: readonly { readonly port: number; readonly nodePort?: number }[];
}

/** Resolves when it is programmed and its Service has a port on the node for each listener. */
export async function createPodGateway(
  api: Api,
  tenant: Pick<Tenant, "namespace" | "apply" | "waitFor">,
  options: GatewayOptions,
): Promise<GatewayHandle> {
  const { namespace } = tenant;
  const { name = "edge", annotations = {}, spec } = options;
  const listeners = options.listeners ?? [{ name: "http", port: DEFAULT_PORT, protocol: "HTTP" }];
  await tenant.apply([
    {
      apiVersion: "gatewarden.io/v1alpha1",
      kind: "ProxyConfig",
      metadata: { name },
      spec: {
        replicas: options.proxies ?? 1,
        service: { type: "NodePort" },
        drainTime: "1s",
        resources: { requests: { cpu: "50m", memory: "64Mi" } },
      },
    },
    {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name, annotations },
      spec: {
        gatewayClassName: GATEWAY_CLASS,
        listeners,
        infrastructure: { parametersRef: { group: "gatewarden.io", kind: "ProxyConfig", name } },
        ...spec,
      },
    },
  ]);
  await tenant.waitFor("Gateway", name, "Programmed", undefined, START_LIMIT_MS);
  const ports = await eventually("a port on the node for each listener", async () => {
    const service = await api.get({ kind: "Service", namespace, name: `gateway-${name}` });
    const found = (service?.["spec"] as Service | undefined)?.ports ?? [];
    return found.length > 0 && found.every(({ nodePort }) => nodePort !== undefined) ? found : undefined;
  });
  const [node] = await api.list("Node");
  const { addresses = [] } = (node?.status ?? {}) as {
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
  };
  const address = addresses.find(({ type }) => type === "InternalIP")?.address;
  if (address === undefined) throw new Error("the node has no internal address");
  // kube-proxy learns of a ready pod a moment after the API server does, and refuses connections until then.
  for (const { nodePort = 0 } of ports)
    await eventually(`somebody behind port ${String(nodePort)}`, () => accepts(address, nodePort));
  return {
    name,
    address,
    clients: PRIVATE, // the node's, or that of its bridge
    get envoy() {
      return noProcess("the proxy");
    },
    get envoys() {
      return noProcess("the proxy");
    },
    addProxy: () => noProcess("a proxy"),
    target: ({ port = DEFAULT_PORT, from, tls } = {}) => {
      if (from !== undefined)
        throw new Error("the node hides where a call comes from: leave this scenario out on pods");
      const onNode = ports.find((one) => one.port === port)?.nodePort;
      if (onNode === undefined) throw new Error(`the Gateway's Service has no port ${String(port)}`);
      return { address, port: onNode, ...(tls === undefined ? {} : { tls }) };
    },
  };
}
