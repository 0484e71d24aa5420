/** Limits in a real Envoy: who shares a bucket, what refills one, what a 429 says. */
import { afterEach, describe, expect, it } from "@jest/globals";
import type { Answer } from "../../../../e2e/client/answer.ts";
import { type RequestSpec, send } from "../../../../e2e/client/http1.ts";
import { claimsFor, createSigner, keySet } from "../../../../e2e/material/jwt.ts";
import { type Chain, startChain, toUpstream } from "../../../test/chain.ts";
import { atOf, lookupOf, routeOf, sourceOf, type World } from "../../../test/section.ts";
import { limitKeyMutation } from "../../envoy/collect.ts";
import { overflowCounter } from "../../envoy/overflow-counter.ts";
import type { ExtensionName, Level, Precedence, RoutePiece } from "../../slice.ts";
import type { JsonObject } from "../../world.ts";
import type { Model } from "./model.ts";
import { schema, type Spec } from "./schema.ts";
import { rateLimit } from "./slice.ts";

const ISSUER = "https://sso.corp.test";
const MUTATIONS = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute";
const JWT = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3";
/** Limits that give back nothing during a test. */
const SLOW = { requests: 2, per: "1h" } as const;

let chain: Chain | undefined;
afterEach(async () => {
  await chain?.stop();
  chain = undefined;
});

function modelOf(
  spec: Spec,
  level: Level = "Route",
  world: World = {},
  policy = "orders",
  source = sourceOf("rateLimit", level, policy),
): Model {
  const resolved = rateLimit.resolve(schema().parse(spec), atOf(source), lookupOf(world));
  if (!resolved.ok) throw new Error(resolved.problems[0].message);
  return resolved.model;
}

/** Limits of both, as under an Override. */
function join(a: Model, b: Model): Model {
  return { ...a, limits: [...a.limits, ...b.limits] };
}

function pieceOf(model: Model, audit = false): RoutePiece {
  return rateLimit.route?.(model, routeOf(sourceOf("rateLimit"), { audit })) ?? {};
}

function routesOf(pieces: Readonly<Record<string, RoutePiece>>): readonly JsonObject[] {
  return Object.entries(pieces).map(([prefix, piece]) => ({
    match: { prefix },
    name: prefix,
    route: { ...toUpstream, rate_limits: piece.rateLimits ?? [] },
    metadata: { filter_metadata: { gatewarden: piece.metadata ?? {} } },
    typed_per_filter_config: { ...piece.slots, ...selecting(piece) },
  }));
}

/** As translate/rule.ts puts it together. */
function selecting({ response = [], limitKey, slots }: RoutePiece): JsonObject {
  const request = limitKey === undefined ? [] : [limitKeyMutation(limitKey, slots?.collect !== undefined)];
  const mutations = { request_mutations: request, response_mutations: response };
  return request.length + response.length === 0 ? {} : { select: { "@type": MUTATIONS, mutations } };
}

function hostOf(pieces: Readonly<Record<string, RoutePiece>>): JsonObject {
  const entries = Object.values(pieces).flatMap((piece) => piece.host ?? []);
  return { typed_per_filter_config: rateLimit.host?.(new Map(entries.map(({ key, value }) => [key, value]))) ?? {} };
}

function extensionsOf(pieces: Readonly<Record<string, RoutePiece>>): Readonly<Record<string, JsonObject>> {
  const bySlot = new Map<ExtensionName, Map<string, JsonObject>>();
  for (const { slot, key, value } of Object.values(pieces).flatMap((piece) => piece.gateway ?? [])) {
    bySlot.set(slot, (bySlot.get(slot) ?? new Map<string, JsonObject>()).set(key, value));
  }
  return Object.fromEntries(
    [...bySlot].map(([slot, entries]) => [slot, rateLimit.extension?.(slot, entries, lookupOf()) ?? {}]),
  );
}

