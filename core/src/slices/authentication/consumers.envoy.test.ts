/** API keys, passwords and several methods at once on a real Envoy. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { connectHttp1 } from "../../../../e2e/client/http1.ts";
import { connectHttp2 } from "../../../../e2e/client/http2.ts";
import { basic, bearer, call, callOf, type Policies, startPolicies, translate } from "../../../test/authentication.ts";
import type { Chain } from "../../../test/chain.ts";
import { createKeys, jwk, keySet, token } from "../../../test/tokens.ts";
import { keyPartOf } from "../../translate/chain.ts";

const KEYS = keyPartOf("shop");
/** A namespace whose keys stand in the same part. */
const BESIDE =
  Array.from({ length: 1_000 }, (_, at) => `team-${String(at)}`).find((name) => keyPartOf(name) === KEYS) ?? "";

const partner = { tier: "partner" };
const staff = { tier: "staff" };
const world = {
  consumers: [
    { name: "erp", labels: partner, liveKeys: ["erp-key-1", "erp-key-2"] },
    { name: "crm", liveKeys: ["crm-key"] },
    { name: "gone", labels: partner, liveKeys: [], suspended: true },
    { name: "ann", labels: staff, password: "pass:word ü" },
    { name: "bob", password: "secret" },
    { namespace: "ops", name: "erp", liveKeys: ["ops-key"], password: "ops-secret" },
    { namespace: BESIDE, name: "erp", liveKeys: ["beside-key"] },
  ],
};

const { rsa } = createKeys();
const ISSUER = "https://sso.corp.test";
const jwt = [
  {
    name: "corp",
    issuer: ISSUER,
    jwks: { type: "Inline", inline: keySet(jwk(rsa)) },
    claimsToHeaders: [{ claim: "sub", header: "x-user-id" }],
  },
] as const;
const alice = token({ alg: "RS256" }, { iss: ISSUER, sub: "alice", exp: Date.now() / 1000 + 600 }, rsa.privateKey);

const everywhere = { headers: ["x-api-key", "x-old-key"], params: ["key"], cookies: ["key"] };
const consumerHeader = "x-consumer";
const policies: Policies = {
  "/keys": { spec: { apiKey: { consumerHeader } } },
  "/anonymous": { spec: { apiKey: {} } },
  "/partners": { spec: { apiKey: { consumerSelector: { matchLabels: partner }, consumerHeader } } },
  "/nobody": { spec: { apiKey: { consumerSelector: { matchLabels: { tier: "none" } } } } },
  "/places": { spec: { apiKey: { from: everywhere, consumerHeader } } },
  "/forward": { spec: { apiKey: { from: everywhere, forwardKey: true } } },
  "/gateway": { spec: { apiKey: { consumerHeader }, basic: { consumerHeader } }, level: "Gateway" },
  "/ops": { spec: { apiKey: { consumerHeader } }, namespace: "ops" },
  "/beside": { spec: { apiKey: { consumerHeader } }, namespace: BESIDE },
  "/basic": { spec: { basic: { consumerHeader } } },
  "/staff": { spec: { basic: { consumerSelector: { matchLabels: staff }, consumerHeader } } },
  "/no-staff": { spec: { basic: { consumerSelector: { matchLabels: { tier: "none" } } } } },
  "/all": { spec: { jwt, apiKey: { consumerHeader }, basic: { consumerHeader } } },
  "/optional": { spec: { mode: "Optional", jwt, apiKey: { consumerHeader }, basic: { consumerHeader } } },
};

let chain: Chain;
beforeAll(async () => {
  chain = await startPolicies(policies, world);
}, 60_000);
afterAll(() => chain.stop());

const key = (value: string): { readonly "x-api-key": string } => ({ "x-api-key": value });

