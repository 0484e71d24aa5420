/** One Envoy listener per port of a Gateway. Byte-stable: hosts, routes and policies are elsewhere; only what stands in the Gateway and listener settings get here. */
import type { Listener } from "../attach/listeners.ts";
import type { ListenerPiece } from "../slice.ts";
import type { JsonObject } from "../world.ts";
import { EVERY_HOST } from "../attach/hostname.ts";
import { TYPE } from "./chain.ts";
import { httpConnectionManager } from "./hcm.ts";
import { mergeJson } from "./merge-json.ts";

export interface ServedListener {
  readonly listener: Listener;
  /** Names of SDS secrets, in the order of `certificateRefs`. */
  readonly certificates: readonly string[];
  readonly pieces: readonly ListenerPiece[];
}

export function listenerName(port: number): string {
  return `port-${port}`;
}

/** Where the proxy listens for a port of the Gateway. */
export interface Binding {
  readonly addresses: readonly string[];
  readonly port: number;
}

/** `served` are the listeners of one port: all HTTP, or all HTTPS. */
export function listenerJson(
  port: number,
  { addresses, port: bound }: Binding,
  served: readonly ServedListener[],
): JsonObject {
  const [first = "0.0.0.0", ...more] = addresses;
  const https = served.filter(({ listener }) => listener.protocol === "HTTPS");
  return {
    "@type": `${TYPE}config.listener.v3.Listener`,
    name: listenerName(port),
    address: socketAddress(first, bound),
    ...(more.length === 0
      ? {}
      : { additional_addresses: more.map((address) => ({ address: socketAddress(address, bound) })) }),
    per_connection_buffer_limit_bytes: 32768,
    ...(https.length === 0
      ? { filter_chains: [{ name: "http", filters: [hcmFilter(served)] }] }
      : {
          listener_filters: [
            {
              name: "tls_inspector",
              typed_config: { "@type": `${TYPE}extensions.filters.listener.tls_inspector.v3.TlsInspector` },
            },
          ],
          filter_chains: https.map(httpsChain),
        }),
  };
}

function httpsChain(served: ServedListener): JsonObject {
  const { listener, certificates, pieces } = served;
  const common = pieces.reduce<JsonObject>((merged, { tls }) => mergeJson(merged, tls?.common ?? {}), {
    tls_params: { tls_minimum_protocol_version: "TLSv1_2" },
    alpn_protocols: ["h2", "http/1.1"],
    tls_certificate_sds_secret_configs: certificates.map((name) => ({
      name,
      sds_config: { ads: {}, resource_api_version: "V3" },
    })),
  });
  const context = pieces.reduce<JsonObject>((merged, { tls }) => mergeJson(merged, tls?.context ?? {}), {
    "@type": `${TYPE}extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
    common_tls_context: common,
  });
  return {
    name: listener.hcm, // stays when the listener is renamed
    ...(listener.hostname === EVERY_HOST ? {} : { filter_chain_match: { server_names: [listener.hostname] } }),
    transport_socket: { name: "tls", typed_config: context },
    filters: [hcmFilter([served])],
  };
}

function hcmFilter(served: readonly ServedListener[]): JsonObject {
  const pieces = served.flatMap((one) => one.pieces);
  const config = httpConnectionManager(served[0]?.listener.hcm ?? "", {
    fields: pieces.flatMap(({ hcm }) => (hcm === undefined ? [] : [hcm])),
    accessLogs: pieces.flatMap(({ accessLogs }) => accessLogs ?? []),
  });
  return { name: "hcm", typed_config: config };
}

function socketAddress(address: string, port: number): JsonObject {
  return { socket_address: { address, port_value: port } };
}