async function start(pieces: Readonly<Record<string, RoutePiece>>, further: JsonObject = {}): Promise<Chain> {
  chain = await startChain({
    routes: routesOf(pieces),
    virtualHost: hostOf(pieces),
    extensions: extensionsOf(pieces),
    hcm: { xff_num_trusted_hops: 1, access_log: [overflowCounter()] },
    ...further,
  });
  return chain;
}

async function ask(path: string, headers: RequestSpec["headers"] = {}, method = "GET"): Promise<Answer> {
  return send({ address: "127.0.0.1", port: chain?.port ?? 0 }, { path, host: "shop.test", headers, method });
}

async function statuses(count: number, path: string, headers: RequestSpec["headers"] = {}): Promise<readonly number[]> {
  const found: number[] = [];
  for (let at = 0; at < count; at += 1) found.push((await ask(path, headers)).status);
  return found;
}

describe("one bucket", () => {
  it("is shared by all matches of a host that carry the limit, and says so in headers", async () => {
    const piece = pieceOf(modelOf({ limits: [{ name: "all", ...SLOW, burst: 3 }] }));
    await start({ "/a": piece, "/b": piece, "/": {} });
    const first = await ask("/a");
    expect([first.status, first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")]).toEqual([
      200,
      "3",
      "2",
    ]);
    expect(await statuses(2, "/b")).toEqual([200, 200]);
    const refused = await ask("/a");
    expect(refused.status).toBe(429);
    expect(refused.header("x-gatewarden-policy")).toBe("shop/orders#rateLimit");
    expect(refused.problem()).toMatchObject({ status: 429, policy: "shop/orders#rateLimit" });
    expect(Number(refused.header("retry-after"))).toBeGreaterThan(1_000);
    const free = await ask("/");
    expect([free.status, free.header("x-ratelimit-limit")]).toEqual([200, undefined]);
  });

  it("fills again at the rate that was written, also where the interval is no multiple of Envoy's", async () => {
    await start({ "/": pieceOf(modelOf({ limits: [{ name: "all", requests: 2, per: "1s33ms", burst: 1 }] })) });
    expect(await statuses(2, "/")).toEqual([200, 429]);
    await new Promise((resolve) => setTimeout(resolve, 650));
    expect(await statuses(1, "/")).toEqual([200]);
  });

  it("is the Gateway's for a Gateway policy: an edit of the host refills nothing", async () => {
    const limits: Spec = { limits: [{ name: "all", ...SLOW }] };
    const pieces = { "/": pieceOf(modelOf(limits, "Gateway", {}, "edge")) };
    const { setRoutes } = await start(pieces);
    expect(await statuses(3, "/")).toEqual([200, 200, 429]);
    const other = { "/new": {}, ...pieces };
    await setRoutes(routesOf(other), hostOf(other));
    expect(await statuses(2, "/")).toEqual([429, 429]);
    expect((await ask("/")).header("x-gatewarden-policy")).toBe("shop/edge#rateLimit");
    expect(await statuses(1, "/new")).toEqual([200]);
  });

  it("counts redirects too, which Envoy answers without a route action", async () => {
    const own = modelOf({ limits: [{ name: "own", ...SLOW, by: [{ type: "Header", name: "x-user" }] }] });
    // A call that a nearer limit refuses has counted in the farther one, as on other routes.
    const far = modelOf({ limits: [{ name: "far", requests: 4, per: "1h" }] }, "Gateway", {}, "edge");
    const piece = pieceOf(rateLimit.merge?.(far, own) ?? own);
    const redirect = {
      match: { prefix: "/" },
      name: "redirect",
      redirect: { path_redirect: "/x" },
      metadata: { filter_metadata: { gatewarden: piece.metadata ?? {} } },
      typed_per_filter_config: { ...piece.slots, ...piece.direct, ...selecting(piece) },
    };
    chain = await startChain({ routes: [redirect], virtualHost: hostOf({ "/": piece }) });
    expect(await statuses(2, "/", { "x-user": "a" })).toEqual([301, 301]);
    expect((await ask("/", { "x-user": "a" })).problem().policy).toBe("shop/orders#rateLimit");
    expect(await statuses(2, "/", { "x-user": "b" })).toEqual([301, 429]);
    expect((await ask("/")).problem().policy).toBe("shop/edge#rateLimit");
  });

  it("is divided among the proxies with PerGateway", async () => {
    const self = {
      name: "self",
      type: "STATIC",
      load_assignment: {
        cluster_name: "self",
        endpoints: [
          {
            lb_endpoints: [1, 2].map((last) => ({
              endpoint: { address: { socket_address: { address: `127.0.0.${String(last)}`, port_value: 1 } } },
            })),
          },
        ],
      },
    };
    const shared: Spec = { limits: [{ name: "all", requests: 4, per: "1h", scope: "PerGateway" }] };
    const pieces = { "/host": pieceOf(modelOf(shared)), "/gateway": pieceOf(modelOf(shared, "Gateway", {}, "edge")) };
    await start(pieces, { bootstrap: { cluster_manager: { local_cluster_name: "self" } }, clusters: [self] });
    expect(await statuses(4, "/host")).toEqual([200, 200, 429, 429]);
    expect(await statuses(4, "/gateway")).toEqual([200, 200, 429, 429]);
  });
});

