/**
 * The fixed filter chain in a real Envoy, for the tests of slices: the connection manager that gateways get, one host whose routes come by
 * RDS, extensions by ECDS, both from files, so that a test can change them under open connections. Not here: scopes, clusters, TLS.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeAtExit } from "../../e2e/cluster/child-process.ts";
import { eventually } from "../../e2e/cluster/condition.ts";
import { freePorts } from "../../e2e/cluster/port.ts";
import { type EnvoyProcess, startEnvoy } from "../../e2e/envoy/process.ts";
import { type EchoUpstream, startEcho } from "../../e2e/upstream/echo.ts";
import { RUNTIME } from "../src/envoy/re2.ts";
import type { KeyPart, SlotName } from "../src/slice.ts";
import { gatewaySlots } from "../src/translate/chain.ts";
import { httpConnectionManager } from "../src/translate/hcm.ts";
import { hostScope } from "../src/translate/host.ts";
import type { JsonObject, JsonValue } from "../src/world.ts";

/** Slots whose configuration comes by ECDS. */
export type ExtensionSlot =
  KeyPart | Extract<SlotName, "jwt" | "names" | "recognise" | `rl-${"pre" | "post"}-gateway${"" | "-shared"}`>;

export interface ChainOptions {
  /** Envoy routes in order, as JSON; {@link toUpstream} is the action that reaches the echo upstream. */
  readonly routes: readonly JsonObject[];
  /** Fields of the one virtual host beside its routes: `typed_per_filter_config`, `rate_limits`. */
  readonly virtualHost?: JsonObject;
  readonly extensions?: Partial<Readonly<Record<ExtensionSlot, JsonObject>>>;
  /** Fields of HttpConnectionManager to add or replace. */
  readonly hcm?: JsonObject;
  /** A transport socket of the filter chain (TLS). */
  readonly transportSocket?: JsonObject;
  /** Further fields of the bootstrap, such as `node` and `cluster_manager`; clusters and secrets are added to ours. */
  readonly bootstrap?: JsonObject;
  readonly clusters?: readonly JsonObject[];
  readonly secrets?: readonly JsonObject[];
  readonly logLevel?: string;
}

