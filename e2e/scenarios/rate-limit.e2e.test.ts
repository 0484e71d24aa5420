/** Rate limits on one proxy: who is counted apart, what is counted, what the caller is told, and how levels add up. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type RequestSpec, send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { type Claims, claimsFor, createSigner, keySet } from "../material/jwt.ts";
import { bearer } from "./authentication-manifest.ts";
import { addConsumer, API_KEY, apiPolicy, consumerOf, OPEN_TO_ALL } from "./policies-manifest.ts";
import { httpRoute, rule, service } from "./routes-manifest.ts";
import { called, enforceSections, hostRoute, untilVerdict, verdict } from "./sections-manifest.ts";

const ISSUER = "https://sso.corp.test/realms/main";
const PASSED = "200";
const LIMITED = "429 GW-RATE-001";
const signer = createSigner("ES256");

/** A limit that lets one call pass and no other for an hour. */
const once = (by: readonly object[], more: object = {}) => ({
  rateLimit: { limits: [{ name: "once", requests: 1, per: "1h", ...(by.length === 0 ? {} : { by }), ...more }] },
});
const jwt = [
  {
    name: "corp",
    issuer: ISSUER,
    audiences: ["shop"],
    algorithms: ["ES256"],
    jwks: { type: "Inline", inline: keySet(signer) },
  },
];
const token = (more: Claims = {}): RequestSpec => ({ headers: bearer(signer.token(claimsFor(ISSUER, "shop", more))) });
const key = (value: string): RequestSpec => ({ headers: { "x-api-key": value } });
const passes = (request: RequestSpec) => [request, PASSED] as const;
const limited = (request: RequestSpec) => [request, LIMITED] as const;

