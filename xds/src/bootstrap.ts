/**
 * The bootstrap of an Envoy that takes everything else from the operator: one delta ADS stream over TLS with the bearer token of its
 * ServiceAccount, nothing of policies. Printed as JSON: in YAML Envoy would read a name such as `n` as a boolean.
 */
import { isIP } from "node:net";
import { isAbsolute } from "node:path";
import type { JsonObject } from "./types.ts";

export interface BootstrapOptions {
  /** "namespace/name" of the Gateway that this proxy serves. */
  readonly gateway: string;
  /** HOST:PORT of the xDS server; an IPv6 host in brackets. */
  readonly address: string;
  /** The projected ServiceAccount token; read again when it is replaced. */
  readonly tokenFile: string;
  /** PEM of the authority that signed the server's certificate; read again when it is replaced. */
  readonly caFile: string;
  /** The name that the server's certificate must carry, whatever HOST is: `gatewarden.<operator namespace>.svc`. */
  readonly serverName: string;
  /** `unix:PATH` or a loopback HOST:PORT; without it there is no administration interface. */
  readonly admin?: string;
  /** Tells the proxies of one Gateway apart. Default: the Gateway; Envoy's `--service-node` replaces it. */
  readonly nodeId?: string;
}

/** The proxies of this Gateway as a cluster: how many there are divides PerGateway limits. */
export const SELF_CLUSTER = "gatewarden-self";
const XDS_CLUSTER = "gatewarden-xds";
/** Beyond this many the proxy takes no further connection; the operating system's file limit should be higher. */
const MOST_CONNECTIONS = 50_000;
/** Steps of a compiled regular expression (core/src/envoy/re2.ts has the same number). */
const MAX_RE2_PROGRAM = 100_000;

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
        grpc_services: [{ envoy_grpc: { cluster_name: XDS_CLUSTER } }],
      },
      // 0s: a proxy without configuration waits instead of serving nothing as if that were right.
      lds_config: ads,
      cds_config: ads,
    },
    static_resources: {
      clusters: [
        xdsCluster(options),
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
            "re2.max_program_size.error_level": MAX_RE2_PROGRAM,
            "re2.max_program_size.warn_level": MAX_RE2_PROGRAM,
          },
        },
      ],
    },
  };
}

function xdsCluster({ address, tokenFile, caFile, serverName }: BootstrapOptions): JsonObject {
  const { host, port } = splitAddress(address);
  return {
    name: XDS_CLUSTER,
    type: isIP(host) === 0 ? "STRICT_DNS" : "STATIC",
    connect_timeout: "5s",
    ...(isIP(host) === 0 ? { respect_dns_ttl: true } : {}),
    load_assignment: {
      cluster_name: XDS_CLUSTER,
      endpoints: [
        { lb_endpoints: [{ endpoint: { address: { socket_address: { address: host, port_value: port } } } }] },
      ],
    },
    upstream_connection_options: { tcp_keepalive: { keepalive_time: 30, keepalive_interval: 10, keepalive_probes: 3 } },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        ...at("extensions.upstreams.http.v3.HttpProtocolOptions"),
        explicit_http_config: { http2_protocol_options: { connection_keepalive: { interval: "30s", timeout: "10s" } } },
        http_filters: [
          {
            name: "envoy.filters.http.lua",
            typed_config: {
              ...at("extensions.filters.http.lua.v3.Lua"),
              default_source_code: { inline_string: tokenScript(tokenFile) },
            },
          },
          {
            name: "envoy.filters.http.upstream_codec",
            typed_config: at("extensions.filters.http.upstream_codec.v3.UpstreamCodec"),
          },
        ],
      },
    },
    transport_socket: {
      name: "envoy.transport_sockets.tls",
      typed_config: {
        ...at("extensions.transport_sockets.tls.v3.UpstreamTlsContext"),
        sni: serverName,
        common_tls_context: {
          tls_params: { tls_minimum_protocol_version: "TLSv1_2" },
          validation_context: {
            trusted_ca: { filename: caFile },
            match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: serverName } }],
          },
        },
      },
    },
  };
}

/**
 * Puts the token that is on disk when a stream starts into its headers; without a token the server refuses the stream. Envoy's credential
 * injector would do the same, but follows a renewed token only through a second file (a secret for SDS) that a bootstrap does not have.
 */
function tokenScript(file: string): string {
  if (!isAbsolute(file)) throw new Error(`not an absolute path: ${JSON.stringify(file)}`);
  if (!/^[\w./+@:-]+$/.test(file))
    throw new Error(`the path of the token may hold letters, digits and ./_+@:- only: ${file}`);
  return [
    "function envoy_on_request(handle)",
    `  local file = assert(io.open("${file}", "r"))`,
    '  local token = file:read("*l")',
    "  file:close()",
    '  handle:headers():replace("authorization", "Bearer " .. (token or ""))',
    "end",
  ].join("\n");
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
