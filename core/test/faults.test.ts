/** Bugs of ours, made with a slice that has some: each closes what it is about, is reported, and leaves the rest alone. */
import { expect, test } from "@jest/globals";
import * as z from "zod";
import { createEngine } from "../src/engine.ts";
import type { Slice } from "../src/slice.ts";
import type { AnySlice } from "../src/slices.ts";
import type { JsonObject, Output } from "../src/world.ts";
import { backend, gateway, gatewayClass, OPTIONS, policy, route, service } from "./objects.ts";

type Behaviour = "resolve throws" | "route throws" | "no such slot" | "wrong type" | "fine";

/** Behaves as the policy's `reason` says. */
const faulty: Slice<"authentication", { readonly reason: string }, Behaviour> = {
  key: "authentication",
  schema: () => z.object({ reason: z.string() }),
  levels: ["Gateway", "Listener", "Namespace", "Route", "Rule"],
  listenerSettings: [],
  mayOpen: false,
  closes: true,
  audit: true,
  validate: () => [],
  resolve(spec) {
    if (spec.reason === "resolve throws") throw new Error("resolve");
    return { ok: true, model: spec.reason as Behaviour };
  },
  route(behaviour) {
    const rbac: JsonObject = { "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute" };
    switch (behaviour) {
      case "route throws":
        throw new Error("route");
      case "no such slot":
        return { slots: { authzz: rbac } as unknown as { authz: JsonObject } };
      case "wrong type":
        return { slots: { jwt: rbac } };
      default:
        return { slots: { authz: rbac } };
    }
  },
};

function outputOf(behaviour: Behaviour): Output {
  const target = { kind: "HTTPRoute", name: "orders" };
  return createEngine({ ...OPTIONS, requirePolicy: true }, [faulty as unknown as AnySlice]).apply(
    [
      gatewayClass,
      gateway("edge", [{ name: "http", port: 80, protocol: "HTTP" }]),
      ...service("app", { address: "10.0.0.1", port: 80 }),
      route("orders", {
        hostnames: ["orders.test"],
        rules: [
          { name: "bad", matches: [{ path: { type: "PathPrefix", value: "/bad" } }], backendRefs: [backend("app")] },
          { name: "good", backendRefs: [backend("app")] },
        ],
      }),
      policy("bad", [{ ...target, sectionName: "bad" }], { authentication: { mode: "Public", reason: behaviour } }),
      policy("good", [{ ...target, sectionName: "good" }], { authentication: { mode: "Public", reason: "fine" } }),
    ],
    0,
  );
}

function statuses(output: Output): readonly unknown[] {
  const scope = output.resources.find(({ name }) => name.endsWith("orders.test"))?.json as
    | {
        readonly route_configuration: { readonly virtual_hosts: readonly { readonly routes: readonly JsonObject[] }[] };
      }
    | undefined;
  const routes = scope?.route_configuration.virtual_hosts[0]?.routes ?? [];
  return routes.map((one) => (one["direct_response"] as JsonObject | undefined)?.["status"] ?? "routes");
}

test("a slice without faults", () => {
  const output = outputOf("fine");
  expect([output.faults, statuses(output)]).toEqual([[], ["routes", "routes", 404]]);
});

test.each<[Behaviour, number]>([
  ["resolve throws", 1],
  ["route throws", 1],
  ["no such slot", 0],
  ["wrong type", 0],
])("%s: the rule answers 503, the other one routes", (behaviour, faults) => {
  const output = outputOf(behaviour);
  expect(statuses(output)).toEqual([503, "routes", 404]);
  expect(output.faults).toHaveLength(faults);
});
