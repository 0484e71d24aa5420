/** Modes, several methods at once, passwords, and where a route has its section from. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, type RequestSpec, send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { claimsFor, createSigner, keySet } from "../material/jwt.ts";
import {
  basicCredential,
  bearer,
  guard,
  guarded,
  upstreamValues,
  verdictOf,
  verdicts,
} from "./authentication-manifest.ts";
import { addConsumer, apiPolicy, consumerOf } from "./policies-manifest.ts";
import { httpRoute, rule } from "./routes-manifest.ts";

const NO_CREDENTIAL = "401 GW-AUTHN-001";
const REFUSED = "401 GW-AUTHN-002";
const NO_POLICY = "403 GW-POLICY-001";
const CLOSED = "503 GW-POLICY-002";
const ISSUER = "https://sso.corp.test";

describe("authentication", () => {
  const signer = createSigner("ES256");
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("auth");
    await shop.upstream("orders");
    edge = await shop.gateway();
    await addConsumer(shop, "erp", "k-erp");
    await shop.secret("olga", { password: "pa:ss wörd" });
    await shop.apply(person("olga", "olga", { tier: "staff" }));
    await shop.secret("igor", { password: "igor's" });
    await shop.apply(person("igor", "igor", {}));
    await shop.waitFor("ApiConsumer", "olga", "ResolvedRefs");
    await shop.waitFor("ApiConsumer", "igor", "ResolvedRefs");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const jwt = [
    {
      name: "corp",
      issuer: ISSUER,
      jwks: { type: "Inline", inline: keySet(signer) },
      claimsToHeaders: [{ claim: "sub", header: "x-user-id" }],
    },
  ];
  const apiKey = { consumerHeader: "x-consumer" };
  const basic = { consumerHeader: "x-consumer" };
  const token = bearer(signer.token(claimsFor(ISSUER, "shop")));
  const badToken = bearer(signer.token(claimsFor("https://other.test", "shop")));
  const [key, badKey] = [{ "x-api-key": "k-erp" }, { "x-api-key": "guessed" }];
  const [password, badPassword] = [basicCredential("olga", "pa:ss wörd"), basicCredential("olga", "guessed")];
  const to = (name: string, headers: RequestSpec["headers"] = {}): RequestSpec => ({ host: `${name}.test`, headers });
  const ask = (name: string, headers: RequestSpec["headers"] = {}) => send(edge.target(), to(name, headers));
  const becomes = (name: string, headers: RequestSpec["headers"], expected: string): Promise<boolean> =>
    eventually(`${expected} at ${name}`, async () => {
      const verdict = verdictOf(await ask(name, headers));
      if (verdict !== expected) throw new Error(verdict);
      return true;
    });

  it("Required: no credential is refused, and the challenge names every method", async () => {
    await guard(shop, "required", { mode: "Required", jwt, apiKey, basic });
    const refused = await ask("required");
    expect(verdictOf(refused)).toBe(NO_CREDENTIAL);
    const challenge = refused.headerValues("www-authenticate").join(", ");
    for (const scheme of ["Bearer ", "ApiKey ", "Basic "]) expect(challenge).toContain(scheme);
  });

  it("lets the first credential that is present decide, good or bad, in the order jwt, apiKey, basic", async () => {
    const cases: readonly (readonly [string, Readonly<Record<string, string>>, string])[] = [
      ["a token", token, "200"],
      ["a key", key, "200"],
      ["a password", password, "200"],
      ["a token and a key", { ...token, ...key }, "200"],
      ["a token and a bad key", { ...token, ...badKey }, "200"],
      ["a bad token and a key", { ...badToken, ...key }, REFUSED],
      ["a key and a bad password", { ...key, ...badPassword }, "200"],
      ["a bad key and a password", { ...badKey, ...password }, REFUSED],
      ["a bad key", badKey, REFUSED],
      ["a bad password", badPassword, REFUSED],
      ["another scheme", { authorization: "Digest username=olga" }, NO_CREDENTIAL],
      ["a scheme that only begins like ours", { authorization: "Bearerx abc" }, NO_CREDENTIAL],
    ];
    const requests = cases.map(([name, headers]) => [name, to("required", headers)] as const);
    expect(await verdicts(edge.target(), Object.fromEntries(requests))).toEqual(
      Object.fromEntries(cases.map(([name, , expected]) => [name, expected])),
    );
    const one = await ask("required", { ...token, ...badKey, "x-consumer": "forged" });
    // What did not decide gives no identity, and reaches nobody.
    expect([
      upstreamValues(one, "x-user-id"),
      upstreamValues(one, "x-consumer"),
      upstreamValues(one, "x-api-key"),
    ]).toEqual([["alice"], [], []]);
    const other = await ask("required", { ...key, "x-user-id": "forged" });
    expect([upstreamValues(other, "x-user-id"), upstreamValues(other, "x-consumer")]).toEqual([[], ["erp"]]);
  });

  it("is not confused by two Authorization headers", async () => {
    const pairs = (...headers: readonly Readonly<Record<string, string>>[]) =>
      headers.flatMap((each) => Object.entries(each));
    for (const headers of [pairs(badToken, password), pairs(badPassword, token), pairs(badToken, badPassword)]) {
      expect(verdictOf(await ask("required", headers))).toMatch(/^401 /);
    }
    for (const headers of [pairs(token, badPassword), pairs(password, badToken)]) {
      const answer = await ask("required", headers);
      if (answer.status !== 200) expect(answer.status).toBe(401);
      else expect(upstreamValues(answer, "authorization")).toEqual([]);
    }
  });

  it("Optional: none is fine and gives no identity, a bad one is refused", async () => {
    await guard(shop, "optional", { mode: "Optional", jwt, apiKey, basic });
    const anonymous = await ask("optional", { "x-user-id": "forged", "X-Consumer": "forged" });
    expect([anonymous.status, upstreamValues(anonymous, "x-user-id"), upstreamValues(anonymous, "x-consumer")]).toEqual(
      [200, [], []],
    );
    expect(
      await verdicts(edge.target(), {
        token: to("optional", token),
        key: to("optional", key),
        password: to("optional", password),
        "bad token": to("optional", badToken),
        "bad key": to("optional", badKey),
        "bad password": to("optional", badPassword),
        "a bad token and a key": to("optional", { ...badToken, ...key }),
        "an empty key": to("optional", { "x-api-key": "" }),
        "the scheme alone": to("optional", { authorization: "Bearer" }),
        "an unknown scheme": to("optional", { authorization: "Digest username=olga" }),
      }),
    ).toEqual({
      token: "200",
      key: "200",
      password: "200",
      "bad token": REFUSED,
      "bad key": REFUSED,
      "bad password": REFUSED,
      "a bad token and a key": REFUSED,
      "an empty key": expect.stringMatching(/^401 /),
      "the scheme alone": expect.stringMatching(/^401 /),
      "an unknown scheme": REFUSED,
    });
  });

  it("Public: everybody, with a reason; without one the API server refuses it", async () => {
    await guard(shop, "public", { mode: "Public", reason: "health probe" });
    expect([(await ask("public")).status, (await ask("public", badKey)).status]).toEqual([200, 200]);
    for (const section of [
      { mode: "Public" },
      { mode: "Public", reason: "" },
      {},
      { mode: "Public", reason: "a", apiKey },
    ]) {
      await expect(shop.apply(guarded("unreasoned", section))).rejects.toThrow(/reason|authentication/);
    }
  });

  it("closes the route where the section holds what this version does not know, or more places than it may", async () => {
    const unknown: Readonly<Record<string, object>> = {
      "unknown-field": { apiKey: { consumerheader: "x-consumer" } },
      "unknown-method": { apikey: {} },
      "many-places": {
        apiKey: { from: { headers: Array.from({ length: 8 }, (_, at) => `x-key-${String(at)}`) } },
        basic: {},
      },
    };
    for (const [name, section] of Object.entries(unknown)) {
      // kubectl without strict validation, as people use it.
      const [route, policy] = guarded(name, section);
      await harness.cluster.kubectl(
        ["apply", "--server-side", "--validate=false", "--namespace", shop.namespace, "-f", "-"],
        JSON.stringify({ apiVersion: "v1", kind: "List", items: [route, policy] }),
      );
      const { message } = await shop.waitFor("ApiPolicy", name, "Accepted", { status: "False", reason: "Invalid" });
      expect(message).toMatch(/spec\.authentication/);
      await becomes(name, key, CLOSED);
      expect((await ask(name)).header("x-gatewarden-policy")).toBe(`${shop.namespace}/${name}#authentication`);
    }
  });

  it("basic: the name is the consumer's, and nothing else opens", async () => {
    await guard(shop, "basic", { basic });
    const answer = await ask("basic", { ...password, "x-consumer": "forged", "x-gatewarden-user": "root" });
    expect([upstreamValues(answer, "x-consumer"), upstreamValues(answer, "authorization")]).toEqual([["olga"], []]);
    expect(answer.json<{ headers: unknown }>().headers).not.toContainEqual([
      expect.stringMatching(/^x-gatewarden/),
      expect.anything(),
    ]);
    const cases: Readonly<Record<string, readonly [Readonly<Record<string, string>>, unknown]>> = {
      nothing: [{}, NO_CREDENTIAL],
      "another consumer": [basicCredential("igor", "igor's"), "200"],
      "another's password": [basicCredential("igor", "pa:ss wörd"), REFUSED],
      "no such user": [basicCredential("root", "pa:ss wörd"), REFUSED],
      "a consumer without a password": [basicCredential("erp", "k-erp"), REFUSED],
      "an empty user": [basicCredential("", "pa:ss wörd"), REFUSED],
      "an empty password": [basicCredential("olga", ""), REFUSED],
      "the placeholder user": [basicCredential("nobody", ""), REFUSED],
      capitals: [basicCredential("OLGA", "pa:ss wörd"), REFUSED],
      "a space behind": [basicCredential("olga", "pa:ss wörd "), REFUSED],
      "the hash": [basicCredential("olga", "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk="), REFUSED],
      "no colon": [{ authorization: `Basic ${Buffer.from("olga").toString("base64")}` }, REFUSED],
      "no base64": [{ authorization: "Basic !!!" }, REFUSED],
      "a line end": [basicCredential("olga\n", "pa:ss wörd"), REFUSED],
      "nothing behind the scheme": [{ authorization: "Basic" }, expect.stringMatching(/^401 /)],
    };
    const requests = Object.entries(cases).map(([name, [headers]]) => [name, to("basic", headers)] as const);
    expect(await verdicts(edge.target(), Object.fromEntries(requests))).toEqual(
      Object.fromEntries(Object.entries(cases).map(([name, [, expected]]) => [name, expected])),
    );
    // Schemes have no case (RFC 9110 section 11.1); Envoy's filter may refuse other spellings, it must not pass them by.
    expect(
      verdictOf(await ask("basic", { authorization: (password["authorization"] ?? "").replace("Basic", "bAsIc") })),
    ).toMatch(/^(200|401 GW-AUTHN-00[12])$/);
  });

  it("basic: selects consumers, follows their passwords, and lets nobody in where it selects nobody", async () => {
    await guard(shop, "staff", { basic: { consumerSelector: { matchLabels: { tier: "staff" } } } });
    await guard(shop, "nobody", { basic: { consumerSelector: { matchLabels: { tier: "none" } } } });
    const igor = basicCredential("igor", "igor's");
    expect([verdictOf(await ask("staff", password)), verdictOf(await ask("staff", igor))]).toEqual(["200", REFUSED]);
    expect([
      verdictOf(await ask("nobody", password)),
      verdictOf(await ask("nobody", basicCredential("nobody", ""))),
    ]).toEqual([REFUSED, REFUSED]);
    const held = await connectHttp1(edge.target());
    const on = async (headers: Readonly<Record<string, string>>): Promise<string> =>
      verdictOf(await held.request(to("staff", headers)));
    await shop.secret("olga", { password: "another" });
    await eventually("the old password refused", async () => (await on(password)) === REFUSED, { limitMs: 2_000 });
    expect(await on(basicCredential("olga", "another"))).toBe("200");
    await shop.apply({ ...person("olga", "olga", { tier: "staff" }, { suspended: true }) });
    await eventually("suspended", async () => (await on(basicCredential("olga", "another"))) === REFUSED, {
      limitMs: 2_000,
    });
    expect(held.closed()).toBe(false);
    held.close();
    await shop.secret("olga", { password: "pa:ss wörd" });
    await shop.apply(person("olga", "olga", { tier: "staff" }));
    await becomes("staff", password, "200");
  });

  it("comes from the nearest level that writes it, and is missed where none does", async () => {
    const wide = await shop.gateway({
      name: "levels",
      listeners: [
        { name: "one", port: 8080, protocol: "HTTP", hostname: "*.one.test" },
        { name: "two", port: 8080, protocol: "HTTP", hostname: "*.two.test" },
      ],
    });
    const parentRefs = [{ name: "levels" }];
    await shop.apply([
      httpRoute("lv-one", { parentRefs, hostnames: ["a.one.test"], rules: [{ name: "main", ...rule("orders") }] }),
      httpRoute("lv-two", {
        parentRefs,
        hostnames: ["a.two.test"],
        rules: [
          { name: "main", ...rule("orders") },
          { name: "open", ...rule("orders", { path: { type: "PathPrefix", value: "/open" } }) },
        ],
      }),
    ]);
    const at = async (host: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<string> =>
      verdictOf(await send(wide.target(), { host, path, headers }));
    const all = async (headers: Readonly<Record<string, string>>): Promise<readonly string[]> => [
      await at("a.one.test", "/", headers),
      await at("a.two.test", "/", headers),
      await at("a.two.test", "/open", headers),
    ];
    await eventually("the routes", async () => (await all({})).every((verdict) => verdict === NO_POLICY));
    const policy = (name: string, target: object, authentication: object) =>
      shop.enforce(apiPolicy(name, target as { kind: string; name: string }, { authentication }));
    await policy("lv-gateway", { kind: "Gateway", name: "levels" }, { apiKey: {} });
    expect([await all({}), await all(key)]).toEqual([Array(3).fill(NO_CREDENTIAL), Array(3).fill("200")]);
    await policy("lv-listener", { kind: "Gateway", name: "levels", sectionName: "two" }, { basic: {} });
    expect([await all(key), await all(password)]).toEqual([
      ["200", NO_CREDENTIAL, NO_CREDENTIAL],
      [NO_CREDENTIAL, "200", "200"],
    ]);
    await policy("lv-route", { kind: "HTTPRoute", name: "lv-two" }, { jwt });
    expect([await all(password), await all(token)]).toEqual([
      [NO_CREDENTIAL, NO_CREDENTIAL, NO_CREDENTIAL],
      [NO_CREDENTIAL, "200", "200"],
    ]);
    await policy(
      "lv-rule",
      { kind: "HTTPRoute", name: "lv-two", sectionName: "open" },
      { mode: "Public", reason: "a test" },
    );
    expect(await all({})).toEqual([NO_CREDENTIAL, NO_CREDENTIAL, "200"]);
    for (const [name, expected] of [
      ["lv-rule", NO_CREDENTIAL],
      ["lv-route", NO_CREDENTIAL],
      ["lv-listener", NO_CREDENTIAL],
      ["lv-gateway", NO_POLICY],
    ] as const) {
      await shop.remove("ApiPolicy", name);
      await eventually(`without ${name}`, async () => (await at("a.two.test", "/open")) === expected);
    }
    expect(await all(key)).toEqual(Array(3).fill(NO_POLICY));
  });
});

function person(name: string, secret: string, labels: Readonly<Record<string, string>>, more: object = {}) {
  const { metadata, ...rest } = consumerOf(name, {
    type: "Person",
    apiKeys: undefined,
    basic: { secretRef: { name: secret, key: "password" } },
    ...more,
  });
  return { ...rest, metadata: { ...metadata, labels } };
}