describe("API keys", () => {
  test("every live key of a consumer passes as that consumer", async () => {
    for (const value of ["erp-key-1", "erp-key-2"]) {
      const { status, upstream } = await call(chain, "/keys", key(value));
      expect({ status, consumer: upstream("x-consumer") }).toEqual({ status: 200, consumer: ["erp"] });
    }
    expect((await call(chain, "/keys", key("crm-key"))).upstream("x-consumer")).toEqual(["crm"]);
    expect((await call(chain, "/anonymous", key("crm-key"))).upstream("x-consumer")).toEqual([]);
  });

  test.each([
    ["none", {}, "GW-AUTHN-001"],
    ["unknown", key("wrong"), "GW-AUTHN-002"],
    ["in other letters", key("ERP-KEY-1"), "GW-AUTHN-002"],
    ["a part", key("erp-key"), "GW-AUTHN-002"],
    ["of another namespace", key("ops-key"), "GW-AUTHN-002"],
    ["of another namespace in the same part", key("beside-key"), "GW-AUTHN-002"],
    ["in another header", { "x-other": "erp-key-1" }, "GW-AUTHN-001"],
    ["joined", key("wrong,erp-key-1"), "GW-AUTHN-002"],
  ])("%s: 401", async (_, headers, code) => {
    const refused = await call(chain, "/keys", headers);
    expect(refused).toMatchObject({ status: 401, code, seen: undefined });
    expect(refused.answer.header("www-authenticate")).toBe('ApiKey realm="shop/keys", header="x-api-key"');
    expect(refused.answer.header("x-gatewarden-policy")).toBe("shop/keys#authentication");
  });

  test("a namespace's keys open its own routes only", async () => {
    expect((await call(chain, "/ops", key("ops-key"))).upstream("x-consumer")).toEqual(["erp"]);
    expect(await call(chain, "/ops", key("erp-key-1"))).toMatchObject({ status: 401 });
    expect((await call(chain, "/beside", key("beside-key"))).upstream("x-consumer")).toEqual(["erp"]);
    expect(await call(chain, "/beside", key("erp-key-1"))).toMatchObject({ status: 401 });
  });

  test("a selector lets pass whom it selects, and a key of others is known but not allowed", async () => {
    expect((await call(chain, "/partners", key("erp-key-1"))).upstream("x-consumer")).toEqual(["erp"]);
    expect(await call(chain, "/partners", key("crm-key"))).toMatchObject({ status: 403, code: "GW-AUTHN-003" });
    expect(await call(chain, "/partners", key("beside-key"))).toMatchObject({ status: 403 });
    // What another part has is not known here at all.
    expect(await call(chain, "/partners", key("ops-key"))).toMatchObject({ status: 401 });
  });

  test("a selector that selects nobody refuses everybody", async () => {
    for (const headers of [{}, key("erp-key-1"), key("crm-key"), key("ops-key"), key("")]) {
      expect((await call(chain, "/nobody", headers)).status).toBe(401);
    }
  });

  test("each place works, the first that holds one decides, and the upstream sees none", async () => {
    const good = [
      await call(chain, "/places?a=1&key=erp-key-1&b=2"),
      await call(chain, "/places?a=1&b=2", { cookie: "a=1; key=erp-key-1" }),
      await call(chain, "/places?a=1&b=2", { "x-old-key": "erp-key-1" }),
      await call(chain, "/places?a=1&b=2&key=wrong&k%65y=wrong", {
        ...key("erp-key-1"),
        "x-old-key": "wrong",
        cookie: "key=wrong",
      }),
    ];
    for (const { status, seen, upstream } of good) {
      expect({ status, path: seen?.path, consumer: upstream("x-consumer") }).toEqual({
        status: 200,
        path: "/places?a=1&b=2",
        consumer: ["erp"],
      });
      expect([...upstream("x-api-key"), ...upstream("x-old-key")]).toEqual([]);
      expect(upstream("cookie").filter((value) => value.includes("key"))).toEqual([]);
    }
    expect(await call(chain, "/places?key=erp-key-1", key("wrong"))).toMatchObject({ status: 401 });
    expect(await call(chain, "/places", { cookie: "key=erp-key-1", "x-old-key": "wrong" })).toMatchObject({
      status: 401,
    });
  });

  test("forwardKey forwards the key that decided, and no other", async () => {
    const { upstream, seen } = await call(chain, "/forward?key=other", { ...key("erp-key-1"), "x-old-key": "other" });
    expect(upstream("x-api-key")).toEqual(["erp-key-1"]);
    expect(upstream("x-old-key")).toEqual([]);
    expect(seen?.path).toBe("/forward");
    expect((await call(chain, "/forward?key=erp-key-1")).seen?.path).toBe("/forward?key=erp-key-1");
    const twice = [
      ["x-api-key", "erp-key-1"],
      ["x-api-key", "unverified"],
    ] as const;
    expect((await call(chain, "/forward", twice)).upstream("x-api-key")).toEqual(["erp-key-1"]);
    expect(await call(chain, "/forward", [...twice].reverse())).toMatchObject({ status: 401 });
  });

  test("sent twice, the first one decides and nothing of them is forwarded", async () => {
    const twice = (first: string, second: string) =>
      [
        ["x-api-key", first],
        ["x-api-key", second],
      ] as const;
    expect((await call(chain, "/keys", twice("erp-key-1", "wrong"))).upstream("x-api-key")).toEqual([]);
    expect(await call(chain, "/keys", twice("wrong", "erp-key-1"))).toMatchObject({ status: 401 });
  });
});

