/**
 * The metric of rate limits whose callers no longer fit (`maxKeys`): an access logger that writes no log but counts
 * `gatewarden.limit_overflow{limit}`. Constant, for every listener.
 */
import type { JsonObject } from "../world.ts";
import { OVERFLOW_NAMESPACE } from "./collect.ts";
import { ACCESS_LOGGER } from "./type-url.ts";

export function overflowCounter(): JsonObject {
  const matcher = { filter: OVERFLOW_NAMESPACE, path: [{ key: "overflow" }], value: { present_match: true } };
  const limit = `%DYNAMIC_METADATA(${OVERFLOW_NAMESPACE}:overflow)%`;
  return {
    name: "limit-overflow",
    filter: { metadata_filter: { matcher, match_if_key_not_found: false } },
    typed_config: {
      "@type": `${ACCESS_LOGGER}.stats.v3.Config`,
      stats_scope: { prefix: "gatewarden" },
      counters: [{ stat: { name: "limit_overflow", tags: [{ name: "limit", value_format: limit }] }, value_fixed: 1 }],
    },
  };
}
