/** Work and output are proportional to the change, whatever else exists; what breaks, breaks alone; time is an input. */
import { beforeEach, expect, test } from "@jest/globals";
import { createEngine } from "../src/engine.ts";
import { keyPartOf } from "../src/translate/chain.ts";
import type { Change, Engine, Output } from "../src/world.ts";
import { backend, gateway, gatewayClass, gone, OPTIONS, policy, put, route, service } from "./objects.ts";

const KEYS = keyPartOf("shop");

const ROUTES = 200;
const NOW = Date.parse("2026-06-01T00:00:00Z");
const edge = gateway("edge", [
  { name: "http", port: 80, protocol: "HTTP" },
  { name: "https", port: 443, protocol: "HTTPS", hostname: "*.test", tls: { certificateRefs: [{ name: "tls" }] } },
]);

let engine: Engine;
let first: Output;

const numbers = Array.from({ length: ROUTES }, (_, at) => at);
const routeOf = (at: number, path: string, generation = 1): Change =>
  route(
    `r${at}`,
    {
      hostnames: [`h${at}.test`],
      rules: [
        { name: "main", matches: [{ path: { type: "PathPrefix", value: path } }], backendRefs: [backend("app")] },
      ],
    },
    { generation },
  );
const policyOf = (at: number, sections: Readonly<Record<string, unknown>> = {}, generation = 1): Change =>
  policy(
    `p${at}`,
    [{ kind: "HTTPRoute", name: `r${at}` }],
    {
      authentication: { apiKey: { from: { headers: ["x-api-key"] } } },
      rateLimit: { limits: [{ name: "all", requests: 10 + at, per: "1m" }] },
      ...sections,
    },
    { generation },
  );

beforeEach(() => {
  engine = createEngine({ ...OPTIONS, requirePolicy: true });
  first = engine.apply(
    [
      gatewayClass,
      edge,
      ...service("app", { address: "10.0.0.1", port: 8080 }),
      ...numbers.map((at) => routeOf(at, "/a")),
      ...numbers.map((at) => policyOf(at)),
      put("ApiConsumer", "erp", {
        spec: { apiKeys: [{ name: "k1", secretRef: { name: "erp", key: "key" }, expiresAt: "2026-07-01T00:00:00Z" }] },
      }),
      put("Secret", "erp", { data: { key: Buffer.from("secret-key").toString("base64") } }),
    ],
    NOW,
  );
});

const named = ({ resources }: Output): readonly string[] => resources.map(({ type, name }) => `${type} ${name}`);
const stages = ({ recomputed }: Output): Readonly<Record<string, number>> => recomputed;

test("the first output holds everything once", () => {
  expect(named(first).filter((name) => name.startsWith("scope"))).toHaveLength(2 * (ROUTES + 2)); // hosts, a listener's own, an index; twice
  expect(first.faults).toEqual([]);
});