describe("callers counted apart", () => {
  const by = (...parts: NonNullable<Spec["limits"][number]["by"]>): RoutePiece =>
    pieceOf(modelOf({ limits: [{ name: nameOf(parts), ...SLOW, by: parts }] }));
  const nameOf = (parts: object): string =>
    JSON.stringify(parts)
      .toLowerCase()
      .replace(/[^a-z]+/g, ".")
      .replace(/^[.]|[.]$/g, "");

  it("by address, an IPv6 customer being a /64", async () => {
    await start({ "/": by({ type: "ClientIP" }) });
    const from = (address: string) => ({ "x-forwarded-for": address });
    expect(await statuses(3, "/", from("203.0.113.1"))).toEqual([200, 200, 429]);
    expect(await statuses(1, "/", from("203.0.113.2"))).toEqual([200]);
    expect(await statuses(2, "/", from("2001:db8:1:2::1"))).toEqual([200, 200]);
    expect(await statuses(1, "/", from("2001:db8:1:2:ffff::9"))).toEqual([429]);
    expect(await statuses(1, "/", from("2001:db8:1:3::1"))).toEqual([200]);
  });

  it("by header and query parameter; whoever sends none or two shares one bucket", async () => {
    await start({ "/h": by({ type: "Header", name: "x-user" }), "/q": by({ type: "Query", name: "user" }) });
    expect(await statuses(3, "/h", { "x-user": "a" })).toEqual([200, 200, 429]);
    expect(await statuses(1, "/h", { "x-user": "b" })).toEqual([200]);
    expect(await statuses(1, "/h")).toEqual([200]);
    const twice = [
      ["x-user", "c"],
      ["x-user", "d"],
    ] as const;
    expect(await statuses(2, "/h", twice)).toEqual([200, 429]);
    expect(await statuses(2, "/q?user=a")).toEqual([200, 200]);
    expect(await statuses(1, "/q?other=1&us%65r=%61")).toEqual([429]);
    expect(await statuses(2, "/q?user=a&user=b")).toEqual([200, 200]);
    expect(await statuses(1, "/q")).toEqual([429]);
  });

  it("by path and method together", async () => {
    await start({ "/": by({ type: "Path" }, { type: "Method" }) });
    expect(await statuses(3, "/a?x=1")).toEqual([200, 200, 429]);
    expect(await statuses(1, "/b")).toEqual([200]);
    expect((await ask("/a", {}, "POST")).status).toBe(200);
  });

  it("by consumer behind authentication; without one all share", async () => {
    const consumers = [{ name: "erp" }, { name: "crm" }];
    const piece = pieceOf(
      modelOf({ limits: [{ name: "each", ...SLOW, by: [{ type: "Consumer" }] }] }, "Route", { consumers }),
    );
    expect(piece.slots).toEqual({});
    await start({ "/erp": authenticated(piece, "shop/erp"), "/crm": authenticated(piece, "shop/crm"), "/": piece });
    expect(await statuses(3, "/erp")).toEqual([200, 200, 429]);
    expect(await statuses(1, "/crm")).toEqual([200]);
    expect(await statuses(3, "/", { "x-gatewarden-consumer": "shop/none" })).toEqual([200, 200, 429]);
  });

  it("by a claim of the verified token, at the top or inside", async () => {
    const signer = createSigner("ES256");
    const provider = { issuer: ISSUER, local_jwks: { inline_string: keySet(signer) }, payload_in_metadata: "jwt" };
    const optional = { requires_any: { requirements: [{ provider_name: "corp" }, { allow_missing: {} }] } };
    const authentication = {
      "@type": `${JWT}.JwtAuthentication`,
      providers: { corp: provider },
      requirement_map: { optional },
    };
    const limited = (name: string): RoutePiece => {
      const piece = by({ type: "Claim", name });
      return {
        ...piece,
        slots: { ...piece.slots, jwt: { "@type": `${JWT}.PerRouteConfig`, requirement_name: "optional" } },
      };
    };
    const pieces = { "/sub": limited("sub"), "/tenant": limited("org.tenant") };
    chain = await startChain({
      routes: routesOf(pieces),
      virtualHost: hostOf(pieces),
      extensions: { ...extensionsOf(pieces), jwt: authentication },
    });
    const as = (sub: string, tenant: string) => ({
      authorization: `Bearer ${signer.token(claimsFor(ISSUER, "shop", { sub, org: { tenant } }))}`,
    });
    expect(await statuses(3, "/sub", as("alice", "a"))).toEqual([200, 200, 429]);
    expect(await statuses(1, "/sub", as("bob", "a"))).toEqual([200]);
    expect(await statuses(3, "/sub")).toEqual([200, 200, 429]);
    expect([
      ...(await statuses(1, "/tenant", as("alice", "a"))),
      ...(await statuses(1, "/tenant", as("bob", "a"))),
    ]).toEqual([200, 200]);
    expect([
      ...(await statuses(1, "/tenant", as("carol", "a"))),
      ...(await statuses(1, "/tenant", as("carol", "b"))),
    ]).toEqual([429, 200]);
  });

  it("beyond maxKeys share one bucket, and inventing keys refills none", async () => {
    const limit = { name: "each", ...SLOW, by: [{ type: "Header", name: "x-user" }], maxKeys: 2 } as const;
    const { envoy } = await start({ "/": pieceOf(modelOf({ limits: [limit] })) });
    const as = (user: string) => statuses(1, "/", { "x-user": user });
    expect([...(await as("a")), ...(await as("a")), ...(await as("a")), ...(await as("b"))]).toEqual([
      200, 200, 429, 200,
    ]);
    expect([...(await as("c")), ...(await as("d")), ...(await as("e")), ...(await as("f"))]).toEqual([
      200, 200, 429, 429,
    ]);
    for (let at = 0; at < 60; at += 1) await as(`invented-${String(at)}`);
    expect([...(await as("a")), ...(await as("b")), ...(await as("b"))]).toEqual([429, 200, 429]);
    const counted = await envoy.admin.stats("gatewarden.limit_overflow");
    expect([...counted]).toEqual([["gatewarden.limit_overflow.limit.shop/orders#each", 64]]);
  });

  it("forgets a caller whose bucket is full again", async () => {
    const limit = {
      name: "each",
      requests: 1,
      per: "1s",
      by: [{ type: "Header", name: "x-user" }],
      maxKeys: 1,
    } as const;
    await start({ "/": pieceOf(modelOf({ limits: [limit] })) });
    const as = (user: string) => statuses(1, "/", { "x-user": user });
    expect([...(await as("a")), ...(await as("b")), ...(await as("c"))]).toEqual([200, 200, 429]);
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    expect([...(await as("c")), ...(await as("d"))]).toEqual([200, 200]);
  });
});