export interface Chain {
  readonly port: number;
  readonly envoy: EnvoyProcess;
  readonly upstream: EchoUpstream;
  /** Both resolve when Envoy has taken the new configuration, and throw when it refused it. */
  readonly setRoutes: (routes: readonly JsonObject[], virtualHost?: JsonObject) => Promise<void>;
  readonly setExtension: (slot: ExtensionSlot, config: JsonObject) => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** The `route` of an Envoy route to the echo upstream. */
export const toUpstream: JsonObject = { cluster: "echo" };

export async function startChain(options: ChainOptions): Promise<Chain> {
  const directory = removeAtExit(mkdtempSync(join(tmpdir(), "gatewarden-chain-")));
  const upstream = await startEcho({ name: "echo", address: "127.0.0.1" });
  const [port = 0] = await freePorts(1);
  const publish = (name: string, resource: JsonObject): void => {
    const file = join(directory, `${name}.json`);
    writeFileSync(`${file}.new`, JSON.stringify({ resources: [resource] }), { mode: 0o600 });
    renameSync(`${file}.new`, file); // a rename is what Envoy watches for
  };
  const publishRoutes = (routes: readonly JsonObject[], virtualHost: JsonObject = {}): void =>
    publish("routes", routeConfiguration(routes, virtualHost));
  const publishExtension = (slot: ExtensionSlot, config: JsonObject): void =>
    publish(slot, {
      "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
      name: slot,
      typed_config: config,
    });
  publishRoutes(options.routes, options.virtualHost);
  for (const [name, inert] of gatewaySlots) {
    const slot = name as ExtensionSlot;
    publishExtension(slot, options.extensions?.[slot] ?? inert);
  }
  const envoy = await startEnvoy({
    bootstrap: bootstrapOf(options, directory, port, upstream.port),
    logLevel: options.logLevel ?? "warning",
  }).catch(async (error: unknown) => {
    await upstream.stop();
    throw error;
  });
  const stop = async (): Promise<void> => {
    await envoy.stop();
    await upstream.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  const refusals = await Promise.all(dynamicPrefixes().map(async (prefix) => (await counts(envoy, prefix)).refused));
  if (refusals.some((refused) => refused > 0)) {
    const log = envoy.log();
    await stop();
    throw new Error(`Envoy refused routes or an extension: ${log}`);
  }
  const taken = async (prefix: string, change: () => void): Promise<void> => {
    const before = await counts(envoy, prefix);
    change();
    let now = before;
    const giveUp = (): string | undefined => (now.refused > before.refused ? `refused: ${envoy.log()}` : undefined);
    await eventually(
      `Envoy takes ${prefix}`,
      async () => {
        now = await counts(envoy, prefix);
        return now.taken > before.taken;
      },
      { giveUp },
    );
  };
  return {
    port,
    envoy,
    upstream,
    setRoutes: (routes, virtualHost) => taken(ROUTES_PREFIX, () => publishRoutes(routes, virtualHost)),
    setExtension: (slot, config) => taken(extensionPrefix(slot), () => publishExtension(slot, config)),
    stop,
  };
}

/** The bootstrap alone, for `validate`; extensions stand in the listener as they are. */
export function bootstrapOf(options: ChainOptions, directory: string, port: number, upstreamPort: number): JsonObject {
  const source = (name: string): JsonObject => ({
    path_config_source: { path: join(directory, `${name}.json`), watched_directory: { path: directory } },
    resource_api_version: "V3",
  });
  const { scoped_routes: _, http_filters, ...fixed } = httpConnectionManager("test", { fields: [], accessLogs: [] });
  const hcm: JsonObject = {
    ...fixed,
    http_filters: (http_filters as readonly JsonObject[]).map(fromFile(source)),
    rds: { route_config_name: "routes", config_source: source("routes") },
    ...options.hcm,
  };
  const listener = {
    name: "listener",
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [
      {
        filters: [{ name: "hcm", typed_config: hcm }],
        ...(options.transportSocket === undefined ? {} : { transport_socket: options.transportSocket }),
      },
    ],
  };
  const endpoint = { address: { socket_address: { address: "127.0.0.1", port_value: upstreamPort } } };
  const echo = {
    name: "echo",
    type: "STATIC",
    connect_timeout: "1s",
    load_assignment: { cluster_name: "echo", endpoints: [{ lb_endpoints: [{ endpoint }] }] },
  };
  return {
    node: { id: "test", cluster: "test" },
    layered_runtime: { layers: [{ name: "gatewarden", static_layer: RUNTIME }] },
    ...options.bootstrap,
    static_resources: {
      listeners: [listener],
      clusters: [echo, ...(options.clusters ?? [])],
      secrets: [...(options.secrets ?? [])],
    },
  };
}

/** Everything of the filter that comes by ECDS, read from files in place of ADS. */
function fromFile(source: (name: string) => JsonObject): (filter: JsonObject) => JsonObject {
  const settle = (value: JsonValue): JsonValue => {
    if (Array.isArray(value)) return value.map(settle);
    if (typeof value !== "object" || value === null) return value;
    const object = value as JsonObject;
    const discovery = object["config_discovery"] as JsonObject | undefined;
    return discovery === undefined
      ? Object.fromEntries(Object.entries(object).map(([key, part]) => [key, settle(part)]))
      : { ...object, config_discovery: { ...discovery, config_source: source(object["name"] as string) } };
  };
  return (filter) => settle(filter) as JsonObject;
}

/** As in a scope: filters off that a known host does not need, internal headers removed, 404 at the end. */
function routeConfiguration(routes: readonly JsonObject[], virtualHost: JsonObject): JsonObject {
  const { typed_per_filter_config: shared = {}, ...further } = virtualHost;
  const scope = hostScope("test", "*", {
    routes,
    collects: true,
    shared: shared as Readonly<Record<string, JsonObject>>,
  });
  const { virtual_hosts, ...fixed } = scope["route_configuration"] as JsonObject;
  return {
    "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
    ...fixed,
    name: "routes",
    virtual_hosts: (virtual_hosts as readonly JsonObject[]).map((host) => ({ ...host, ...further })),
  };
}

const ROUTES_PREFIX = "http.test.rds.routes.";
const extensionPrefix = (slot: string): string => `extension_config_discovery.http_filter.${slot}.`;

function dynamicPrefixes(): readonly string[] {
  return [ROUTES_PREFIX, ...[...gatewaySlots.keys()].map(extensionPrefix)];
}

async function counts(
  envoy: EnvoyProcess,
  prefix: string,
): Promise<{ readonly taken: number; readonly refused: number }> {
  const stats = await envoy.admin.stats(prefix);
  const sum = (name: string): number => stats.get(`${prefix}${name}`) ?? 0;
  return { taken: sum("config_reload"), refused: sum("update_rejected") + sum("update_failure") + sum("config_fail") };
}
