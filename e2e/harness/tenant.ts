/** A namespace of a test: what a team has there, and short ways to change and read it. */
import type { Cluster } from "../cluster/driver.ts";
import { upstreamAddress } from "../cluster/netns.ts";
import type { EnvoyProcess } from "../envoy/process.ts";
import type { ClientTls, Target } from "../client/target.ts";
import { type EchoTls, type EchoUpstream, startEcho } from "../upstream/echo.ts";
import type { Api, KubeObject, Manifests } from "./api.ts";
import { type Condition, type Expected, waitForCondition } from "./condition.ts";
import { GATEWAY_CLASS, OPERATOR_ACCOUNT, OPERATOR_NAMESPACE } from "./installation.ts";
import { createPodGateway, onPods } from "./pod-gateway.ts";
import { type ProxyOptions, startProxy } from "./proxy.ts";

export interface Tenant {
  readonly namespace: string;
  /** Server-side apply in this namespace, unknown fields refused. */
  readonly apply: (manifests: Manifests) => Promise<readonly KubeObject[]>;
  readonly get: (kind: string, name: string) => Promise<KubeObject | undefined>;
  readonly remove: (kind: string, name: string) => Promise<void>;
  /** Waits for a condition, also of ancestors, parents and listeners, at the present generation. Default: it is True. */
  readonly waitFor: (
    kind: string,
    name: string,
    condition: string,
    expected?: Expected,
    limitMs?: number,
  ) => Promise<Condition>;
  /** Applies one object and waits until it is in force: `Ready` (Gateways: `Programmed`, routes: `Accepted`) at its new generation. */
  readonly enforce: (manifest: Manifests) => Promise<void>;
  readonly secret: (name: string, data: Readonly<Record<string, string>>, type?: string) => Promise<void>;
  readonly configMap: (name: string, data: Readonly<Record<string, string>>) => Promise<void>;
  /** A Service `name` on port 80 whose one endpoint is a new echo upstream. */
  readonly upstream: (name: string, options?: UpstreamOptions) => Promise<EchoUpstream>;
  /** A Gateway on an address of its own, with its proxies; resolves when it is programmed. */
  readonly gateway: (options?: GatewayOptions) => Promise<GatewayHandle>;
}

export interface UpstreamOptions {
  readonly tls?: EchoTls;
  /** Of the Service's port: `kubernetes.io/h2c`, … */
  readonly appProtocol?: string;
}