describe("match", () => {
  const matching = (match: NonNullable<Spec["limits"][number]["match"]>, world: World = {}): RoutePiece =>
    pieceOf(modelOf({ limits: [{ name: "some", requests: 1, per: "1h", match }] }, "Route", world, nameOf(match)));
  const nameOf = (match: object): string => JSON.stringify(match).replace(/[^a-z]+/g, "-");

  it("counts methods, paths and headers that fit, however often a header is sent", async () => {
    await start({
      "/m": matching({ methods: ["GET", "HEAD"] }),
      "/p": matching({ paths: ["/p/{id}/items/**"] }),
      "/h": matching({ headers: { "x-plan": "fr.e" } }),
    });
    expect([...(await statuses(2, "/m")), (await ask("/m", {}, "POST")).status]).toEqual([200, 429, 200]);
    expect(await statuses(2, "/p/1")).toEqual([200, 200]);
    expect([...(await statuses(1, "/p/1/items")), ...(await statuses(1, "/p/2/items/3/4?a=b"))]).toEqual([200, 429]);
    expect(await statuses(2, "/p/1/itemsx")).toEqual([200, 200]);
    expect(await statuses(2, "/h", { "x-plan": "free" })).toEqual([200, 200]);
    expect(await statuses(1, "/h", { "x-plan": "fr.e" })).toEqual([200]);
    const hidden = [
      ["x-plan", "gold"],
      ["x-plan", "fr.e"],
    ] as const;
    expect(await statuses(1, "/h", hidden)).toEqual([429]);
  });

  it("counts consumers of a selector; one that chooses nobody counts nothing", async () => {
    const consumers = [{ name: "erp", labels: { plan: "free" } }, { name: "crm" }];
    const free = matching({ consumerSelector: { matchLabels: { plan: "free" } } }, { consumers });
    const none = matching({ consumerSelector: { matchLabels: { plan: "gone" } } }, { consumers });
    await start({
      "/erp": authenticated(free, "shop/erp"),
      "/crm": authenticated(free, "shop/crm"),
      "/none": authenticated(none, "shop/erp"),
    });
    expect(await statuses(2, "/erp")).toEqual([200, 429]);
    expect(await statuses(2, "/crm")).toEqual([200, 200]);
    expect(await statuses(2, "/none")).toEqual([200, 200]);
  });
});

