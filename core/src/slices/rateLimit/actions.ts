/** What a limit reads of a request, as Envoy's rate limit actions: which limit, whether it matches, who is calling. */
import { ABSENT_KEY, KEYS_NAMESPACE } from "../../envoy/collect.ts";
import { LIMIT_HEADER } from "../../envoy/collect-script.ts";
import { anyValue, oneOf, pathRegex, safeRegex } from "../../envoy/pattern.ts";
import { CONSUMER_HEADER } from "../../translate/chain.ts";
import type { JsonObject } from "../../world.ts";
import type { Limit, Match } from "./model.ts";

/** `inHeader`: its key stands in the header of slot `collect`. */
export function actionsOf({ id, match, keys }: Limit, inHeader: boolean): readonly JsonObject[] {
  const limit = { generic_key: { descriptor_key: "limit", descriptor_value: id } };
  const matched = match === undefined ? [] : [matchAction(match)];
  if (inHeader) return [limit, ...matched, { request_headers: { header_name: LIMIT_HEADER, descriptor_key: "key" } }];
  return [limit, ...matched, ...keyActions(id, keys)];
}

function keyActions(id: string, keys: Limit["keys"]): readonly JsonObject[] {
  switch (keys.type) {
    case "Together":
      return [];
    case "Consumer":
      return [{ request_headers: { header_name: CONSUMER_HEADER, descriptor_key: "key", skip_if_absent: true } }];
    case "Address":
    case "Collected": {
      const metadataKey = { key: KEYS_NAMESPACE, path: [{ key: id }] };
      return [
        {
          metadata: { descriptor_key: "key", metadata_key: metadataKey, source: "DYNAMIC", default_value: ABSENT_KEY },
        },
      ];
    }
  }
}

/** A request that does not match has no descriptor for this limit at all. */
function matchAction({ methods, paths, headers, consumers }: Match): JsonObject {
  const matchers: readonly JsonObject[] = [
    ...(methods.length === 0 ? [] : [{ name: ":method", string_match: oneOf(methods) }]),
    ...(paths.length === 0 ? [] : [{ name: ":path", string_match: safeRegex(pathRegex(paths)) }]),
    ...Object.entries(headers).map(([name, value]) => ({ name, string_match: anyValue(value) })),
    ...(consumers === undefined ? [] : [{ name: CONSUMER_HEADER, string_match: oneOf(consumers) }]),
  ];
  return {
    header_value_match: { descriptor_key: "match", descriptor_value: "yes", expect_match: true, headers: matchers },
  };
}
