/** What an engine put out, as one static bootstrap: every resource in the place that a proxy would put it, so that a real Envoy can judge it. */
import { RUNTIME } from "../src/envoy/re2.ts";
import type { JsonObject, JsonValue, Output, ResourceChange } from "../src/world.ts";

/** The resources that a proxy of a Gateway holds after some outputs. */
export type Resources = ReadonlyMap<string, ResourceChange>;

export function resourcesAfter(outputs: readonly Output[], gateway: string): Resources {
  const held = new Map<string, ResourceChange>();
  for (const change of outputs.flatMap(({ resources }) => resources)) {
    if (change.gateway !== gateway) continue;
    const id = `${change.type}/${change.name}`;
    if (change.json === undefined) held.delete(id);
    else held.set(id, change);
  }
  return held;
}

export interface StaticOptions {
  /** Replaces the port of each listener: tests have no fixed ports. */
  readonly ports?: ReadonlyMap<number, number>;
}

export function staticBootstrap(resources: Resources, options: StaticOptions = {}): JsonObject {
  const of = (type: ResourceChange["type"]): readonly JsonObject[] =>
    [...resources.values()].flatMap((change) =>
      change.type === type && change.json !== undefined ? [change.json] : [],
    );
  const scopes = of("scope").map(untyped).map(withoutClusterCheck);
  const extensions = new Map(
    of("extension").map((extension) => [text(extension["name"]), extension["typed_config"] as JsonObject]),
  );
  const secrets = new Set(of("secret").map((secret) => text(secret["name"])));
  const endpoints = new Map(of("endpoint").map((one) => [text(one["cluster_name"]), untyped(one)]));
  const settle = (value: JsonValue): JsonValue => {
    if (Array.isArray(value)) return value.map(settle);
    if (typeof value !== "object" || value === null) return value;
    const object = value as JsonObject;
    const discovery = object["config_discovery"] as JsonObject | undefined;
    if (discovery !== undefined) {
      const name = text(object["name"]);
      return { name, typed_config: extensions.get(name) ?? discovery["default_config"] ?? {} };
    }
    if (object["sds_config"] !== undefined && !secrets.has(text(object["name"]))) {
      // Not there: a proxy would wait for it. A file that never holds it is the static form of that.
      return { ...object, sds_config: { path_config_source: { path: "/dev/null" } } };
    }
    const entries = Object.entries(object)
      .filter(([key]) => key !== "sds_config")
      .map(([key, part]): [string, JsonValue] => {
        if (key === "dynamic_config") return ["typed_config", settle(part)];
        if (key === "scoped_rds") return ["scoped_route_configurations_list", { scoped_route_configurations: scopes }];
        if (key === "port_value" && options.ports !== undefined) return [key, options.ports.get(Number(part)) ?? part];
        return [key, settle(part)];
      });
    return Object.fromEntries(entries.filter(([key]) => key !== "rds_config_source"));
  };
  const clusters = of("cluster").map((cluster) => {
    const { eds_cluster_config: _, ...rest } = settle(untyped(cluster)) as JsonObject;
    const name = text(cluster["name"]);
    return { ...rest, type: "STATIC", load_assignment: endpoints.get(name) ?? { cluster_name: name } };
  });
  return {
    node: { id: "test", cluster: "test" },
    layered_runtime: { layers: [{ name: "gatewarden", static_layer: RUNTIME }] },
    cluster_manager: { local_cluster_name: "gatewarden-self" },
    static_resources: {
      listeners: of("listener").map((listener) => settle(untyped(listener))),
      clusters: [
        { name: "gatewarden-self", type: "STATIC", load_assignment: { cluster_name: "gatewarden-self" } },
        ...clusters,
      ],
      secrets: of("secret").map(untyped),
    },
  };
}

/** Static routes may only name clusters that exist; ours name one that does not where a call is refused before it. */
function withoutClusterCheck(scope: JsonObject): JsonObject {
  return {
    ...scope,
    route_configuration: { ...(scope["route_configuration"] as JsonObject), validate_clusters: false },
  };
}

function untyped(resource: JsonObject): JsonObject {
  const { "@type": _, ...rest } = resource;
  return rest;
}

function text(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}
