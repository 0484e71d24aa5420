/**
 * The bootstrap of an Envoy that takes everything else from the operator: one delta ADS stream over TLS with the bearer token of its
 * ServiceAccount, nothing of policies. Printed as JSON: in YAML Envoy would read a name such as `n` as a boolean.
 */
import { isIP } from "node:net";
import { isAbsolute } from "node:path";
import { BINARY_TOKEN_HEADER, type JsonObject } from "./types.ts";

export interface BootstrapOptions {
  /** "namespace/name" of the Gateway that this proxy serves. */
  readonly gateway: string;
  /** HOST:PORT of the xDS server; an IPv6 host in brackets. */
  readonly address: string;
  /** HOST:PORT of another server with the same certificate, for a start while the first one is away. */
  readonly fallbackAddress?: string;
  /** The projected ServiceAccount token; read again when it is replaced. */
  readonly tokenFile: string;
  /** PEM of the authority that signed the server's certificate; read when Envoy starts. */
  readonly caFile: string;
  /** The name that the server's certificate must carry, whatever HOST is: `gatewarden.<operator namespace>.svc`. */
  readonly serverName: string;
  /** `unix:PATH` or a loopback HOST:PORT; without it there is no administration interface. */
  readonly admin?: string;
  /** Answers `/ready` on every address once the whole configuration is in force, and says nothing else. */
  readonly readyPort?: number;
  /** Tells the proxies of one Gateway apart. Default: the Gateway; Envoy's `--service-node` replaces it. */
  readonly nodeId?: string;
}

/** The proxies of this Gateway as a cluster: how many there are divides PerGateway limits. */
export const SELF_CLUSTER = "gatewarden-self";
/** Beyond this many the proxy takes no further connection; the operating system's file limit should be higher. */
const MOST_CONNECTIONS = 50_000;
/** Steps of a compiled regular expression (core/src/envoy/re2.ts has the same number). */
const MAX_RE2_PROGRAM = 100_000;

/** Each pause is chosen at random up to these, so that many proxies do not come at the same moment. */
const RECONNECT_PAUSES = { base_interval: "0.5s", max_interval: "5s" } as const;

const at = (name: string): { readonly "@type": string } => ({ "@type": `type.googleapis.com/envoy.${name}` });

