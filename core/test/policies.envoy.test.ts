/** Policies of several levels on routes in a real Envoy: what is enforced, what is closed, and who is named. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { send } from "../../e2e/client/http1.ts";
import { freePorts } from "../../e2e/cluster/port.ts";
import { type EnvoyProcess, startEnvoy } from "../../e2e/envoy/process.ts";
import { type Echo, type EchoUpstream, startEcho } from "../../e2e/upstream/echo.ts";
import { createEngine } from "../src/engine.ts";
import type { Engine, Output } from "../src/world.ts";
import { backend, gateway, gatewayClass, OPTIONS, policy, put, route, service } from "./objects.ts";
import { resourcesAfter, staticBootstrap } from "./static-bootstrap.ts";

let envoy: EnvoyProcess;
let upstream: EchoUpstream;
let port = 0;
let outputs: readonly Output[] = [];
const engine: Engine = createEngine({ ...OPTIONS, requirePolicy: true });
const httpRoute = (name: string): Record<string, string> => ({
  group: "gateway.networking.k8s.io",
  kind: "HTTPRoute",
  name,
});
const secret = (name: string, key: string, value: string): ReturnType<typeof put> =>
  put("Secret", name, { data: { [key]: Buffer.from(value).toString("base64") } });

beforeAll(async () => {
  upstream = await startEcho({ name: "echo", address: "127.0.0.1" });
  [port = 0] = await freePorts(1);
  const simple = (name: string): ReturnType<typeof route> =>
    route(name, { hostnames: [`${name}.test`], rules: [{ backendRefs: [backend("echo")] }] });
  outputs = [
    engine.apply(
      [
        gatewayClass,
        gateway("edge", [{ name: "http", port: 80, protocol: "HTTP" }]),
        ...service("echo", { address: "127.0.0.1", port: upstream.port }),
        ...["key", "public", "bare", "broken", "unknown", "limited", "denied", "inherits"].map(simple),
        put("ApiConsumer", "erp", {
          metadata: { labels: { tier: "partner" } },
          spec: { apiKeys: [{ name: "k1", secretRef: { name: "erp-k1", key: "api-key" } }] },
        }),
        policy("key", [httpRoute("key")], {
          authentication: {
            apiKey: {
              from: { headers: ["x-api-key"] },
              consumerSelector: { matchLabels: { tier: "partner" } },
              consumerHeader: "x-consumer",
            },
          },
        }),
        policy("public", [httpRoute("public")], { authentication: { mode: "Public", reason: "test" } }),
        policy("broken", [httpRoute("broken")], {
          authentication: {
            jwt: [
              {
                name: "corp",
                issuer: "https://sso.test",
                audiences: ["shop"],
                jwks: { type: "Ref", ref: { kind: "ConfigMap", name: "missing", key: "jwks.json" } },
              },
            ],
          },
        }),
        policy("unknown", [httpRoute("unknown")], {
          authentication: { mode: "Public", reason: "test" },
          authorisation: {},
        }),
        policy("limited", [httpRoute("limited")], {
          authentication: { mode: "Public", reason: "test" },
          rateLimit: { limits: [{ name: "all", requests: 2, per: "1h" }] },
        }),
        policy("denied", [httpRoute("denied")], {
          authentication: { mode: "Public", reason: "test" },
          denylist: { entries: [{ cidr: "127.0.0.0/8" }] },
        }),
        policy("space", [{ kind: "Namespace" }], { denylist: { entries: [{ cidr: "192.0.2.0/24" }] } }),
      ],
      1,
    ),
  ];
  const wanted = outputs.flatMap(({ watch }) => watch.add.map(({ kind, name }) => `${kind}/${name}`));
  expect(wanted).toEqual(["ConfigMap/missing", "Secret/erp-k1"]);
  outputs = [...outputs, engine.apply([secret("erp-k1", "api-key", "k-123")], 2)];
  envoy = await startEnvoy({
    bootstrap: staticBootstrap(resourcesAfter(outputs, "shop/edge"), { ports: new Map([[80, port]]) }),
    logLevel: "warning",
  });
});

afterAll(async () => {
  await envoy?.stop();
  await upstream?.stop();
});

const get = (host: string, headers: readonly (readonly [string, string])[] = []): ReturnType<typeof send> =>
  send({ address: "127.0.0.1", port }, { host, path: "/", headers });

test("a key opens its route, the consumer is told to the upstream once", async () => {
  const answer = await get("key.test", [
    ["x-api-key", "k-123"],
    ["x-consumer", "forged"],
    ["X-Consumer", "again"],
  ]);
  expect(answer.status).toBe(200);
  const { headers } = answer.json<Echo>();
  expect(headers.filter(([name]) => name === "x-consumer" || name === "x-api-key")).toEqual([["x-consumer", "erp"]]);
});

test.each([
  ["key.test", [], 401, "GW-AUTHN-001", "shop/key#authentication"],
  ["key.test", [["x-api-key", "wrong"]], 401, "GW-AUTHN-002", "shop/key#authentication"],
  ["bare.test", [], 403, "GW-POLICY-001", undefined],
  ["broken.test", [], 503, "GW-POLICY-002", "shop/broken#authentication"],
  ["unknown.test", [], 503, "GW-POLICY-002", "shop/unknown"],
  ["denied.test", [], 403, "GW-DENY-001", "shop/denied#denylist"],
] as const)("%s with %j answers %d %s", async (host, headers, status, code, name) => {
  const answer = await get(host, headers);
  const problem = answer.problem();
  expect([answer.status, problem.code, problem.policy, answer.header("x-gatewarden-policy")]).toEqual([
    status,
    code,
    name,
    name,
  ]);
  expect(problem.requestId).toMatch(/^[0-9a-f-]{36}$/);
});

test("the capital form of a host is under the same policies", async () => {
  expect((await get("KEY.test")).status).toBe(401);
  expect((await get("Denied.Test.")).status).toBe(403);
});

test("public is open, in any form of its name", async () => {
  for (const host of ["public.test", "PUBLIC.test", "public.test.:80"]) expect((await get(host)).status).toBe(200);
});

test("limits count and say when to come back", async () => {
  expect([(await get("limited.test")).status, (await get("LIMITED.test")).status]).toEqual([200, 200]);
  const answer = await get("limited.test");
  expect([answer.status, answer.problem().policy]).toEqual([429, "shop/limited#rateLimit"]);
  expect(Number(answer.header("retry-after"))).toBeGreaterThan(0);
});