describe("several limits", () => {
  it("name the policy whose limit it was", async () => {
    const far = modelOf(
      { limits: [{ name: "far", requests: 1, per: "1h", match: { methods: ["POST"] } }] },
      "Gateway",
      {},
      "edge",
    );
    const near = modelOf({ limits: [{ name: "near", requests: 1, per: "1h", match: { methods: ["GET"] } }] });
    await start({ "/": pieceOf(rateLimit.merge?.(far, near) ?? near) });
    expect(await statuses(1, "/")).toEqual([200]);
    expect((await ask("/", {}, "POST")).status).toBe(200);
    const [get, post] = [await ask("/"), await ask("/", {}, "POST")];
    expect(get.problem().policy).toBe("shop/orders#rateLimit");
    expect(post.problem().policy).toBe("shop/edge#rateLimit");
    expect(post.headerValues("x-gatewarden-policy")).toEqual(["shop/edge#rateLimit"]);
  });

  it("name it at every level, also where routes of a host have a policy each", async () => {
    const one = (method: string, level: Level, policy: string, precedence: Precedence = "Default"): Model => {
      const source = { ...sourceOf("rateLimit", level, policy), precedence };
      const limits = [{ name: policy, requests: 1, per: "1h", match: { methods: [method] } }] as const;
      return modelOf({ limits: [...limits] }, level, {}, policy, source);
    };
    const gateway = one("GET", "Gateway", "edge");
    const floor = one("POST", "Gateway", "floor", "Override");
    const namespace = one("PUT", "Namespace", "team");
    const routes = { "/a": one("DELETE", "Route", "orders"), "/b": one("PATCH", "Route", "prices") };
    const rule = one("OPTIONS", "Rule", "read");
    const merged = (near: Model): RoutePiece =>
      pieceOf(
        [namespace, near, rule].reduce((far, next) => rateLimit.merge?.(far, next) ?? next, join(gateway, floor)),
      );
    await start({ "/a": merged(routes["/a"]), "/b": merged(routes["/b"]) });
    const expected = { GET: "edge", POST: "floor", PUT: "team", OPTIONS: "read" };
    for (const [method, policy] of Object.entries(expected)) {
      expect((await ask("/a", {}, method)).status).toBe(200);
      const refused = await ask("/b", {}, method);
      expect([refused.status, refused.problem().policy]).toEqual([429, `shop/${policy}#rateLimit`]);
    }
    for (const [path, method, policy] of [
      ["/a", "DELETE", "orders"],
      ["/b", "PATCH", "prices"],
    ] as const) {
      expect((await ask(path, {}, method)).status).toBe(200);
      expect((await ask(path, {}, method)).problem().policy).toBe(`shop/${policy}#rateLimit`);
    }
  });

  it("tell one set of headers, also where several filters count", async () => {
    const far = modelOf({ limits: [{ name: "far", requests: 9, per: "1h" }] }, "Gateway", {}, "edge");
    const near = modelOf({
      limits: [
        { name: "near", requests: 5, per: "1h" },
        { name: "each", requests: 7, per: "1h", by: [{ type: "Consumer" }] },
      ],
    });
    await start({ "/": pieceOf(rateLimit.merge?.(far, near) ?? near) });
    const answer = await ask("/");
    const names = ["limit", "remaining", "reset"].map((name) => `x-ratelimit-${name}`);
    expect(names.map((name) => answer.headerValues(name))).toEqual([["7"], ["6"], ["0"]]);
    await statuses(4, "/");
    const refused = await ask("/");
    expect([refused.status, ...names.slice(0, 2).map((name) => refused.headerValues(name))]).toEqual([
      429,
      ["5"],
      ["0"],
    ]);
  });

  it("all count, and a nearer one replaces a farther one of its name", async () => {
    const far = modelOf(
      {
        limits: [
          { name: "all", requests: 1, per: "1h" },
          { name: "far", ...SLOW },
        ],
      },
      "Gateway",
    );
    const near = modelOf({ limits: [{ name: "all", requests: 50, per: "1h" }] });
    await start({ "/": pieceOf(rateLimit.merge?.(far, near) ?? near) });
    expect(await statuses(3, "/")).toEqual([200, 200, 429]);
  });
});

