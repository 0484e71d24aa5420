/** What runs for a Gateway in the cluster: golden objects, what follows from parameters, and what Gateways and classes say of it. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { stringify } from "yaml";
import { CONTROLLER, gateway, gatewayClass, put } from "../../test/objects.ts";
import { createEngine } from "../engine.ts";
import type { Change, Condition, KubeObject, ObjectStatus, Output } from "../world.ts";
import { containerPort, READY_PORT, serviceName } from "./names.ts";

const OPTIONS = {
  controllerName: CONTROLLER,
  requirePolicy: true,
  logDirectory: "/var/log/gatewarden",
  infrastructure: {
    namespace: "gatewarden-system",
    image: "envoy:1.40",
    agentImage: "gatewarden:1",
    bootstrap: (name: string) => ({ node: { cluster: name } }),
  },
};
const certificate = (name: string): string => `-----BEGIN CERTIFICATE-----\n${name}\n-----END CERTIFICATE-----\n`;
const authority = (...names: readonly string[]): Change =>
  put(
    "ConfigMap",
    "gatewarden-ca",
    { data: { "ca.crt": names.map(certificate).join("") } },
    { namespace: "gatewarden-system" },
  );
const HTTP = { name: "http", port: 80, protocol: "HTTP" };
const ALT = { name: "alt", port: 8080, protocol: "HTTP" };
const edge = (more: object = {}): Change => gateway("edge", [HTTP, ALT], { addresses: [], ...more });
const config = (name: string, spec: object, namespace = "shop"): Change =>
  put("ProxyConfig", name, { spec }, { namespace });
const classWith = (parametersRef: object): Change =>
  put("GatewayClass", "gatewarden", { spec: { controllerName: CONTROLLER, parametersRef } });
const OF_CLASS = classWith({ group: "gatewarden.io", kind: "ProxyConfig", namespace: "ops", name: "proxies" });
const own = (name: string): object => ({
  infrastructure: { parametersRef: { group: "gatewarden.io", kind: "ProxyConfig", name } },
});
const assigned = (ingress: readonly object[], type = "LoadBalancer"): Change =>
  put("Service", "gateway-edge", {
    metadata: { labels: { "gateway.networking.k8s.io/gateway-name": "edge" } },
    spec: { type, clusterIPs: ["10.96.0.7"], ports: [{ port: 80 }] },
    status: { loadBalancer: { ingress } },
  });

function world(...changes: readonly Change[]) {
  const engine = createEngine(OPTIONS);
  const statuses = new Map<string, ObjectStatus | undefined>();
  const apply = (...next: readonly Change[]): Output => {
    const output = engine.apply(next, 0);
    expect(output.faults).toEqual([]);
    for (const { key, status } of output.statuses) statuses.set(`${key.kind} ${key.name}`, status);
    return output;
  };
  const first = apply(...changes);
  return {
    first,
    apply,
    condition(object: string, type: string): Condition | undefined {
      const status = statuses.get(object);
      return status !== undefined && "conditions" in status
        ? status.conditions.find((one) => one.type === type)
        : undefined;
    },
    addresses: () => (statuses.get("Gateway edge") as Extract<ObjectStatus, { kind: "Gateway" }>).addresses,
  };
}

/** The objects that an output asks for, of one Gateway. */
function objectsOf(output: Output, name = "shop/edge"): readonly KubeObject[] {
  const change = output.infrastructure?.find((one) => one.gateway === name);
  if (change === undefined || change.objects === undefined || change.objects === "keep")
    throw new Error(`no objects for ${name}`);
  return change.objects;
}

function ofKind(kind: string, output: Output): KubeObject & { readonly spec: Readonly<Record<string, unknown>> } {
  const found = objectsOf(output).find((object) => object.kind === kind);
  if (found === undefined) throw new Error(`no ${kind}`);
  return found as ReturnType<typeof ofKind>;
}

const EVERYTHING = {
  autoscaling: { minReplicas: 3, maxReplicas: 9, cpuUtilization: 50 },
  resources: { requests: { cpu: "1" } },
  image: "registry.test/envoy:2",
  service: { type: "LoadBalancer", annotations: { "example.com/a": "b" }, externalTrafficPolicy: "Local" },
  logLevel: "info",
  drainTime: "1m30s",
  labels: { team: "shop", "app.kubernetes.io/managed-by": "somebody" },
};

