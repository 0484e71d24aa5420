/** Rate limits through the whole core in a real Envoy: who shares a bucket across hosts, spellings of a host and ways to authenticate. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { send } from "../../e2e/client/http1.ts";
import { freePorts } from "../../e2e/cluster/port.ts";
import { type EnvoyProcess, startEnvoy } from "../../e2e/envoy/process.ts";
import { type EchoUpstream, startEcho } from "../../e2e/upstream/echo.ts";
import { createEngine } from "../src/engine.ts";
import { backend, gateway, gatewayClass, OPTIONS, policy, put, route, service } from "./objects.ts";
import { resourcesAfter, staticBootstrap } from "./static-bootstrap.ts";

let envoy: EnvoyProcess;
let upstream: EchoUpstream;
let port = 0;

const SLOW = { requests: 2, per: "1h" };
const PUBLIC = { authentication: { mode: "Public", reason: "test" } };
const target = (kind: string, name: string): Record<string, string> => ({
  group: "gateway.networking.k8s.io",
  kind,
  name,
});
const limits = (...list: readonly object[]): Readonly<Record<string, unknown>> => ({ rateLimit: { limits: list } });
const secret = (name: string, data: Readonly<Record<string, string>>): ReturnType<typeof put> =>
  put("Secret", name, {
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")])),
  });

beforeAll(async () => {
  upstream = await startEcho({ name: "echo", address: "127.0.0.1" });
  [port = 0] = await freePorts(1);
  const simple = (name: string, host = `${name}.test`): ReturnType<typeof route> =>
    route(name, { hostnames: [host], rules: [{ backendRefs: [backend("echo")] }] });
  const redirecting = route("moved", {
    hostnames: ["moved.test"],
    rules: [{ filters: [{ type: "RequestRedirect", requestRedirect: { hostname: "new.test" } }] }],
  });
  const engine = createEngine({ ...OPTIONS, requirePolicy: true });
  const outputs = [
    engine.apply(
      [
        gatewayClass,
        gateway("edge", [{ name: "http", port: 80, protocol: "HTTP" }]),
        ...service("echo", { address: "127.0.0.1", port: upstream.port }),
        ...["apps", "header", "one", "two"].map((name) => simple(name)),
        simple("wild", "*.wild.test"),
        redirecting,
        ...["erp", "crm"].map((name) =>
          put("ApiConsumer", name, {
            spec: {
              apiKeys: [{ name: "k1", secretRef: { name, key: "key" } }],
              basic: { secretRef: { name, key: "password" } },
            },
          }),
        ),
        secret("erp", { key: "key-erp", password: "pw-erp" }),
        secret("crm", { key: "key-crm", password: "pw-crm" }),
        policy("edge", [target("Gateway", "edge")], {
          ...PUBLIC,
          ...limits({ name: "posts", ...SLOW, match: { methods: ["POST"] } }),
        }),
        policy("apps", [target("HTTPRoute", "apps")], {
          authentication: { apiKey: {}, basic: {} },
          ...limits({ name: "each", ...SLOW, by: [{ type: "Consumer" }] }),
        }),
        ...["header", "wild"].map((name) =>
          policy(
            name,
            [target("HTTPRoute", name)],
            limits({ name: "each", ...SLOW, by: [{ type: "Header", name: "x-user" }] }),
          ),
        ),
        policy("moved", [target("HTTPRoute", "moved")], limits({ name: "all", ...SLOW })),
      ],
      1,
    ),
  ];
  envoy = await startEnvoy({
    bootstrap: staticBootstrap(resourcesAfter(outputs, "shop/edge"), { ports: new Map([[80, port]]) }),
    logLevel: "warning",
  });
});

afterAll(async () => {
  await envoy?.stop();
  await upstream?.stop();
});

const call = async (host: string, headers: Readonly<Record<string, string>> = {}, method = "GET"): Promise<number> =>
  (await send({ address: "127.0.0.1", port }, { host, method, headers })).status;

test("a consumer's calls count together, with a key or a password", async () => {
  const basic = { authorization: `Basic ${Buffer.from("erp:pw-erp").toString("base64")}` };
  expect([await call("apps.test", { "x-api-key": "key-erp" }), await call("apps.test", basic)]).toEqual([200, 200]);
  expect([await call("apps.test", { "x-api-key": "key-erp" }), await call("apps.test", basic)]).toEqual([429, 429]);
  expect(await call("apps.test", { "x-api-key": "key-crm" })).toBe(200);
  expect(await call("apps.test", { "x-api-key": "wrong", "x-gatewarden-consumer": "shop/crm" })).toBe(401);
});

test("every spelling of a host shares its buckets", async () => {
  const as = (host: string, user: string): Promise<number> => call(host, { "x-user": user });
  expect([await as("header.test", "a"), await as("HEADER.test", "a"), await as("Header.Test.", "a")]).toEqual([
    200, 200, 429,
  ]);
  expect([await as("HEADER.test", "b"), await as("header.test", "a")]).toEqual([200, 429]);
  expect([await as("x.wild.test", "a"), await as("Y.wild.test", "a"), await as("z.WILD.test.", "a")]).toEqual([
    200, 200, 429,
  ]);
  expect(await as("x.wild.test", "b")).toBe(200);
});

test("a Gateway's limit counts over all hosts, beside theirs", async () => {
  expect([await call("one.test", {}, "POST"), await call("two.test", {}, "POST")]).toEqual([200, 200]);
  expect([await call("one.test", {}, "POST"), await call("header.test", {}, "POST")]).toEqual([429, 429]);
  expect(await call("one.test")).toBe(200);
});

test("a redirect is limited", async () => {
  expect([await call("moved.test"), await call("moved.test"), await call("moved.test")]).toEqual([302, 302, 429]);
});