describe("passwords", () => {
  test("a consumer's name and password pass", async () => {
    const { status, upstream } = await call(chain, "/basic", basic("bob", "secret"));
    expect({ status, consumer: upstream("x-consumer"), authorization: upstream("authorization") }).toEqual({
      status: 200,
      consumer: ["bob"],
      authorization: [],
    });
    expect((await call(chain, "/staff", basic("ann", "pass:word ü"))).upstream("x-consumer")).toEqual(["ann"]);
  });

  test.each([
    ["wrong password", basic("bob", "Secret")],
    ["no password", basic("bob", "")],
    ["unknown name", basic("eve", "secret")],
    ["another's password", basic("bob", "pass:word ü")],
    ["of another namespace", basic("erp", "ops-secret")],
    ["nobody", basic("nobody", "")],
    ["no base64", { authorization: "Basic !!!" }],
    ["scheme in lower case", { authorization: basic("bob", "secret").authorization.replace("Basic", "basic") }],
    ["scheme in upper case", { authorization: basic("bob", "secret").authorization.replace("Basic", "BASIC") }],
    ["another scheme", bearer(alice)],
  ])("%s: 401", async (_, headers) => {
    const refused = await call(chain, "/basic", headers);
    expect(refused).toMatchObject({ status: 401, code: "GW-AUTHN-002", seen: undefined });
    expect(refused.answer.header("www-authenticate")).toBe('Basic realm="shop/basic", charset="UTF-8"');
  });

  test("none: 401; not selected: 401; nobody selected: 401", async () => {
    expect(await call(chain, "/basic")).toMatchObject({ status: 401, code: "GW-AUTHN-001" });
    expect(await call(chain, "/staff", basic("bob", "secret"))).toMatchObject({ status: 401 });
    expect(await call(chain, "/no-staff", basic("bob", "secret"))).toMatchObject({ status: 401 });
    expect(await call(chain, "/no-staff", basic("nobody", ""))).toMatchObject({ status: 401 });
  });
});

describe("a Gateway's policy names consumers with their namespace", () => {
  test.each([
    ["key", key("erp-key-1"), "shop/erp"],
    ["password", basic("bob", "secret"), "shop/bob"],
  ])("%s", async (_, headers, name) => {
    expect((await call(chain, "/gateway", headers as Readonly<Record<string, string>>)).upstream("x-consumer")).toEqual(
      [name],
    );
  });
});

