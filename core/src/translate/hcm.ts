/** The HTTP connection manager: hardening, scope header, fixed chain, local replies. Byte-stable for one HCM id and its listener settings. */
import { overflowCounter } from "../envoy/overflow-counter.ts";
import type { JsonObject } from "../world.ts";
import { httpFilters, INTERNAL_PREFIX, SCOPE_HEADER, TYPE } from "./chain.ts";
import { localReplyConfig } from "./local-reply.ts";
import { mergeJson } from "./merge-json.ts";

export interface HcmSettings {
  /** Fields that listener settings add (clientIP, mtls.client). */
  readonly fields: readonly JsonObject[];
  readonly accessLogs: readonly JsonObject[];
}

const ads = { ads: {}, resource_api_version: "V3" } as const;

/** `id` names the HCM in scope keys (attach/listeners.ts `hcmId`); it is constant for a port, and for HTTPS a host name of it. */
export function httpConnectionManager(id: string, settings: HcmSettings): JsonObject {
  const base: JsonObject = {
    "@type": `${TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: id,
    codec_type: "AUTO",
    // Paths: one reading for us and for backends (rules.md A6); what stays ambiguous is refused.
    normalize_path: true,
    merge_slashes: true,
    path_with_escaped_slashes_action: "REJECT_REQUEST",
    strip_any_host_port: true,
    // Addresses: the TCP peer is the client, whatever x-forwarded-for says (A12); nobody is internal, so x-envoy-* from outside means nothing.
    use_remote_address: true,
    internal_address_config: { cidr_ranges: [{ address_prefix: "255.255.255.255", prefix_len: 32 }] },
    forward_client_cert_details: "SANITIZE",
    always_set_request_id_in_response: true,
    common_http_protocol_options: {
      idle_timeout: "300s",
      max_headers_count: 100,
      headers_with_underscores_action: "REJECT_REQUEST",
    },
    http2_protocol_options: {
      max_concurrent_streams: 100,
      initial_stream_window_size: 65536,
      initial_connection_window_size: 1048576,
    },
    request_headers_timeout: "10s",
    stream_idle_timeout: "300s",
    drain_timeout: "5s",
    upgrade_configs: [{ upgrade_type: "websocket" }],
    early_header_mutation_extensions: [
      {
        name: "scope",
        typed_config: {
          "@type": `${TYPE}extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation`,
          mutations: [
            { remove_on_match: { key_matcher: { prefix: INTERNAL_PREFIX } } },
            // Behind `clientIP.trustedProxies` Envoy itself would let a client's x-envoy-* pass.
            { remove_on_match: { key_matcher: { prefix: "x-envoy-" } } },
            {
              append: {
                header: { key: SCOPE_HEADER, value: `${id}|%REQ(:authority)%` },
                append_action: "OVERWRITE_IF_EXISTS_OR_ADD",
              },
            },
          ],
        },
      },
    ],
    local_reply_config: localReplyConfig(),
    http_filters: httpFilters(),
    scoped_routes: {
      name: id,
      scope_key_builder: { fragments: [{ header_value_extractor: { name: SCOPE_HEADER, index: 0 } }] },
      rds_config_source: ads,
      // Wait for the scopes however long it takes: a listener without them would answer 404 for everything.
      scoped_rds: { scoped_rds_config_source: { ...ads, initial_fetch_timeout: "0s" } },
    },
  };
  const merged = settings.fields.reduce(mergeJson, base);
  return { ...merged, access_log: [overflowCounter(), ...settings.accessLogs] };
}
