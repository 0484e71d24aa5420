/**
 * The same promise as overrides.prop.test.ts, asked of the whole engine: random policies beside a platform's Overrides, random requests, and what
 * `simulate` says becomes of them. A request that the Overrides alone refuse is refused whatever else is there.
 */
import { expect, it } from "@jest/globals";
import fc from "fast-check";
import { openEngine, type OpenEngine } from "../src/engine.ts";
import { simulate, type Simulation } from "../src/simulate/simulate.ts";
import type { Change } from "../src/world.ts";
import { type Call, calls, hierarchies, LEVELS, type Written } from "./hierarchy.ts";
import { backend, gatewayClass, OPTIONS, put, route, service } from "./objects.ts";

const NOW_MS = Date.parse("2026-12-01T00:00:00Z");
const NAMES = ["a", "b"];
const NAMESPACES = ["infra", "shop"];

const TARGETS: Readonly<Record<(typeof LEVELS)[number], object>> = {
  Gateway: { kind: "Gateway", name: "edge" },
  Listener: { kind: "Gateway", name: "edge", sectionName: "http" },
  Namespace: { kind: "Namespace" },
  Route: { kind: "HTTPRoute", name: "orders" },
  Rule: { kind: "HTTPRoute", name: "orders", sectionName: "all" },
};

function worldOf(written: readonly Written[]): OpenEngine {
  const open = openEngine(OPTIONS);
  const allowedRoutes = { namespaces: { from: "All" } };
  const changes: readonly Change[] = [
    gatewayClass,
    put(
      "Gateway",
      "edge",
      {
        spec: {
          gatewayClassName: "gatewarden",
          listeners: [{ name: "http", port: 80, protocol: "HTTP", allowedRoutes }],
        },
      },
      { namespace: "infra" },
    ),
    put("Namespace", "shop", { metadata: { labels: { "gatewarden.io/overrides": "allowed" } } }),
    ...service("app", { address: "10.0.0.1", port: 8080 }),
    route("orders", {
      parentRefs: [{ name: "edge", namespace: "infra" }],
      hostnames: ["orders.test"],
      rules: [{ name: "all", backendRefs: [backend("app")] }],
    }),
    ...NAMESPACES.flatMap((namespace) =>
      NAMES.map((name) => {
        const apiKeys = [{ name: "k1", secretRef: { name: "keys", key: name } }];
        return put("ApiConsumer", name, { metadata: { labels: { name } }, spec: { apiKeys } }, { namespace });
      }),
    ),
    ...written.map(({ level, name, spec }) => {
      const { mtls: _, ...sections } = spec; // a plain listener asks for no certificate
      const target = TARGETS[LEVELS[level] ?? "Rule"];
      return put(
        "ApiPolicy",
        name,
        { spec: { ...sections, targetRefs: [target] } },
        { namespace: level < 2 ? "infra" : "shop" },
      );
    }),
  ];
  open.engine.apply(changes, NOW_MS);
  const secrets = NAMESPACES.map((namespace) => {
    const data = Object.fromEntries(NAMES.map((name) => [name, btoa(`${namespace}/${name}`)]));
    return put("Secret", "keys", { data }, { namespace });
  });
  const { faults } = open.engine.apply(secrets, NOW_MS);
  expect(faults).toEqual([]);
  return open;
}

/** Tokens are left out: who signs them is the affair of other tests. */
function ask(open: OpenEngine, { address, keys, tokens }: Call): Simulation {
  const headers = [
    ...keys.map(({ place, consumer }) => [place.replace("header ", ""), consumer] as const),
    ...tokens.filter(({ place }) => place.startsWith("header")).map(() => ["authorization", "Bearer x.y.z"] as const),
  ];
  const request = { method: "GET", scheme: "http", host: "orders.test", path: "/", headers, from: address } as const;
  return simulate(open, { ...request, atMs: NOW_MS });
}

const ROUNDS = 10;

it("is refused what the Overrides down to any level refuse", () => {
  let refused = 0;
  let passed = 0;
  const property = fc.property(hierarchies, fc.array(calls, { minLength: 5, maxLength: 10 }), (written, several) => {
    const whole = worldOf(written);
    for (const level of LEVELS.keys()) {
      const kept = written.filter((one) => one.spec["precedence"] === "Override" && one.level <= level);
      if (kept.length === 0) continue;
      const floor = worldOf(kept);
      for (const call of several) {
        const alone = ask(floor, call);
        const together = ask(whole, call);
        // An Override that forbids modes alone leaves it to others who may call.
        if (alone.verdict === "Deny" && alone.code !== "GW-POLICY-001") {
          refused += 1;
          expect({ call, alone, together: together.verdict }).toEqual({ call, alone, together: "Deny" });
        } else if (together.verdict === "Allow") passed += 1;
      }
    }
  });
  // Few random calls get through: how many of one round do is luck.
  for (let round = 0; round < ROUNDS && (round === 0 || passed <= 20); round += 1)
    fc.assert(property, { numRuns: 100 });
  expect(refused).toBeGreaterThan(100);
  expect(passed).toBeGreaterThan(20);
});
