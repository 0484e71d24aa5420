/** The effective limits for people, each with the policy that wrote it. */
import type { JsonObject, JsonValue } from "../../world.ts";
import type { Limit, Model } from "./model.ts";

export function shown({ limits, headers }: Model): JsonValue {
  return { limits: limits.map(limitOf), headers };
}

function limitOf({ name, requests, per, burst, shared, keys, match, source }: Limit): JsonObject {
  const by =
    keys.type === "Collected"
      ? keys.by.map(({ type, name: of }) => (of === undefined ? type : `${type} ${of}`))
      : keys.type === "Consumer"
        ? ["Consumer"]
        : [];
  return {
    name,
    requests,
    per,
    burst,
    scope: shared ? "PerGateway" : "PerProxy",
    ...(by.length === 0 ? {} : { by }),
    ...(match === undefined
      ? {}
      : {
          match: {
            ...(match.methods.length === 0 ? {} : { methods: match.methods }),
            ...(match.paths.length === 0 ? {} : { paths: match.paths }),
            ...(Object.keys(match.headers).length === 0 ? {} : { headers: match.headers }),
            ...(match.consumers === undefined ? {} : { consumers: match.consumers }),
          },
        }),
    from: source.text,
  };
}