it("refuses a selector whose names would be too large a pattern, and Envoy takes what it does not refuse", async () => {
  const consumers = Array.from({ length: 1_500 }, (_, at) => ({
    name: `application-number-${String(at)}`,
    labels: { plan: "free" },
  }));
  const spec: Spec = {
    limits: [{ name: "some", requests: 1, per: "1h", match: { consumerSelector: { matchLabels: { plan: "free" } } } }],
  };
  const source = sourceOf("rateLimit");
  const resolved = rateLimit.resolve(spec, atOf(source), lookupOf({ consumers: [...consumers, ...consumers] }));
  expect(resolved).toMatchObject({
    ok: false,
    problems: [{ path: "spec.rateLimit.limits[0].match.consumerSelector" }],
  });
  await start({ "/": authenticated(pieceOf(modelOf(spec, "Route", { consumers })), "shop/application-number-1499") });
  expect(await statuses(2, "/")).toEqual([200, 429]);
});

it("refuses what it cannot do", () => {
  const spec = schema().parse({ limits: [{ name: "all", ...SLOW, scope: "Global" }] });
  const source = sourceOf("rateLimit");
  const resolved = rateLimit.resolve(spec, atOf(source), lookupOf());
  expect(resolved).toMatchObject({
    ok: false,
    problems: [{ reason: "Invalid", path: "spec.rateLimit.limits[0].scope" }],
  });
});

/** As if authentication had found this consumer. */
function authenticated(piece: RoutePiece, consumer: string): RoutePiece {
  const header = { key: "x-gatewarden-consumer", value: consumer };
  return {
    ...piece,
    slots: {
      ...piece.slots,
      identity: {
        "@type": MUTATIONS,
        mutations: { request_mutations: [{ append: { header, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" } }] },
      },
    },
  };
}
