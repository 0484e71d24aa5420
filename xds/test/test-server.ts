/** The real server on a free port, with what it told its shell. */
import { type Authority, createAuthority, issue, type KeyPair } from "../../e2e/cluster/pki.ts";
import type { AcceptReplica } from "../src/server/replicas.ts";
import { createXdsServer, type XdsServer, type XdsServerOptions } from "../src/server/server.ts";
import type {
  Authentication,
  Clock,
  JsonObject,
  Log,
  RefusedProxy,
  ResourceChange,
  ResourceKey,
  ResourceType,
} from "../src/types.ts";
import { connect, type AdsClient, type ConnectOptions } from "./ads-client.ts";

export const GATEWAY = "shop/main";
export const SERVER_NAME = "gatewarden.test.svc";

export const systemClock: Clock = {
  now: () => Date.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};
const quiet: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export interface TestServer {
  readonly server: XdsServer;
  readonly port: number;
  readonly authority: Authority;
  readonly counts: Record<string, number>;
  readonly changes: { readonly gateway: string; readonly keys: readonly ResourceKey[] | "all" }[];
  readonly refusedProxies: RefusedProxy[];
  connect(options?: Partial<ConnectOptions>): AdsClient;
  stop(): Promise<void>;
}

export interface TestServerOptions {
  readonly authenticate?: (token: string) => Promise<Authentication>;
  readonly acceptReplica?: AcceptReplica;
  readonly firstConfigurationOnly?: boolean;
  readonly hasStandIn?: boolean;
  /** Snapshots of an earlier server. */
  readonly seeds?: readonly (readonly [gateway: string, snapshot: Buffer])[];
  readonly changes?: readonly ResourceChange[];
  readonly clock?: Clock;
  /** Default: a new one. */
  readonly authority?: Authority;
  /** Default: a free one. */
  readonly port?: number;
}

const HOUR_MS = 3_600_000;

export function issueServer(authority: Authority): KeyPair {
  return issue(authority, { commonName: "xds", dnsNames: [SERVER_NAME], usages: ["server"] });
}

export async function startServer(options: TestServerOptions = {}): Promise<TestServer> {
  const authority = options.authority ?? createAuthority("test");
  const counts: Record<string, number> = {};
  const count = (name: string, amount = 1): void => void (counts[name] = (counts[name] ?? 0) + amount);
  const changes: TestServer["changes"] = [];
  const refusedProxies: RefusedProxy[] = [];
  const clock = options.clock ?? systemClock;
  const parts: XdsServerOptions = {
    authenticate: (token) =>
      options.authenticate?.(token) ??
      Promise.resolve(
        token === "good"
          ? { ok: true, gateways: GATEWAY, expiresAtMs: clock.now() + HOUR_MS }
          : { ok: false, message: "unknown token" },
      ),
    ...(options.acceptReplica === undefined ? {} : { acceptReplica: options.acceptReplica }),
    firstConfigurationOnly: options.firstConfigurationOnly === true,
    hasStandIn: options.hasStandIn === true,
    clock,
    log: quiet,
    metrics: {
      streams: (delta) => count("streams", delta),
      denied: (status) => count(`denied ${status}`),
      push: (type, resources, bytes) => {
        count(`push ${type}`);
        count("resources", resources);
        count("bytes", bytes);
      },
      ack: () => count("acks"),
      nack: () => count("nacks"),
      quarantined: () => count("quarantined"),
      encoded: () => count("encoded"),
    },
    onChange: (gateway, keys) => changes.push({ gateway, keys }),
    onRefusedProxy: (proxy) => refusedProxies.push(proxy),
  };
  const server = createXdsServer(parts);
  const { certificate, privateKey } = issueServer(authority);
  server.setCertificate(certificate, privateKey);
  for (const [gateway, snapshot] of options.seeds ?? []) server.seed(gateway, snapshot);
  await server.apply(options.changes ?? []);
  const port = await server.listen(`127.0.0.1:${String(options.port ?? 0)}`);
  const clients: AdsClient[] = [];
  return {
    server,
    port,
    authority,
    counts,
    changes,
    refusedProxies,
    connect(more = {}) {
      const client = connect({ port, ca: authority.certificate, ...more });
      clients.push(client);
      return client;
    },
    async stop() {
      for (const client of clients) client.close();
      await server.stop(1_000);
    },
  };
}

export function change(
  type: ResourceType,
  name: string,
  json: JsonObject | undefined,
  fallback?: JsonObject,
): ResourceChange {
  return { gateway: GATEWAY, type, name, json, ...(fallback === undefined ? {} : { fallback }) };
}

const at = (name: string): string => `type.googleapis.com/envoy.config.${name}`;

export const cluster = (name: string, timeout = "1s"): ResourceChange =>
  change("cluster", name, {
    "@type": at("cluster.v3.Cluster"),
    name,
    type: "EDS",
    connect_timeout: timeout,
    eds_cluster_config: { eds_config: { ads: {}, resource_api_version: "V3" } },
  });
export const endpoint = (name: string, port = 80): ResourceChange =>
  change("endpoint", name, {
    "@type": at("endpoint.v3.ClusterLoadAssignment"),
    cluster_name: name,
    endpoints: [
      { lb_endpoints: [{ endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: port } } } }] },
    ],
  });
export const listener = (name: string, port = 80): ResourceChange =>
  change("listener", name, {
    "@type": at("listener.v3.Listener"),
    name,
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
  });
export const secret = (name: string, value = "x"): ResourceChange =>
  change("secret", name, {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
    name,
    generic_secret: { secret: { inline_string: value } },
  });
export const extension = (name: string, stat = "x"): ResourceChange =>
  change("extension", name, {
    "@type": at("core.v3.TypedExtensionConfig"),
    name,
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
      stat_prefix: stat,
    },
  });

export function scopeJson(name: string, body: string): JsonObject {
  return {
    "@type": at("route.v3.ScopedRouteConfiguration"),
    name,
    key: { fragments: [{ string_key: name }] },
    route_configuration: {
      name,
      virtual_hosts: [
        {
          name,
          domains: ["*"],
          routes: [{ match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: body } } }],
        },
      ],
    },
  };
}
export const scope = (name: string, body = "hello", fallback?: JsonObject): ResourceChange =>
  change("scope", name, scopeJson(name, body), fallback);
export const gone = (type: ResourceType, name: string): ResourceChange => change(type, name, undefined);