describe("rate limits", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("limits");
    await shop.upstream("orders");
    edge = await shop.gateway();
    await addConsumer(shop, "erp", "k-erp");
    await addConsumer(shop, "crm", "k-crm");
    await shop.secret("free-key", { "api-key": "k-free" });
    const free = consumerOf("free");
    await shop.apply({ ...free, metadata: { ...free.metadata, labels: { plan: "free" } } });
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const expectCalls = async (host: string, calls: Parameters<typeof called>[2]): Promise<void> =>
    expect(await called(edge.target(), host, calls)).toEqual(calls);

  it("count everybody together where nothing tells them apart", async () => {
    await enforceSections(shop, "together", once([], { requests: 3 }));
    const calls = [{ path: "/a" }, { method: "POST" }, { headers: { "x-tenant": "a" } }].map(passes);
    await expectCalls("together.test", [...calls, limited({}), limited({ path: "/b" })]);
  });

  it("count by the client's address, whatever x-forwarded-for says", async () => {
    await enforceSections(shop, "by-ip", once([{ type: "ClientIP" }]));
    const from = (address: string, headers = {}) =>
      verdict(edge.target({ from: address }), { host: "by-ip.test", headers });
    expect([
      await from("127.0.0.2"),
      await from("127.0.0.2", { "x-forwarded-for": "127.0.0.9" }),
      await from("127.0.0.3", { "x-forwarded-for": "127.0.0.2" }),
      await from("127.0.0.3"),
    ]).toEqual([PASSED, LIMITED, PASSED, LIMITED]);
  });

  it("count by header, and give those without it, or with two of it, one bucket together", async () => {
    await enforceSections(shop, "by-header", once([{ type: "Header", name: "X-Tenant" }]));
    const tenant = (...values: readonly string[]) => ({ headers: values.map((value) => ["x-tenant", value] as const) });
    await expectCalls("by-header.test", [
      passes(tenant("a")),
      limited(tenant("a")),
      passes(tenant("b")),
      passes(tenant("A")),
      passes(tenant()),
      limited(tenant()),
      limited(tenant("c", "d")),
      passes(tenant("x".repeat(300))),
      limited(tenant("x".repeat(300))),
      passes(tenant(`${"x".repeat(299)}y`)),
    ]);
  });

  it("count by query parameter, as it is meant and not as it is spelt", async () => {
    await enforceSections(shop, "by-query", once([{ type: "Query", name: "t" }]));
    await expectCalls("by-query.test", [
      passes({ path: "/?t=a" }),
      limited({ path: "/x?u=1&t=%61" }),
      passes({ path: "/?t=b" }),
      passes({ path: "/" }),
      limited({ path: "/?u=a" }),
      limited({ path: "/?t=c&t=d" }),
    ]);
  });

  it("count by path without its query, and by method", async () => {
    await enforceSections(shop, "by-path", once([{ type: "Path" }]));
    await expectCalls("by-path.test", [
      passes({ path: "/a?x=1" }),
      limited({ path: "/a?x=2" }),
      limited({ path: "/b/../a" }),
      passes({ path: "/b" }),
    ]);
    await enforceSections(shop, "by-method", once([{ type: "Method" }]));
    await expectCalls("by-method.test", [passes({}), limited({}), passes({ method: "POST" })]);
  });

  it("count combinations", async () => {
    await enforceSections(
      shop,
      "combined",
      once([{ type: "Header", name: "x-tenant" }, { type: "Method" }, { type: "Path" }]),
    );
    const call = (tenant: string, method: string, path: string) => ({ method, path, headers: { "x-tenant": tenant } });
    await expectCalls("combined.test", [
      passes(call("a", "GET", "/1")),
      limited(call("a", "GET", "/1")),
      passes(call("b", "GET", "/1")),
      passes(call("a", "POST", "/1")),
      passes(call("a", "GET", "/2")),
      limited(call("b", "GET", "/1")),
    ]);
  });

  it("count by consumer behind authentication, the unknown together", async () => {
    const authentication = { ...API_KEY.authentication, mode: "Optional" };
    await enforceSections(shop, "by-consumer", { authentication, ...once([{ type: "Consumer" }]) });
    await expectCalls("by-consumer.test", [
      passes(key("k-erp")),
      limited(key("k-erp")),
      passes(key("k-crm")),
      passes({}),
      limited({}),
      // A bad credential is refused before it counts, and nobody can say who he is.
      [key("guessed"), "401 GW-AUTHN-002"],
      limited({ headers: { "x-consumer": "free", "x-gatewarden-consumer": "free" } }),
      passes(key("k-free")),
    ]);
  });

  it("count by a claim of the verified token, also a nested one", async () => {
    const limits = [
      { name: "tenant", requests: 1, per: "1h", by: [{ type: "Claim", name: "org.tenant" }] },
      { name: "subject", requests: 2, per: "1h", by: [{ type: "Claim", name: "sub" }] },
    ];
    await enforceSections(shop, "by-claim", { authentication: { jwt }, rateLimit: { limits } });
    await expectCalls("by-claim.test", [
      passes(token({ sub: "a", org: { tenant: "one" } })),
      limited(token({ sub: "b", org: { tenant: "one" } })),
      passes(token({ sub: "c", org: { tenant: "two" } })),
      passes(token({ sub: "d" })),
      limited(token({ sub: "e", org: "none" })),
      passes(token({ sub: "a", org: { tenant: 3 } })),
      limited(token({ sub: "a", org: { tenant: 4 } })),
      [{}, "401 GW-AUTHN-001"],
    ]);
  });

  it("hold before authentication where they need no identity, so that guessing is limited", async () => {
    await enforceSections(shop, "guessing", { ...API_KEY, ...once([{ type: "ClientIP" }], { requests: 2 }) });
    await expectCalls("guessing.test", [
      [key("guess-1"), "401 GW-AUTHN-002"],
      [{}, "401 GW-AUTHN-001"],
      limited(key("guess-2")),
      limited(key("k-erp")),
    ]);
  });

  it("count only what matches: methods, paths, headers, consumers", async () => {
    const at = (name: string, match: object) => enforceSections(shop, name, { ...API_KEY, ...once([], { match }) });
    await at("m-method", { methods: ["POST", "PUT"] });
    await at("m-path", { paths: ["/orders/**", "/items/{id}", "/exact"] });
    await at("m-header", { headers: { "x-plan": "free", "x-zone": "a.b" } });
    await at("m-consumer", { consumerSelector: { matchLabels: { plan: "free" } } });
    await at("m-all", { methods: ["GET"], paths: ["/orders/*"], headers: { "x-plan": "free" } });
    const call = (request: RequestSpec, who = "k-erp"): RequestSpec => ({
      ...request,
      headers: { "x-api-key": who, ...(request.headers as object | undefined) },
    });
    await expectCalls("m-method.test", [
      passes(call({})),
      passes(call({ method: "POST" })),
      limited(call({ method: "PUT" })),
      passes(call({})),
    ]);
    await expectCalls("m-path.test", [
      passes(call({ path: "/orders/1/2" })),
      limited(call({ path: "/orders/3" })),
      limited(call({ path: "/items/1?x" })),
      passes(call({ path: "/items/1/2" })),
      limited(call({ path: "/exact" })),
      passes(call({ path: "/exactly" })),
      passes(call({ path: "/order" })),
    ]);
    await expectCalls("m-header.test", [
      passes(call({ headers: { "x-plan": "free" } })),
      passes(call({ headers: { "x-plan": "free", "x-zone": "a.b" } })),
      limited(call({ headers: { "x-plan": "free", "x-zone": "a.b" } })),
      passes(call({ headers: { "x-plan": "free", "x-zone": "a-b" } })),
    ]);
    await expectCalls("m-consumer.test", [
      passes(call({}, "k-free")),
      limited(call({}, "k-free")),
      passes(call({}, "k-erp")),
    ]);
    const free = { "x-plan": "free" };
    await expectCalls("m-all.test", [
      passes(call({ path: "/orders/1", headers: free })),
      limited(call({ path: "/orders/2", headers: free })),
      passes(call({ path: "/orders/1/2", headers: free })),
      passes(call({ path: "/orders/1", method: "POST", headers: free })),
      passes(call({ path: "/orders/1" })),
    ]);
  });

  it("give callers beyond maxKeys one bucket, refill nobody's, and count that it happened", async () => {
    await enforceSections(shop, "crowd", once([{ type: "Header", name: "x-tenant" }], { maxKeys: 2 }));
    const tenant = (value: string) => ({ headers: { "x-tenant": value } });
    const invented = Array.from({ length: 40 }, (_, index) => limited(tenant(`invented-${String(index)}`)));
    await expectCalls("crowd.test", [
      passes(tenant("a")),
      passes(tenant("b")),
      passes(tenant("c")),
      limited(tenant("d")),
      ...invented,
      limited(tenant("a")),
      limited(tenant("b")),
      limited(tenant("c")),
    ]);
    const overflows = [...(await edge.envoy.admin.stats())].filter(
      ([name]) => name.includes("limit_overflow") && name.includes(`${shop.namespace}/crowd#once`),
    );
    expect(overflows).toHaveLength(1);
    expect(overflows[0]?.[1]).toBeGreaterThanOrEqual(42);
  });

  it("tell the limit, what remains and when to come again", async () => {
    await enforceSections(shop, "told", { rateLimit: { limits: [{ name: "a", requests: 60, per: "1m", burst: 2 }] } });
    const first = await send(edge.target(), { host: "told.test" });
    const told = (name: string, answer = first): number => Number(answer.header(`x-ratelimit-${name}`));
    expect([first.status, told("limit"), told("remaining")]).toEqual([200, 2, 1]);
    expect(told("reset")).toBeGreaterThanOrEqual(0);
    const answers = await eventually("limited", async () => {
      const answer = await send(edge.target(), { host: "told.test" });
      return answer.status === 429 && answer;
    });
    expect([told("limit", answers), told("remaining", answers)]).toEqual([2, 0]);
    expect(answers.header("retry-after")).toBe("1");
    expect(answers.header("x-gatewarden-policy")).toBe(`${shop.namespace}/told#rateLimit`);
    expect(answers.problem()).toMatchObject({
      status: 429,
      code: "GW-RATE-001",
      policy: `${shop.namespace}/told#rateLimit`,
    });
    // One call each second comes back.
    await untilVerdict(edge.target(), { host: "told.test" }, PASSED, 3_000);

    await enforceSections(shop, "silent", {
      rateLimit: { limits: [{ name: "a", requests: 1, per: "30m" }], headers: false },
    });
    const [passed, refused] = [
      await send(edge.target(), { host: "silent.test" }),
      await send(edge.target(), { host: "silent.test" }),
    ];
    expect([passed.status, refused.status]).toEqual([200, 429]);
    for (const { headers } of [passed, refused]) {
      expect(headers.map(([name]) => name).filter((name) => name.startsWith("x-ratelimit"))).toEqual([]);
    }
    const retryAfter = Number(refused.header("retry-after"));
    expect(retryAfter).toBeGreaterThan(1_700);
    expect(retryAfter).toBeLessThanOrEqual(1_800);
  });

  it("all count; of the same name the nearer one counts", async () => {
    const team = await harness.tenant("levels");
    await team.upstream("orders");
    const gateway = await team.gateway();
    const limit = (name: string, requests: number) => ({ name, requests, per: "1h" });
    const gatewayLimits = { rateLimit: { limits: [limit("a", 1), limit("far", 4)] } };
    await team.enforce([
      hostRoute("plain"),
      hostRoute("near"),
      apiPolicy("gateway", { kind: "Gateway", name: "edge" }, { ...OPEN_TO_ALL, ...gatewayLimits }),
      apiPolicy("near", { kind: "HTTPRoute", name: "near" }, { rateLimit: { limits: [limit("a", 3), limit("b", 2)] } }),
    ]);
    const answer = async (host: string): Promise<string> => {
      const { status, header } = await send(gateway.target(), { host });
      return status === 200 ? PASSED : `${String(status)} ${String(header("x-gatewarden-policy"))}`;
    };
    const by = (name: string): string => `429 ${team.namespace}/${name}#rateLimit`;
    // near: a = 3 (not the Gateway's 1), b = 2; the Gateway's `far` counts both hosts together.
    expect([await answer("near.test"), await answer("near.test"), await answer("near.test")]).toEqual([
      PASSED,
      PASSED,
      by("near"),
    ]);
    expect([await answer("plain.test"), await answer("plain.test")]).toEqual([PASSED, by("gateway")]);
  });

  it("are one bucket for all matches of a rule, all ways to authenticate and all rules of a host", async () => {
    const paths = ["/a", "/b"].map((value) => ({ path: { type: "PathPrefix", value } }));
    const rules = [
      rule("orders", ...paths, { headers: [{ name: "x-c", value: "1" }] }),
      { ...rule("orders", { path: { type: "Exact", value: "/r" } }), filters: [] },
    ];
    const authentication = { ...API_KEY.authentication, jwt };
    for (const [name, by] of [
      ["branches", []],
      ["branches-post", [{ type: "Consumer" }]],
    ] as const) {
      await shop.enforce([
        httpRoute(name, { hostnames: [`${name}.test`], rules }),
        apiPolicy(name, { kind: "HTTPRoute", name }, { authentication, ...once(by, { requests: 4 }) }),
      ]);
    }
    const withKey = (path: string, headers = {}) => ({ path, headers: { "x-api-key": "k-erp", ...headers } });
    await expectCalls("branches.test", [
      passes(withKey("/a")),
      passes({ path: "/b", ...token() }),
      passes(withKey("/c", { "x-c": "1" })),
      passes(withKey("/r")),
      limited(withKey("/r")),
      limited({ path: "/a", ...token() }),
      limited(withKey("/b/2")),
    ]);
    await expectCalls("branches-post.test", [
      ...["/a", "/b", "/b/2", "/r"].map((path) => passes(withKey(path))),
      limited(withKey("/a")),
      limited(withKey("/c", { "x-c": "1" })),
      passes({ path: "/a", ...token() }),
    ]);
  });

  it("count behind weights, and what is answered without an upstream", async () => {
    const weighted = { backendRefs: [service("orders", { weight: 1 }), service("orders", { weight: 1 })] };
    const redirect = { filters: [{ type: "RequestRedirect", requestRedirect: { hostname: "other.test" } }] };
    for (const [name, only] of [
      ["weights", weighted],
      ["redirect", redirect],
    ] as const) {
      await shop.enforce([
        httpRoute(name, { hostnames: [`${name}.test`], rules: [only] }),
        apiPolicy(name, { kind: "HTTPRoute", name }, { ...OPEN_TO_ALL, ...once([], { requests: 2 }) }),
      ]);
    }
    await expectCalls("weights.test", [passes({}), passes({}), limited({}), limited({})]);
    const redirected = "302";
    await expectCalls("redirect.test", [[{}, redirected], [{}, redirected], limited({})]);
  });
});