describe("golden objects", () => {
  test.each([
    ["defaults", [gatewayClass, authority("a"), edge()]],
    ["everything", [OF_CLASS, config("proxies", EVERYTHING, "ops"), authority("a"), edge()]],
  ] as const)("%s", (name, changes) => {
    const file = join(import.meta.dirname, "testdata", `${name}.yaml`);
    const actual = objectsOf(world(...changes).first)
      .map((object) => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false }))
      .join("---\n");
    if (process.env["UPDATE"] === "1") writeFileSync(file, actual);
    expect(actual).toBe(existsSync(file) ? readFileSync(file, "utf8") : "");
  });
});

describe("what runs", () => {
  test("nothing is asked for before there is an authority to trust, and nothing changes while there is none", () => {
    const { first, apply } = world(gatewayClass, edge());
    expect(first.infrastructure).toEqual([{ gateway: "shop/edge", objects: "keep" }]);
    expect(objectsOf(apply(authority("a")))).toHaveLength(5);
    expect(apply(authority("a")).infrastructure).toEqual([]);
  });

  test("proxies are started anew for an authority that comes, not for one that goes", () => {
    const { first, apply } = world(gatewayClass, authority("old"), edge());
    const checksum = (output: Output): unknown => JSON.stringify(ofKind("Deployment", output).spec["template"]);
    const before = checksum(first);
    const both = checksum(apply(authority("new", "old")));
    expect(both).not.toBe(before);
    expect(checksum(apply(authority("new")))).toBe(both);
  });

  test("low ports are bound above, and the listener keeps its port in the Service", () => {
    const { first } = world(gatewayClass, authority("a"), edge());
    expect(ofKind("Service", first).spec["ports"]).toEqual([
      { name: "port-80", port: 80, protocol: "TCP", targetPort: 64_592 },
      { name: "port-8080", port: 8080, protocol: "TCP", targetPort: 8080 },
    ]);
    const bound = first.resources
      .filter(({ type }) => type === "listener")
      .map(({ name, json }) => [name, (json as { readonly address?: unknown } | undefined)?.address]);
    const at = (port: number): object => ({ socket_address: { address: "0.0.0.0", port_value: port } });
    expect(bound).toEqual([
      ["port-80", at(containerPort(80))],
      ["port-8080", at(8080)],
    ]);
  });

  test("a port that proxies need themselves is no listener's", () => {
    const { condition } = world(
      gatewayClass,
      authority("a"),
      gateway("edge", [{ ...HTTP, port: READY_PORT }], { addresses: [] }),
    );
    expect(condition("Gateway edge", "Accepted")).toMatchObject({ status: "False", reason: "ListenersNotValid" });
  });

  test("a name that no Service can have gets another one", () => {
    expect(serviceName("web")).toBe("gateway-web");
    for (const name of ["a.b", "x".repeat(200)]) expect(serviceName(name)).toMatch(/^gateway-[0-9a-f]{16}$/);
  });

  test("ends with the Gateway, and with its class", () => {
    const { apply } = world(gatewayClass, authority("a"), edge());
    const other = put("GatewayClass", "gatewarden", { spec: { controllerName: "example.com/other" } });
    expect(apply(other).infrastructure).toEqual([{ gateway: "shop/edge", objects: undefined }]);
    expect(objectsOf(apply(gatewayClass))).toHaveLength(5);
    expect(apply({ key: edge().key, object: undefined }).infrastructure).toEqual([
      { gateway: "shop/edge", objects: undefined },
    ]);
  });
});