/** Throws an Error with what is wrong with an option. */
export function bootstrap(options: BootstrapOptions): JsonObject {
  const { gateway, nodeId = gateway } = options;
  if (!/^[^/\s]+\/[^/\s]+$/.test(gateway)) throw new Error(`not NAMESPACE/NAME: ${JSON.stringify(gateway)}`);
  const ads = { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" };
  return {
    node: { id: nodeId, cluster: gateway },
    ...(options.admin === undefined ? {} : { admin: adminOf(options.admin) }),
    dynamic_resources: {
      ads_config: {
        api_type: "DELTA_GRPC",
        transport_api_version: "V3",
        set_node_on_first_message_only: true,
        grpc_services: addressesOf(options).map((address) => ({
          google_grpc: xdsChannel(options, address),
          // Envoy's own pauses between streams grow to 30 s: that long after a restart of the operator a proxy would not see a change.
          retry_policy: { retry_back_off: RECONNECT_PAUSES },
        })),
      },
      // 0s: a proxy without configuration waits instead of serving nothing as if that were right.
      lds_config: ads,
      cds_config: ads,
    },
    static_resources: {
      ...(options.readyPort === undefined ? {} : { listeners: [readyListener(options.readyPort)] }),
      clusters: [
        {
          name: SELF_CLUSTER,
          type: "EDS",
          connect_timeout: "1s",
          eds_cluster_config: { eds_config: ads, service_name: SELF_CLUSTER },
        },
      ],
    },
    cluster_manager: { local_cluster_name: SELF_CLUSTER },
    overload_manager: {
      refresh_interval: "0.25s",
      resource_monitors: [
        {
          name: "envoy.resource_monitors.global_downstream_max_connections",
          typed_config: {
            ...at("extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"),
            max_active_downstream_connections: MOST_CONNECTIONS,
          },
        },
      ],
    },
    layered_runtime: {
      layers: [
        {
          name: "gatewarden",
          static_layer: {
            // Without it each ext_proc stream ends with a reset, which Node answers with a GOAWAY after some.
            "envoy.reloadable_features.ext_proc_graceful_grpc_close": true,
            // Envoy's own bound is 100 steps, which a single name of 97 letters exceeds; the core keeps its expressions far smaller than this.
            // The second server, where there is one: asked while the first has never answered, and never after that.
            "envoy.restart_features.xds_failover_support": options.fallbackAddress !== undefined,
            "re2.max_program_size.error_level": MAX_RE2_PROGRAM,
            "re2.max_program_size.warn_level": MAX_RE2_PROGRAM,
          },
        },
      ],
    },
  };
}

/**
 * Envoy takes connections on any listener only once its first configuration is complete, routes and secrets included. So that this one
 * answers means that all others do.
 */
function readyListener(port: number): JsonObject {
  const exactly = { match: { path: "/ready" }, direct_response: { status: 200, body: { inline_string: "ready\n" } } };
  return {
    name: "gatewarden-ready",
    address: { socket_address: { address: "0.0.0.0", port_value: port } },
    filter_chains: [
      {
        filters: [
          {
            name: "hcm",
            typed_config: {
              ...at("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
              stat_prefix: "gatewarden-ready",
              route_config: { virtual_hosts: [{ name: "ready", domains: ["*"], routes: [exactly] }] },
              http_filters: [{ name: "router", typed_config: at("extensions.filters.http.router.v3.Router") }],
            },
          },
        ],
      },
    ],
  };
}

function addressesOf({ address, fallbackAddress }: BootstrapOptions): readonly string[] {
  return fallbackAddress === undefined ? [address] : [address, fallbackAddress];
}

/**
 * Google's gRPC client, not Envoy's: only it reads a token file anew for each stream without a second file (a secret for SDS) that a printed
 * bootstrap does not have. A Lua filter in a cluster of Envoy's client would read it too, but Envoy 1.40 crashes when it ends with such a
 * filter in an open stream.
 */
function xdsChannel({ tokenFile, caFile, serverName }: BootstrapOptions, address: string): JsonObject {
  if (!isAbsolute(tokenFile)) throw new Error(`not an absolute path: ${JSON.stringify(tokenFile)}`);
  const { host, port } = splitAddress(address);
  const target = isIP(host) === 6 ? `ipv6:[${host}]` : isIP(host) === 4 ? `ipv4:${host}` : `dns:///${host}`;
  return {
    target_uri: `${target}:${String(port)}`,
    stat_prefix: "gatewarden-xds",
    channel_credentials: { ssl_credentials: { root_certs: { filename: caFile } } },
    credentials_factory_name: FILE_CREDENTIALS,
    call_credentials: [
      {
        from_plugin: {
          name: FILE_CREDENTIALS,
          typed_config: {
            ...at("config.grpc_credential.v3.FileBasedMetadataConfig"),
            secret_data: { filename: tokenFile },
            // Binary metadata may end in the line end that most tools write; in text this client refuses to send it.
            header_key: BINARY_TOKEN_HEADER,
            header_prefix: "Bearer ",
          },
        },
      },
    ],
    channel_args: { args: channelArguments(serverName) },
  };
}

const FILE_CREDENTIALS = "envoy.grpc_credentials.file_based_metadata";

function channelArguments(serverName: string): JsonObject {
  const number = (value: number): JsonObject => ({ int_value: value });
  return {
    // Both SNI and the name that the certificate has to have.
    "grpc.ssl_target_name_override": { string_value: serverName },
    // A first answer carries all resources of a type.
    "grpc.max_receive_message_length": number(-1),
    "grpc.keepalive_time_ms": number(30_000),
    "grpc.keepalive_timeout_ms": number(10_000),
    "grpc.http2.max_pings_without_data": number(0), // 0: no bound; most of the time there is nothing to send
    // Envoy itself waits between streams; the channel is to be there when it tries. "min" is how long an attempt may take.
    "grpc.initial_reconnect_backoff_ms": number(100),
    "grpc.max_reconnect_backoff_ms": number(500),
    "grpc.min_reconnect_backoff_ms": number(5_000),
    // Neither a proxy nor a TXT record of the environment decides where configuration comes from.
    "grpc.enable_http_proxy": number(0),
    "grpc.service_config_disable_resolution": number(1),
  };
}

/** Only from the same machine: a socket of its own user, or loopback; only what reads, and draining. */
function adminOf(admin: string): JsonObject {
  const allowPaths = [
    {
      safe_regex: {
        regex:
          "/(ready|server_info|stats|stats/prometheus|clusters|listeners|certs|config_dump|drain_listeners)([?].*)?",
      },
    },
  ];
  if (admin.startsWith("unix:")) {
    const path = admin.slice("unix:".length);
    if (path === "") throw new Error("unix: needs a path");
    return { address: { pipe: { path, mode: 0o600 } }, allow_paths: allowPaths };
  }
  const { host, port } = splitAddress(admin);
  const address = host === "localhost" ? "127.0.0.1" : host;
  if (!/^127\./.test(address) && address !== "::1") {
    throw new Error(`the administration interface may only be on loopback or a Unix socket, not ${admin}`);
  }
  return { address: { socket_address: { address, port_value: port } }, allow_paths: allowPaths };
}

function splitAddress(text: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d+)$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || !(port >= 1 && port <= 65_535)) throw new Error(`not HOST:PORT: ${JSON.stringify(text)}`);
  return { host, port };
}