describe("several methods", () => {
  test("the credential that is there decides", async () => {
    expect((await call(chain, "/all", bearer(alice))).upstream("x-user-id")).toEqual(["alice"]);
    expect((await call(chain, "/all", key("erp-key-1"))).upstream("x-consumer")).toEqual(["erp"]);
    expect((await call(chain, "/all", basic("bob", "secret"))).upstream("x-consumer")).toEqual(["bob"]);
  });

  test("a bad one is refused even where another is good", async () => {
    const good = key("erp-key-1");
    expect(await call(chain, "/all", { ...good, ...bearer("bad") })).toMatchObject({ status: 401 });
    expect(await call(chain, "/all", { ...good, authorization: "bearer bad" })).toMatchObject({ status: 401 });
    expect(await call(chain, "/all", { ...basic("bob", "secret"), ...key("wrong") })).toMatchObject({ status: 401 });
    // The key comes before the password, so it decides and the password goes no further.
    const both = await call(chain, "/all", { ...good, ...basic("bob", "wrong") });
    expect({ consumer: both.upstream("x-consumer"), authorization: both.upstream("authorization") }).toEqual({
      consumer: ["erp"],
      authorization: [],
    });
  });

  test("identity headers of the methods that did not decide stay away", async () => {
    const spoof = { "x-user-id": "root", "x-consumer": "root" };
    const byKey = await call(chain, "/all", { ...spoof, ...key("erp-key-1") });
    expect([byKey.upstream("x-user-id"), byKey.upstream("x-consumer")]).toEqual([[], ["erp"]]);
    const byToken = await call(chain, "/all", { ...spoof, ...bearer(alice) });
    expect([byToken.upstream("x-user-id"), byToken.upstream("x-consumer")]).toEqual([["alice"], []]);
  });

  test("without any, every method is offered", async () => {
    const { status, code, answer } = await call(chain, "/all");
    expect({ status, code }).toEqual({ status: 401, code: "GW-AUTHN-001" });
    const realm = 'realm="shop/all"';
    expect(answer.header("www-authenticate")).toBe(
      `Bearer ${realm}, ApiKey ${realm}, header="x-api-key", Basic ${realm}, charset="UTF-8"`,
    );
    expect(await call(chain, "/all", { authorization: "Digest x" })).toMatchObject({ status: 401 });
  });

  test("optional: none passes without identity, a bad one is refused", async () => {
    const spoof = { "x-user-id": "root", "x-consumer": "root" };
    const { status, upstream } = await call(chain, "/optional", spoof);
    expect([status, upstream("x-user-id"), upstream("x-consumer")]).toEqual([200, [], []]);
    for (const bad of [bearer("bad"), key("wrong"), basic("bob", "wrong"), key(""), { authorization: "Digest x" }]) {
      expect((await call(chain, "/optional", bad)).status).toBe(401);
    }
    expect((await call(chain, "/optional", key("crm-key"))).upstream("x-consumer")).toEqual(["crm"]);
  });
});

describe("a key that is taken away", () => {
  const without = {
    consumers: world.consumers.map((each) => (each.name === "crm" ? { ...each, liveKeys: [] } : each)),
  };
  const ask = { path: "/keys", host: "shop.test", headers: key("crm-key") };

  test("stops on connections that are open, and touches no route", async () => {
    const [before, after] = [translate(policies, world), translate(policies, without)];
    expect(after.routes).toEqual(before.routes);
    const target = { address: "127.0.0.1", port: chain.port };
    const [http1, http2] = [await connectHttp1(target), await connectHttp2(target)];
    try {
      for (const connection of [http1, http2]) expect(callOf(await connection.request(ask)).status).toBe(200);
      await chain.setExtension(KEYS, after.extensions[KEYS] ?? {});
      for (const connection of [http1, http2]) {
        expect(callOf(await connection.request(ask))).toMatchObject({ status: 401, code: "GW-AUTHN-002" });
        expect(connection.closed()).toBe(false);
      }
    } finally {
      http1.close();
      http2.close();
    }
  });

  test("the last one leaves nobody", async () => {
    const nobody = translate(policies, { consumers: [] });
    await chain.setExtension(KEYS, nobody.extensions[KEYS] ?? {});
    await chain.setRoutes(nobody.routes);
    expect(await call(chain, "/keys", {})).toMatchObject({ status: 401, code: "GW-AUTHN-001" });
    for (const path of ["/keys", "/partners", "/gateway", "/places", "/basic"]) {
      for (const headers of [{}, key("erp-key-1"), key("x"), key("no key"), basic("nobody", "")]) {
        expect((await call(chain, path, headers)).status).toBe(401);
      }
    }
  });
});
