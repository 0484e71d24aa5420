import { expect, test } from "@jest/globals";
import { certificates } from "../../test/differential/credentials.ts";
import { backend, gateway, gatewayClass, OPTIONS, policy, put, route, service } from "../../test/objects.ts";
import { openEngine, type OpenEngine } from "../engine.ts";
import type { Change } from "../world.ts";
import { type SimRequest, targetOf } from "./request.ts";
import { simulate, type Simulation } from "./simulate.ts";

const NOW_MS = Date.parse("2026-12-01T00:00:00Z");
const orders = { group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "orders" };

function openWorld(...more: readonly Change[]): OpenEngine {
  const open = openEngine({ ...OPTIONS, requirePolicy: true });
  const { faults } = open.engine.apply(
    [
      gatewayClass,
      gateway("edge", [{ name: "http", port: 10080, protocol: "HTTP" }]),
      ...service("echo", { address: "127.0.0.1", port: 1 }),
      route("orders", {
        hostnames: ["orders.test"],
        rules: [
          {
            name: "read",
            matches: [{ path: { type: "PathPrefix", value: "/orders" } }],
            backendRefs: [backend("echo")],
          },
        ],
      }),
      put("ApiConsumer", "erp", { spec: { apiKeys: [{ name: "k1", secretRef: { name: "erp", key: "key" } }] } }),
      put("ApiConsumer", "gone", {
        spec: { suspended: true, apiKeys: [{ name: "k1", secretRef: { name: "erp", key: "other" } }] },
      }),
      ...more,
    ],
    NOW_MS,
  );
  expect(faults).toEqual([]);
  const secret = { data: { key: Buffer.from("k-1").toString("base64"), other: Buffer.from("k-2").toString("base64") } };
  open.engine.apply([put("Secret", "erp", secret)], NOW_MS);
  return open;
}

function ask(open: OpenEngine, url: string, more: Partial<SimRequest> = {}): Simulation {
  const target = targetOf(url);
  if (target === undefined) throw new Error(url);
  return simulate(open, { method: "GET", headers: [], from: "192.0.2.1", atMs: NOW_MS, ...target, ...more });
}

const keyed = policy("orders", [orders], { authentication: { apiKey: { from: { headers: ["x-api-key"] } } } });

test("says stage by stage what becomes of a request, and who refused it", () => {
  const open = openWorld(
    keyed,
    policy("edge", [{ kind: "Gateway", name: "edge" }], { denylist: { entries: [{ cidr: "203.0.113.0/24" }] } }),
    policy("limits", [orders], {
      rateLimit: { limits: [{ name: "each", requests: 5, per: "1m", by: [{ type: "Consumer" }] }] },
    }),
  );
  expect(ask(open, "http://orders.test:10080/orders")).toMatchObject({
    verdict: "Deny",
    status: 401,
    code: "GW-AUTHN-001",
    policy: "shop/orders#authentication",
    gateway: "shop/edge/http",
    route: "shop/orders/read",
    stages: [
      { section: "request", result: "Pass" },
      { section: "route", result: "Pass" },
      { section: "denylist", result: "Pass", policy: "shop/edge" },
      { section: "authentication", result: "Deny", policy: "shop/orders" },
      { section: "rateLimit", result: "NotReached" },
    ],
  });
  const allowed = ask(open, "http://orders.test:10080/orders/7", { headers: [["X-Api-Key", "k-1"]] });
  expect(allowed).toMatchObject({ verdict: "Allow", status: 200, code: "", policy: "" });
  expect(allowed.stages.find(({ section }) => section === "rateLimit")?.limits).toEqual([
    { limit: "shop/limits#each", requests: 5, per: "1m", burst: 5, bucket: "shop/erp" },
  ]);
  expect(JSON.stringify(allowed)).not.toContain("k-1");
  expect(ask(open, "http://orders.test:10080/orders", { from: "203.0.113.9" })).toMatchObject({
    status: 403,
    code: "GW-DENY-001",
  });
});

test("a section has one stage, also where it looks at a request twice", () => {
  const limits = [
    { name: "all", requests: 9, per: "1s" },
    { name: "each", requests: 5, per: "1m", by: [{ type: "Consumer" }] },
  ];
  const open = openWorld(keyed, policy("limits", [orders], { rateLimit: { limits } }));
  const stagesOf = (more: Partial<SimRequest>): readonly unknown[] =>
    ask(open, "http://orders.test:10080/orders", more).stages.slice(2);
  expect(stagesOf({})).toMatchObject([
    {
      section: "rateLimit",
      result: "Pass",
      reason: "counts in all (everybody); refused with 429 once that is used up; not reached: each",
      limits: [{ limit: "shop/limits#all" }],
    },
    { section: "authentication", result: "Deny" },
  ]);
  expect(stagesOf({ as: "shop/erp" })).toMatchObject([
    {
      section: "rateLimit",
      reason:
        "counts in all (everybody); refused with 429 once that is used up; counts in each (shop/erp); refused with 429 once that is used up",
      limits: [{ limit: "shop/limits#all" }, { limit: "shop/limits#each" }],
    },
    { section: "authentication", result: "Pass" },
    { section: "backend", result: "Pass" },
  ]);
});

