/** What an HTTPRoute does with a request: filters, weights, timeouts, mirrors, and backends that are not there. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { Answer } from "../client/answer.ts";
import { type RequestSpec, send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import type { Echo, EchoUpstream } from "../upstream/echo.ts";
import {
  answeredLines,
  answering,
  type Case,
  expectedLines,
  httpRoute,
  rule,
  service,
  untilAnswered,
} from "./routes-manifest.ts";

const OPEN = { "gatewarden.io/require-policy": "false" };
const prefix = (value: string): object => ({ path: { type: "PathPrefix", value } });

describe("HTTPRoute filters and backends", () => {
  let harness: Harness;
  let shop: Tenant;
  let other: Tenant;
  let edge: GatewayHandle;
  let alpha: EchoUpstream;
  let beta: EchoUpstream;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("filter");
    other = await harness.tenant("foreign");
    alpha = await shop.upstream("alpha");
    beta = await shop.upstream("beta");
    edge = await shop.gateway({ annotations: OPEN });
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const ask = (request: RequestSpec): Promise<Answer> => send(edge.target(), request);
  const echo = async (request: RequestSpec): Promise<Echo> => (await ask(request)).json<Echo>();
  const values = ({ headers }: Echo, wanted: string): readonly string[] =>
    headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
  const filtered = (match: object, filters: readonly object[], backend = "alpha"): object => ({
    matches: [match],
    filters,
    backendRefs: [service(backend)],
  });

  it("sets, adds and removes request and response headers, and takes values as text", async () => {
    const edit = {
      set: [
        { name: "X-Set", value: "new" },
        { name: "x-literal", value: "100% %REQ(authorization)% %%" },
      ],
      add: [{ name: "x-add", value: "two" }],
      remove: ["x-gone"],
    };
    const rules = [
      filtered(prefix("/request"), [{ type: "RequestHeaderModifier", requestHeaderModifier: edit }]),
      filtered(prefix("/response"), [{ type: "ResponseHeaderModifier", responseHeaderModifier: edit }]),
      {
        matches: [prefix("/backend")],
        backendRefs: [service("alpha", { filters: [{ type: "RequestHeaderModifier", requestHeaderModifier: edit }] })],
      },
    ];
    await shop.enforce(httpRoute("headers", { hostnames: ["headers.test"], rules }));
    await untilAnswered(edge.target(), { host: "headers.test", path: "/request" }, "alpha");
    const headers = { authorization: "Basic c2VjcmV0", "x-set": "old", "x-add": "one", "x-gone": "1", "x-kept": "1" };
    for (const path of ["/request", "/backend"]) {
      const arrived = await echo({ host: "headers.test", path, headers });
      expect(values(arrived, "x-set")).toEqual(["new"]);
      expect(values(arrived, "x-literal")).toEqual(["100% %REQ(authorization)% %%"]);
      expect(values(arrived, "x-add").join(",")).toBe("one,two");
      expect(values(arrived, "x-gone")).toEqual([]);
      expect(values(arrived, "x-kept")).toEqual(["1"]);
    }
    const query = "echo-header=x-set:old&echo-header=x-add:one&echo-header=x-gone:1&echo-header=x-kept:1";
    const answer = await ask({ host: "headers.test", path: `/response?${query}`, headers });
    expect(answer.headerValues("x-set")).toEqual(["new"]);
    expect(answer.headerValues("x-literal")).toEqual(["100% %REQ(authorization)% %%"]);
    expect(answer.headerValues("x-add").join(",")).toBe("one,two");
    expect(answer.headerValues("x-gone")).toEqual([]);
    expect(answer.headerValues("x-kept")).toEqual(["1"]);
  });

  it("redirects: scheme, host, port, path and status, keeping the query", async () => {
    const redirect = (path: string, requestRedirect: object): object => ({
      matches: [prefix(path)],
      filters: [{ type: "RequestRedirect", requestRedirect }],
    });
    const rules = [
      redirect("/https", { scheme: "https", statusCode: 301 }),
      redirect("/https8443", { scheme: "https", port: 8443 }),
      redirect("/host", { hostname: "elsewhere.test", statusCode: 307 }),
      redirect("/full", { path: { type: "ReplaceFullPath", replaceFullPath: "/whole" }, statusCode: 308 }),
      redirect("/old", { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/new" }, statusCode: 303 }),
      redirect("/strip", { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/" } }),
    ];
    await shop.enforce(httpRoute("redirects", { hostnames: ["redirects.test"], rules }));
    await untilAnswered(edge.target(), { host: "redirects.test", path: "/full" }, 308);
    const expected = [
      ["/https/a?b=c", 301, "https://redirects.test/https/a?b=c"],
      ["/https8443/a", 302, "https://redirects.test:8443/https8443/a"],
      // Without a scheme and a port it is the listener's port (Gateway API).
      ["/host/a?b=c", 307, "http://elsewhere.test:8080/host/a?b=c"],
      ["/full/a?b=c", 308, "http://redirects.test:8080/whole?b=c"],
      ["/old", 303, "http://redirects.test:8080/new"],
      ["/old/a?b=c", 303, "http://redirects.test:8080/new/a?b=c"],
      ["/strip/a?b=c", 302, "http://redirects.test:8080/a?b=c"],
      ["/strip", 302, "http://redirects.test:8080/"],
    ] as const;
    for (const [path, status, location] of expected) {
      const answer = await ask({ host: "redirects.test", path });
      expect([path, answer.status, answer.header("location")]).toEqual([path, status, location]);
      expect(answer.header("content-type")).not.toBe("application/problem+json");
    }
  });

  it("rewrites host and path, whole or by prefix, keeping the query", async () => {
    const rewrite = (path: string, urlRewrite: object): object =>
      filtered(prefix(path), [{ type: "URLRewrite", urlRewrite }]);
    const replacing = (value: string): object => ({ path: { type: "ReplacePrefixMatch", replacePrefixMatch: value } });
    const rules = [
      rewrite("/host", { hostname: "inner.test" }),
      rewrite("/full", { path: { type: "ReplaceFullPath", replaceFullPath: "/whole\\1" } }),
      rewrite("/old", replacing("/new")),
      rewrite("/slashed/", replacing("/new/")),
      rewrite("/strip", replacing("/")),
      rewrite("/.*(x)$+", replacing("/plain")),
      rewrite("/", replacing("/base")),
    ];
    await shop.enforce(httpRoute("rewrites", { hostnames: ["rewrites.test"], rules }));
    await untilAnswered(edge.target(), { host: "rewrites.test", path: "/old" }, "alpha");
    const expected = [
      ["/full/a?b=c", "/whole\\1?b=c"],
      ["/old", "/new"],
      ["/old/a?b=c", "/new/a?b=c"],
      ["/older", "/base/older"],
      ["/slashed", "/new"],
      ["/slashed/a", "/new/a"],
      ["/strip", "/"],
      ["/strip/", "/"],
      ["/strip/a?b=/strip/c", "/a?b=/strip/c"],
      ["/.*(x)$+/a", "/plain/a"],
      ["/", "/base/"],
      ["/other", "/base/other"],
    ] as const;
    for (const [path, arrived] of expected) {
      expect([path, (await echo({ host: "rewrites.test", path })).path]).toEqual([path, arrived]);
    }
    const { headers, path } = await echo({ host: "rewrites.test", path: "/host/a" });
    expect(path).toBe("/host/a");
    expect(headers).toContainEqual(["host", "inner.test"]);
  });

  it("deals requests out by weight, and gives none to a weight of 0", async () => {
    const rules = [
      { matches: [prefix("/even")], backendRefs: [service("alpha", { weight: 3 }), service("beta", { weight: 1 })] },
      { matches: [prefix("/off")], backendRefs: [service("alpha", { weight: 0 }), service("beta")] },
      { matches: [prefix("/none")], backendRefs: [service("alpha", { weight: 0 })] },
    ];
    await shop.enforce(httpRoute("weights", { hostnames: ["weights.test"], rules }));
    await untilAnswered(edge.target(), { host: "weights.test", path: "/off" }, "beta");
    const count = async (path: string, times: number): Promise<Readonly<Record<string, number>>> => {
      const seen: Record<string, number> = {};
      for (let number = 0; number < times; number++) {
        const by = String(await answering(edge.target(), { host: "weights.test", path }));
        seen[by] = (seen[by] ?? 0) + 1;
      }
      return seen;
    };
    const { alpha: three = 0, beta: one = 0, ...rest } = await count("/even", 200);
    expect(rest).toEqual({});
    // Six standard deviations around 150: a fair draw fails once in 500 million runs.
    expect(three).toBeGreaterThan(113);
    expect(three).toBeLessThan(187);
    expect(three + one).toBe(200);
    expect(await count("/off", 20)).toEqual({ beta: 20 });
    expect(await count("/none", 2)).toEqual({ "500": 2 });
  });

  it("ends requests that take too long, with 504, and none where the timeout is 0s", async () => {
    const rules = [
      { ...rule("alpha", prefix("/fast")), timeouts: { request: "200ms" } },
      { ...rule("alpha", prefix("/backend")), timeouts: { request: "10s", backendRequest: "200ms" } },
      { ...rule("alpha", prefix("/patient")), timeouts: { request: "0s" } },
    ];
    await shop.enforce(httpRoute("timeouts", { hostnames: ["timeouts.test"], rules }));
    await untilAnswered(edge.target(), { host: "timeouts.test", path: "/patient" }, "alpha");
    for (const path of ["/fast", "/backend"]) {
      const late = await ask({ host: "timeouts.test", path: `${path}?echo-delay-ms=2000` });
      expect(late.status).toBe(504);
      expect(late.problem().code).toBe("GW-UPSTREAM-504");
      expect(await answering(edge.target(), { host: "timeouts.test", path })).toBe("alpha");
    }
    expect(await answering(edge.target(), { host: "timeouts.test", path: "/patient?echo-delay-ms=600" })).toBe("alpha");
  });

  it("mirrors all requests, a share or none of them, and answers from the backend only", async () => {
    const mirrored = (path: string, more: object): object =>
      filtered(prefix(path), [{ type: "RequestMirror", requestMirror: { backendRef: service("beta"), ...more } }]);
    const rules = [
      mirrored("/all", {}),
      mirrored("/none", { percent: 0 }),
      mirrored("/half", { fraction: { numerator: 1, denominator: 2 } }),
    ];
    await shop.enforce(httpRoute("mirrors", { hostnames: ["mirrors.test"], rules }));
    await untilAnswered(edge.target(), { host: "mirrors.test", path: "/none/ready" }, "alpha");
    const mirroredTo = (path: string): number => beta.received().filter((request) => request.path === path).length;
    for (let number = 0; number < 60; number++) {
      expect(await answering(edge.target(), { host: "mirrors.test", path: "/half/x" })).toBe("alpha");
    }
    for (const path of ["/none/x", "/all/x"]) {
      expect(await answering(edge.target(), { host: "mirrors.test", path })).toBe("alpha");
    }
    await eventually("the mirror has its copy", () => mirroredTo("/all/x") === 1);
    expect(mirroredTo("/none/x")).toBe(0);
    await eventually("the mirror has its share", () => mirroredTo("/half/x") > 7);
    expect(mirroredTo("/half/x")).toBeLessThan(53);
    expect(alpha.received().filter((request) => request.path === "/all/x")).toHaveLength(1);
  });

  it("answers 500 for backends that are not there or may not be named, 503 for those without endpoints", async () => {
    await other.upstream("foreign");
    await shop.apply({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "empty" },
      spec: { ports: [{ port: 80 }] },
    });
    const rules = [
      { matches: [prefix("/missing")], backendRefs: [service("nowhere")] },
      { matches: [prefix("/port")], backendRefs: [service("alpha", { port: 81 })] },
      { matches: [prefix("/kind")], backendRefs: [service("x", { group: "example.test", kind: "Bucket" })] },
      { matches: [prefix("/none")] },
      rule("empty", prefix("/empty")),
      rule("alpha", prefix("/good")),
      { matches: [prefix("/half")], backendRefs: [service("alpha"), service("nowhere")] },
    ];
    await shop.enforce(httpRoute("broken", { hostnames: ["broken.test"], rules }));
    await untilAnswered(edge.target(), { host: "broken.test", path: "/good" }, "alpha");
    const status = async (path: string) => answering(edge.target(), { host: "broken.test", path });
    expect([await status("/missing"), await status("/port"), await status("/kind"), await status("/none")]).toEqual([
      500, 500, 500, 500,
    ]);
    expect(await status("/empty")).toBe(503);
    const halves = new Set<string | number>();
    for (let number = 0; number < 60; number++) halves.add(await status("/half"));
    expect([...halves].sort()).toEqual([500, "alpha"].sort());
    await shop.waitFor("HTTPRoute", "broken", "ResolvedRefs", { status: "False", message: /nowhere|alpha|Bucket/ });
    // The cause goes, and so does the error; nobody touches the route.
    await shop.upstream("nowhere");
    await untilAnswered(edge.target(), { host: "broken.test", path: "/missing" }, "nowhere");
    await shop.upstream("empty");
    await untilAnswered(edge.target(), { host: "broken.test", path: "/empty" }, "empty");
  });

  it("takes a Service of another namespace only with a ReferenceGrant, and no longer than it lasts", async () => {
    const backendRefs = [service("foreign", { namespace: other.namespace })];
    await shop.enforce(httpRoute("across", { hostnames: ["across.test"], rules: [{ backendRefs }] }));
    await untilAnswered(edge.target(), { host: "across.test" }, 500);
    const refused = { status: "False", reason: "RefNotPermitted" } as const;
    await shop.waitFor("HTTPRoute", "across", "ResolvedRefs", refused);
    const grant = (name: string, to: object, namespace = shop.namespace): object => ({
      apiVersion: "gateway.networking.k8s.io/v1beta1",
      kind: "ReferenceGrant",
      metadata: { name },
      spec: { from: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace }], to: [to] },
    });
    const toServices = { group: "", kind: "Service" };
    await other.apply(grant("elsewhere", toServices, "somebody-else") as never);
    await other.apply(grant("another", { ...toServices, name: "another" }) as never);
    await other.apply(grant("this", { ...toServices, name: "foreign" }) as never);
    await untilAnswered(edge.target(), { host: "across.test" }, "foreign");
    await shop.waitFor("HTTPRoute", "across", "ResolvedRefs");
    await other.remove("ReferenceGrant", "this");
    await untilAnswered(edge.target(), { host: "across.test" }, 500);
    await shop.waitFor("HTTPRoute", "across", "ResolvedRefs", refused);
  });

  it("follows endpoints: new ones, ones that are not ready, none", async () => {
    await shop.upstream("moving");
    await shop.enforce(httpRoute("moving", { hostnames: ["moving.test"], rules: [rule("moving")] }));
    await untilAnswered(edge.target(), { host: "moving.test" }, "moving");
    const slice = (name: string, { address, port }: EchoUpstream, ready: boolean): object => ({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name, labels: { "kubernetes.io/service-name": "moving" } },
      addressType: "IPv4",
      ports: [{ name: "http", port }],
      endpoints: [{ addresses: [address], conditions: { ready } }],
    });
    await shop.apply(slice("moving-2", alpha, true) as never);
    await shop.remove("EndpointSlice", "moving-1");
    await untilAnswered(edge.target(), { host: "moving.test" }, "alpha");
    await shop.apply(slice("moving-2", alpha, false) as never);
    await untilAnswered(edge.target(), { host: "moving.test" }, 503);
    await shop.apply(slice("moving-2", beta, true) as never);
    await untilAnswered(edge.target(), { host: "moving.test" }, "beta");
  });

  it("closes what a rule asks for that it cannot serve, and leaves it to no other rule", async () => {
    const cors = filtered(prefix("/bad"), [{ type: "CORS", cors: { allowOrigins: ["https://a.test"] } }]);
    const broken = { type: "RegularExpression", value: "v[0-9" };
    const rules = [
      cors,
      rule("beta", { path: { type: "RegularExpression", value: "/users/[0-9" } }),
      rule("beta", { ...prefix("/header"), headers: [{ name: "x-version", ...broken }] }),
      rule("beta", { ...prefix("/query"), queryParams: [{ name: "version", ...broken }] }),
      rule("alpha", prefix("/")),
    ];
    await shop.apply(httpRoute("mixed", { hostnames: ["mixed.test"], rules }));
    await untilAnswered(edge.target(), { host: "mixed.test" }, "alpha");
    const cases: readonly Case[] = [
      [{ path: "/bad/x" }, 503],
      [{ path: "/users/42" }, 503],
      [{ path: "/user" }, "alpha"],
      [{ path: "/header", headers: { "x-version": "v1" } }, 503],
      [{ path: "/header" }, "alpha"],
      [{ path: "/query?version=v1" }, 503],
      [{ path: "/query?other=v1" }, "alpha"],
    ];
    expect(await answeredLines(edge.target(), "mixed.test", cases)).toEqual(expectedLines(cases));
    const { problem } = await ask({ host: "mixed.test", path: "/bad" });
    expect(problem()).toMatchObject({ status: 503, code: "GW-ROUTE-004" });
    expect(problem().detail).toMatch(/rules\[0\].*CORS/);
    await shop.waitFor("HTTPRoute", "mixed", "PartiallyInvalid", { status: "True", message: /rules\[0\].*CORS/ });
    await shop.apply(httpRoute("unserved", { hostnames: ["unserved.test"], rules: [cors] }));
    const unserved = { status: "False", reason: "UnsupportedValue", message: /CORS/ } as const;
    await shop.waitFor("HTTPRoute", "unserved", "Accepted", unserved);
    await untilAnswered(edge.target(), { host: "unserved.test", path: "/bad" }, 503);
  });
});