export interface GatewayOptions {
  /** Default `edge`. */
  readonly name?: string;
  /** Default: one HTTP listener `http` on port 8080 that takes routes of its own namespace. */
  readonly listeners?: readonly unknown[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
  /** How many Envoys. Default 1. They share the address (SO_REUSEPORT): the kernel deals connections out among them. */
  readonly proxies?: number;
  readonly proxy?: Partial<Pick<ProxyOptions, "concurrency" | "drainSeconds">>;
}

export interface GatewayHandle {
  readonly name: string;
  /** A loopback address that only this Gateway's listeners are bound to; on pods the node's. */
  readonly address: string;
  /** Ranges in which the proxies see this process's own address. */
  readonly clients: readonly string[];
  readonly envoy: EnvoyProcess;
  readonly envoys: readonly EnvoyProcess[];
  /** One more proxy. */
  readonly addProxy: (options?: Partial<ProxyOptions>) => Promise<EnvoyProcess>;
  /** For the client: a port of this Gateway. Default 8080. */
  readonly target: (options?: { readonly port?: number; readonly from?: string; readonly tls?: ClientTls }) => Target;
}

/** What a tenant needs from the harness. */
export interface TenantContext {
  readonly cluster: Cluster;
  readonly api: Api;
  readonly directory: string;
  readonly xdsAddress: () => string;
  /** Runs at the end, last one first. */
  readonly atEnd: (work: () => Promise<unknown>) => void;
}

export const DEFAULT_PORT = 8080;

/** Makes the namespace, with the RoleBinding that lets the operator read the Secrets that are referred to in it. */
export async function createTenant(context: TenantContext, prefix: string, optIn: boolean): Promise<Tenant> {
  const { cluster, api } = context;
  const namespace = await cluster.createNamespace(prefix);
  if (optIn) await api.apply(secretsBinding(namespace));
  context.atEnd(async () => {
    // A namespace takes seconds to end, and until then its consumers would keep their keys from those of the next test file.
    for (const { metadata } of await api.list("ApiConsumer", namespace))
      await api.remove({ kind: "ApiConsumer", name: metadata.name, namespace });
    await api.remove({ kind: "Namespace", name: namespace });
  });
  const apply: Tenant["apply"] = (manifests) => api.apply(manifests, namespace);
  const waitFor: Tenant["waitFor"] = (kind, name, condition, expected, limitMs) =>
    waitForCondition(api, { kind, name, namespace }, condition, expected, limitMs);
  return {
    namespace,
    apply,
    waitFor,
    get: (kind, name) => api.get({ kind, name, namespace }),
    remove: (kind, name) => api.remove({ kind, name, namespace }),
    enforce: async (manifests) => {
      for (const { kind, metadata } of await apply(manifests)) {
        // Not Programmed alone: that is also said of the closed configuration of a reference that is still being read.
        if (kind === "ApiPolicy") await waitFor(kind, metadata.name, "Ready");
        if (kind === "Gateway") await waitFor(kind, metadata.name, "Programmed");
        if (kind === "HTTPRoute" || kind === "ApiConsumer" || kind === "ApiGrant")
          await waitFor(kind, metadata.name, "Accepted");
      }
    },
    secret: async (name, data, type = "Opaque") => {
      const metadata = { name };
      await apply({ apiVersion: "v1", kind: "Secret", metadata, type, data: base64Values(data) });
    },
    configMap: async (name, data) =>
      void (await apply({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data })),
    upstream: async (name, options = {}) => {
      const { tls, appProtocol } = options;
      const upstream = await startEcho({ name, address: upstreamAddress(), ...(tls === undefined ? {} : { tls }) });
      context.atEnd(upstream.stop);
      await apply(serviceFor(name, upstream, appProtocol));
      return upstream;
    },
    gateway: (options = {}) => createGateway(context, { namespace, apply, waitFor }, options),
  };
}

async function createGateway(
  context: TenantContext,
  tenant: Pick<Tenant, "namespace" | "apply" | "waitFor">,
  options: GatewayOptions,
): Promise<GatewayHandle> {
  if (onPods()) return createPodGateway(context.api, tenant, options);
  const name = options.name ?? "edge";
  const address = nextAddress();
  const listeners = options.listeners ?? [{ name: "http", port: DEFAULT_PORT, protocol: "HTTP" }];
  const { annotations = {} } = options;
  await tenant.apply({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name, annotations },
    spec: {
      gatewayClassName: GATEWAY_CLASS,
      addresses: [{ type: "IPAddress", value: address }],
      listeners,
      ...options.spec,
    },
  });
  const envoys: EnvoyProcess[] = [];
  const addProxy: GatewayHandle["addProxy"] = async (more = {}) => {
    const { namespace } = tenant;
    const base = { namespace, gateway: name, xdsAddress: context.xdsAddress(), directory: context.directory };
    const envoy = await startProxy(context.cluster, context.api, { ...base, ...options.proxy, ...more });
    context.atEnd(envoy.stop);
    envoys.push(envoy);
    return envoy;
  };
  const envoy = await addProxy();
  for (let count = 1; count < (options.proxies ?? 1); count++) await addProxy();
  await tenant.waitFor("Gateway", name, "Programmed");
  return {
    name,
    address,
    clients: ["127.0.0.0/8"],
    envoy,
    envoys,
    addProxy,
    target: ({ port = DEFAULT_PORT, from, tls } = {}) => ({
      address,
      port,
      ...(from === undefined ? {} : { from }),
      ...(tls === undefined ? {} : { tls }),
    }),
  };
}

/** The grant of a namespace's owner that api.md describes. */
export function secretsBinding(namespace: string): KubeObject {
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "RoleBinding",
    metadata: { name: "gatewarden-secrets", namespace },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "gatewarden-secrets" },
    subjects: [{ kind: "ServiceAccount", name: OPERATOR_ACCOUNT, namespace: OPERATOR_NAMESPACE }],
  };
}

/** A Service without selector and the EndpointSlice that leads to an upstream outside of the cluster. */
export function serviceFor(name: string, upstream: EchoUpstream, appProtocol?: string): readonly KubeObject[] {
  const protocol = appProtocol === undefined ? {} : { appProtocol };
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name },
      spec: { ports: [{ name: "http", port: 80, targetPort: upstream.port, ...protocol }] },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: `${name}-1`, labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: [{ name: "http", port: upstream.port, ...protocol }],
      endpoints: [{ addresses: [upstream.address], conditions: { ready: true } }],
    },
  ];
}

function base64Values(data: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]));
}

let addresses = 0;

/** Every address in 127.0.0.0/8 can be bound without set-up; the process id keeps runs side by side apart. */
function nextAddress(): string {
  const number = ++addresses;
  return `127.${String(1 + (process.pid % 250))}.${String((process.pid >> 8) % 256)}.${String(number)}`;
}