test("one policy edit recomputes its own units and changes its own host", () => {
  const output = engine.apply(
    [policyOf(7, { rateLimit: { limits: [{ name: "all", requests: 1, per: "1m" }] } }, 2)],
    NOW,
  );
  expect(named(output)).toEqual(["scope http-80|h7.test", "scope https-443-*_test|h7.test"]);
  expect(output.statuses.map(({ key }) => `${key.kind} ${key.name}`)).toEqual(["ApiPolicy p7"]);
  expect(stages(output)).toMatchObject({ scopes: 2, "status-ApiPolicy": 1 });
  expect(Object.values(stages(output)).reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(12);
});

test("one route edit changes its own host", () => {
  const output = engine.apply([routeOf(9, "/b", 2)], NOW);
  expect(named(output)).toEqual(["scope http-80|h9.test", "scope https-443-*_test|h9.test"]);
  expect(Object.values(stages(output)).reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(8);
});

test("endpoints go past policies and routes", () => {
  const [, slice] = service("app", { address: "10.0.0.2", port: 8080 });
  const output = engine.apply(slice === undefined ? [] : [slice], NOW);
  expect(named(output)).toEqual(["endpoint shop/app:8080"]);
  expect(stages(output)).toEqual({ endpoints: 1 });
});

test("a status, an annotation of somebody or a resync changes nothing", () => {
  const again = policyOf(3);
  const touched = {
    ...again,
    object: again.object && {
      ...again.object,
      status: { ancestors: [] },
      metadata: { ...again.object.metadata, resourceVersion: "99" },
    },
  };
  expect(engine.apply([touched, routeOf(3, "/a"), edge], NOW)).toMatchObject({
    resources: [],
    statuses: [],
    recomputed: {},
  });
});

test("new and deleted objects come and go alone; an unprotected route is closed, not opened", () => {
  const created = engine.apply([routeOf(ROUTES, "/a")], NOW);
  expect(named(created)).toEqual([`scope http-80|h${ROUTES}.test`, `scope https-443-*_test|h${ROUTES}.test`]);
  expect(JSON.stringify(created.resources[0]?.json)).toContain("GW-POLICY-001");
  const deleted = engine.apply([gone(policyOf(5))], NOW);
  expect(named(deleted)).toEqual(["scope http-80|h5.test", "scope https-443-*_test|h5.test"]);
  expect(JSON.stringify(deleted.resources[0]?.json)).toContain("GW-POLICY-001");
});

test.each([
  ["an unknown field", { authorisation: {} }, "shop/p4"],
  ["a section that cannot be read", { rateLimit: { limits: "many" } }, "shop/p4#rateLimit"],
  [
    "a reference that leads nowhere",
    {
      authentication: {
        jwt: [
          {
            name: "a",
            issuer: "https://a.test",
            audiences: ["x"],
            jwks: { type: "Ref", ref: { kind: "ConfigMap", name: "none", key: "k" } },
          },
        ],
      },
    },
    "shop/p4#authentication",
  ],
  [
    "a scope that is not there yet",
    { rateLimit: { limits: [{ name: "x", requests: 1, per: "1m", scope: "Global" }] } },
    "shop/p4#rateLimit",
  ],
])("%s closes its own route and names itself", (_, sections, name) => {
  const output = engine.apply([policyOf(4, sections, 2)], NOW);
  expect(named(output)).toEqual(["scope http-80|h4.test", "scope https-443-*_test|h4.test"]);
  const text = JSON.stringify(output.resources[0]?.json);
  expect(text).toContain(`"policy":"${name}"`);
  expect(text).not.toContain('"cluster"');
  const mended = engine.apply([policyOf(4, {}, 3)], NOW);
  expect(mended.resources.map(({ json }) => json?.["route_configuration"])).toEqual(
    first.resources.filter(({ name: of }) => of.endsWith("|h4.test")).map(({ json }) => json?.["route_configuration"]),
  );
});

test("failurePolicy Open leaves a broken limit out", () => {
  const output = engine.apply([policyOf(4, { failurePolicy: "Open", rateLimit: { limits: "many" } }, 2)], NOW);
  const text = JSON.stringify(output.resources[0]?.json);
  expect(text).not.toContain("GW-POLICY-002");
  expect(text).toContain("shop/app:8080");
});

test.each<[string, object]>([
  ["logging", { logging: { colour: "red" } }],
  ["clientIP", { clientIP: { trustedHop: 1 } }],
  ["a rateLimit that may open", { rateLimit: { limits: [{ name: "x", requests: 1, per: "1m", brust: 2 }] } }],
])("a key that nobody knows closes, also in %s", (_, sections) => {
  const output = engine.apply([policyOf(4, { failurePolicy: "Open", ...sections }, 2)], NOW);
  expect(JSON.stringify(output.resources[0]?.json)).toContain("GW-POLICY-002");
});

test("an expiring key goes by itself, in one resource, at its time", () => {
  expect(first.nextEvaluationMs).toBe(Date.parse("2026-07-01T00:00:00Z"));
  expect(JSON.stringify(first.resources.find(({ name }) => name === KEYS)?.json)).toContain("secret-key");
  expect(engine.apply([], NOW + 1)).toMatchObject({ resources: [], recomputed: {} });
  const later = engine.apply([], Date.parse("2026-07-01T00:00:00Z"));
  expect(named(later)).toEqual([`extension ${KEYS}`]);
  expect(JSON.stringify(later.resources)).not.toContain("secret-key");
  expect(later.statuses.map(({ key }) => key.kind)).toEqual(["ApiConsumer"]);
});

test("a Secret that goes takes the key with it", () => {
  const output = engine.apply([{ key: { kind: "Secret", namespace: "shop", name: "erp" }, object: undefined }], NOW);
  expect(named(output)).toEqual([`extension ${KEYS}`]);
  expect(JSON.stringify(output)).not.toContain("secret-key");
});

test("no policy edit touches a listener, and no output but SDS and keys' own holds a secret", () => {
  const edits = [
    policyOf(1, { denylist: { entries: [{ cidr: "10.0.0.0/8" }] } }, 2),
    policyOf(2, { allowlist: { entries: [{ cidr: "10.0.0.0/8" }] } }, 2),
    gone(policyOf(3)),
  ];
  const output = engine.apply(edits, NOW);
  expect(named(output).filter((name) => name.startsWith("listener"))).toEqual([]);
  expect(JSON.stringify([first.statuses, first.resources.filter(({ name }) => name !== KEYS)])).not.toContain(
    "secret-key",
  );
});

test("the Gateway's annotation opens routes without a policy, and only the word false does", () => {
  const annotated = (value: string): Change => ({
    ...edge,
    object: edge.object && {
      ...edge.object,
      metadata: { ...edge.object.metadata, annotations: { "gatewarden.io/require-policy": value } },
    },
  });
  engine.apply([gone(policyOf(5))], NOW);
  const opened = engine.apply([annotated("false")], NOW);
  expect(named(opened)).toEqual(["scope http-80|h5.test", "scope https-443-*_test|h5.test"]);
  expect(JSON.stringify(opened.resources[0]?.json)).not.toContain("GW-POLICY-001");
  expect(JSON.stringify(engine.apply([annotated("no")], NOW).resources[0]?.json)).toContain("GW-POLICY-001");
});

test("a Gateway that goes takes everything of it along", () => {
  const output = engine.apply([gone(edge)], NOW);
  expect(output.resources.every(({ json }) => json === undefined)).toBe(true);
  expect(new Set(named(output))).toEqual(new Set(named(first)));
  expect(output.watch.remove).toEqual([{ kind: "Secret", namespace: "shop", name: "tls" }]);
});