describe("parameters", () => {
  const replicas = (output: Output): unknown => ofKind("Deployment", output).spec["replicas"];

  test("the Gateway's own win, field by field; the rest is the class's", () => {
    const { first, apply } = world(
      ...[OF_CLASS, authority("a"), config("proxies", { replicas: 3, logLevel: "info" }, "ops")],
      ...[config("own", { replicas: 5 }), edge(own("own"))],
    );
    expect(replicas(first)).toBe(5);
    expect(JSON.stringify(ofKind("Deployment", first).spec)).toContain('"--log-level","info"');
    const scaled = apply(config("own", { autoscaling: { maxReplicas: 4 } }));
    expect(replicas(scaled)).toBeUndefined();
    expect(ofKind("HorizontalPodAutoscaler", scaled).spec).toMatchObject({ minReplicas: 2, maxReplicas: 4 });
  });

  test.each([
    ["no such object", [edge(own("own"))], /there is no ProxyConfig shop\/own/],
    ["a mistake", [config("own", { replicas: 0 }), edge(own("own"))], /spec\.replicas/],
    ["an unknown field", [config("own", { replicas: 1, x: 1 }), edge(own("own"))], /unknown field spec\.x/],
    ["an image, which is not the tenant's to choose", [config("own", { image: "a" }), edge(own("own"))], /spec\.image/],
    [
      "another kind",
      [edge({ infrastructure: { parametersRef: { group: "", kind: "ConfigMap", name: "own" } } })],
      /use a ProxyConfig/,
    ],
  ] as const)("%s: the Gateway is not accepted, and what runs stays", (_, changes, message) => {
    const { apply, condition } = world(gatewayClass, authority("a"), edge());
    expect(apply(...changes).infrastructure).toEqual([{ gateway: "shop/edge", objects: "keep" }]);
    const accepted = condition("Gateway edge", "Accepted");
    expect(accepted).toMatchObject({ status: "False", reason: "InvalidParameters" });
    expect(accepted?.message).toMatch(message);
    expect(objectsOf(apply(edge()))).toHaveLength(5);
    expect(condition("Gateway edge", "Accepted")).toMatchObject({ status: "True" });
  });

  test("a class whose parameters are wrong is not accepted, and says so on its Gateways", () => {
    const { condition, apply } = world(OF_CLASS, authority("a"), edge());
    expect(condition("GatewayClass gatewarden", "Accepted")).toMatchObject({
      status: "False",
      reason: "InvalidParameters",
      message: "spec.parametersRef: there is no ProxyConfig ops/proxies",
    });
    expect(condition("Gateway edge", "Accepted")?.message).toMatch(/GatewayClass gatewarden: .*ops\/proxies/);
    apply(config("proxies", { replicas: 1 }, "ops"));
    expect(condition("GatewayClass gatewarden", "Accepted")).toMatchObject({ status: "True" });
  });
});

describe("addresses", () => {
  test("are the load balancer's; until it gives one the Gateway is not programmed", () => {
    const { condition, addresses, apply } = world(gatewayClass, authority("a"), edge());
    expect(condition("Gateway edge", "Programmed")).toMatchObject({ status: "False", reason: "AddressNotAssigned" });
    apply(assigned([{ ip: "203.0.113.9" }, { hostname: "lb.example.com" }]));
    expect(condition("Gateway edge", "Programmed")).toBeUndefined();
    expect(addresses()).toEqual([
      { type: "IPAddress", value: "203.0.113.9" },
      { type: "Hostname", value: "lb.example.com" },
    ]);
  });

  test("are the Service's own where there is no load balancer", () => {
    const { addresses } = world(gatewayClass, authority("a"), edge(), assigned([], "ClusterIP"));
    expect(addresses()).toEqual([{ type: "IPAddress", value: "10.96.0.7" }]);
  });

  test("one may be asked for, of a load balancer", () => {
    const wish = { addresses: [{ type: "IPAddress", value: "203.0.113.9" }] };
    const { first, condition, apply } = world(
      gatewayClass,
      authority("a"),
      edge(wish),
      assigned([{ ip: "192.0.2.1" }]),
    );
    expect(ofKind("Service", first).spec["loadBalancerIP"]).toBe("203.0.113.9");
    expect(condition("Gateway edge", "Programmed")).toMatchObject({ reason: "AddressNotUsable" });
    apply(assigned([{ ip: "203.0.113.9" }]));
    expect(condition("Gateway edge", "Programmed")).toBeUndefined();
    apply(config("own", { service: { type: "ClusterIP" } }), edge({ ...wish, ...own("own") }));
    expect(condition("Gateway edge", "Accepted")).toMatchObject({ status: "False", reason: "UnsupportedAddress" });
  });
});