test("where the client's certificate is refused, authentication has passed and stands there once", () => {
  const signed = certificates();
  const open = openWorld(
    gateway("edge", [
      { name: "https", port: 10443, protocol: "HTTPS", tls: { certificateRefs: [{ name: "edge-tls" }] } },
    ]),
    policy("edge", [{ kind: "Gateway", name: "edge" }], {
      mtls: {
        client: {
          mode: "Optional",
          caRefs: [{ kind: "ConfigMap", name: "partners", key: "ca.crt" }],
          identities: [{ type: "Exact", san: "URI", value: "spiffe://partner/erp" }],
        },
      },
    }),
    keyed,
  );
  open.engine.apply(signed.objects, NOW_MS);
  const certificate = { uris: ["spiffe://other"], dns: [], emails: [] };
  const { code, stages } = ask(open, "https://orders.test:10443/orders", { as: "shop/erp", certificate });
  expect(code).toBe("GW-MTLS-001");
  expect(stages.map(({ section, result }) => `${section} ${result}`)).toEqual([
    "request Pass",
    "route Pass",
    "authentication Pass",
    "mtls Deny",
  ]);
});

test("a consumer stands for a valid credential, if it has one", () => {
  const open = openWorld(keyed);
  const as = (name: string): Simulation => ask(open, "http://orders.test:10080/orders", { as: name });
  expect(as("shop/erp")).toMatchObject({ verdict: "Allow" });
  expect(as("shop/gone")).toMatchObject({ verdict: "Deny", status: 401, code: "GW-AUTHN-002" });
  expect(as("shop/nobody").stages.at(-1)?.reason).toContain("there is no ApiConsumer shop/nobody");
});

test.each([
  ["http://orders.test:10080/other", 404, "GW-ROUTE-001"],
  ["http://elsewhere.test:10080/orders", 404, "GW-ROUTE-001"],
  ["http://ORDERS.test.:10080/orders", 401, "GW-AUTHN-001"],
  ["http://orders.test/orders", 401, "GW-AUTHN-001"], // nothing listens on 80: the listener that there is
  ["http://orders.test:10080/orders;x", 400, "GW-PATH-001"],
  ["http://orders.test:10080/a%2fb", 400, "GW-HTTP-400"],
  ["http://orders..test:10080/orders", 400, "GW-HTTP-400"],
  ["http://orders.test:81/orders", 0, ""],
  ["https://orders.test:10080/orders", 0, ""],
])("%s gets %i %s", (url, status, code) => {
  expect(ask(openWorld(keyed), url)).toMatchObject({ verdict: "Deny", status, code });
});

test("without a policy, and with a broken one, the route is closed", () => {
  expect(ask(openWorld(), "http://orders.test/orders")).toMatchObject({
    status: 403,
    code: "GW-POLICY-001",
    policy: "",
  });
  const broken = policy("orders", [orders], { authentication: { mode: "Public", reason: "x" }, authorisation: {} });
  expect(ask(openWorld(broken), "http://orders.test/orders")).toMatchObject({
    status: 503,
    code: "GW-POLICY-002",
    policy: "shop/orders",
  });
});

test("what an audited section would do is said and changes nothing", () => {
  const open = openWorld(
    policy("open", [orders], { authentication: { mode: "Public", reason: "x" } }),
    policy("tried", [orders], { mode: "Audit", allowlist: { entries: [{ cidr: "10.0.0.0/8" }] } }),
  );
  const { verdict, stages } = ask(open, "http://orders.test/orders");
  expect(verdict).toBe("Allow");
  expect(stages.find(({ section }) => section === "allowlist")).toMatchObject({ audit: true, policy: "shop/tried" });
  expect(stages.find(({ section }) => section === "allowlist")?.reason).toContain("would deny");
});

test("a URL keeps its path as it is", () => {
  expect(targetOf("HTTPS://a.test:8443/x/../%2e?q#f")).toEqual({
    scheme: "https",
    host: "a.test",
    port: 8443,
    path: "/x/../%2e?q",
  });
  expect(targetOf("http://[::1]")).toEqual({ scheme: "http", host: "[::1]", path: "/" });
  expect(["a.test/x", "ftp://a.test/", "http:///x", "http://a.test:99999/"].map(targetOf)).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});
