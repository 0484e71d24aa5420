/** Rules on a real Envoy: who passes, who is refused, in whose name. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { send } from "../../../../e2e/client/http1.ts";
import { eventually } from "../../../../e2e/cluster/condition.ts";
import { type Call, call, callOf } from "../../../test/authentication.ts";
import { type Policies, startPolicies } from "../../../test/authorization.ts";
import type { Chain } from "../../../test/chain.ts";
import { recordOf } from "../logging/record.ts";
import { createKeys, jwk, keySet, token } from "../../../test/tokens.ts";

const CORP = "https://sso.corp.test/realms/main";
const PARTNER = "https://partner.test";
const keys = createKeys();
const inline = (...pairs: readonly (typeof keys.rsa)[]) =>
  ({ type: "Inline", inline: keySet(...pairs.map((pair) => jwk(pair))) }) as const;
const corp = { name: "corp", issuer: CORP, rolesClaim: ["realm_access", "roles"], jwks: inline(keys.p256) };
const partner = { name: "partner", issuer: PARTNER, rolesClaim: ["groups"], jwks: inline(keys.rsa) };
const tokens = { jwt: [corp] };
const both = { jwt: [corp, partner] };
const callers = { apiKey: {} };

const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;
const bearer = (claims: object, issuer = CORP): { authorization: string } => {
  const all = { iss: issuer, sub: "ann", exp: inSeconds(600), ...claims };
  const text =
    issuer === CORP
      ? token({ alg: "ES256" }, all, keys.p256.privateKey)
      : token({ alg: "RS256" }, all, keys.rsa.privateKey);
  return { authorization: `Bearer ${text}` };
};
const key = (name: string): { "x-api-key": string } => ({ "x-api-key": `${name}-key` });
const allow = (rule: object, name = "r"): object => ({ rules: [{ name, action: "Allow", ...rule }] });
const deny = (rule: object, name = "r"): object => ({
  defaultAction: "Allow",
  rules: [{ name, action: "Deny", ...rule }],
});

const policies: Policies = {
  "/methods": { rules: allow({ methods: ["GET", "HEAD"] }) },
  "/no-methods": { rules: deny({ methods: ["DELETE", "PATCH"] }) },
  "/paths": { rules: allow({ paths: ["/paths/a/**", "/paths/b/*", "/paths/c/{id}/d", "/paths/e.e"] }) },
  "/order": {
    rules: {
      rules: [
        { name: "secret", action: "Deny", paths: ["/order/secret/**"] },
        { name: "read", action: "Allow", methods: ["GET"] },
        { name: "never", action: "Deny", methods: ["GET"] },
        { name: "rest", action: "Allow", paths: ["/order/open/**"] },
      ],
    },
  },
  "/all": { rules: { defaultAction: "Allow" } },
  "/none": { rules: { defaultAction: "Deny" } },
  "/sources": { rules: allow({ sources: ["127.0.0.2/32", "2001:db8::/32"] }) },
  "/and": { rules: allow({ methods: ["GET"], sources: ["127.0.0.2/32"], paths: ["/and/**"] }) },
  "/consumers": { rules: allow({ consumers: ["erp", "gone"] }), authentication: callers },
  "/roles": { rules: allow({ roles: ["user", "admin"] }), authentication: callers },
  "/no-role": { rules: deny({ roles: ["guest"] }), authentication: callers },
  "/grant": { rules: allow({ grant: "Required" }, "export"), authentication: callers },
  "/claim-roles": { rules: allow({ roles: ["admin"] }), authentication: both },
  "/key-or-token": { rules: allow({ roles: ["user"] }), authentication: { ...tokens, apiKey: {} } },
  "/optional": { rules: allow({ roles: ["user"] }), authentication: { mode: "Optional", apiKey: {} } },
  "/scopes": { rules: allow({ scopes: ["orders:read", "orders.x"] }), authentication: tokens },
  "/claims": {
    rules: allow({
      claims: [
        { path: ["dept"], values: ["sales", "7", "true"] },
        { path: ["org", "id.x"], values: ["a"] },
      ],
    }),
    authentication: tokens,
  },
  "/provider": {
    rules: allow({ claims: [{ provider: "partner", path: ["t"], values: ["1"] }] }),
    authentication: both,
  },
  "/no-claim": { rules: deny({ claims: [{ path: ["dept"], values: ["hr"] }] }), authentication: tokens },
  "/mfa": {
    rules: {
      rules: [
        { name: "strong", action: "Allow", paths: ["/mfa/acr"], mfa: { acr: ["urn:mfa", "urn:hwk"] } },
        { name: "factor", action: "Allow", paths: ["/mfa/amr"], mfa: { amr: ["otp", "hwk"] } },
        { name: "fresh", action: "Allow", paths: ["/mfa/age"], mfa: { maxAge: "10m", acr: ["urn:mfa"] } },
        { name: "read", action: "Allow", paths: ["/mfa/plain"] },
      ],
    },
    authentication: tokens,
  },
  "/floor": {
    floors: [
      {
        rules: [
          { name: "staff", action: "Allow", roles: ["staff"] },
          { name: "no-delete", action: "Deny", methods: ["DELETE"] },
          { name: "users", action: "Allow", roles: ["user"] },
        ],
      },
      deny({ paths: ["/floor/closed/**"] }, "closed"),
    ],
    rules: allow({ methods: ["GET", "DELETE"] }, "own"),
    authentication: callers,
  },
  "/audit": { rules: deny({ methods: ["GET"] }), audit: true },
};

const world = {
  consumers: [
    { name: "erp", liveKeys: ["erp-key"], roles: ["user"] },
    { name: "ann", liveKeys: ["ann-key"], roles: ["guest", "staff"] },
    { name: "bob", liveKeys: ["bob-key"] },
    { name: "gone", liveKeys: ["gone-key"], roles: ["user"], suspended: true },
    { name: "erp", namespace: "other", liveKeys: ["other-key"], roles: ["user"] },
  ],
  grants: { "shop/grant/export": ["erp", "gone"] },
};

let chain: Chain;
beforeAll(async () => {
  const log = {
    name: "log",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
      log_format: { json_format: recordOf("infra/edge"), omit_empty_values: true },
    },
  };
  chain = await startPolicies(policies, world, { hcm: { access_log: [log] } });
}, 60_000);
afterAll(() => chain.stop());

const get = (path: string, headers = {}): Promise<Call> => call(chain, path, headers);
const ask = async (method: string, path: string, from = "127.0.0.1"): Promise<number> =>
  (await send({ address: "127.0.0.1", port: chain.port, from }, { method, path, host: "shop.test" })).status;
const statuses = async (path: string, all: readonly object[]): Promise<readonly number[]> => {
  const found: number[] = [];
  for (const headers of all) found.push((await get(path, headers)).status);
  return found;
};

describe("what is asked of the call", () => {
  test("methods", async () => {
    expect([await ask("GET", "/methods"), await ask("HEAD", "/methods"), await ask("POST", "/methods")]).toEqual([
      200, 200, 403,
    ]);
    expect([await ask("GET", "/no-methods"), await ask("DELETE", "/no-methods")]).toEqual([200, 403]);
  });

  test.each([
    ["/paths/a", 200],
    ["/paths/a/", 200],
    ["/paths/a/x/y?z=/q", 200],
    ["/paths/ab", 403],
    ["/paths/b/x", 200],
    ["/paths/b/x?y", 200],
    ["/paths/b", 403],
    ["/paths/b/", 403],
    ["/paths/b/x/y", 403],
    ["/paths/c/7/d", 200],
    ["/paths/c/7/8/d", 403],
    ["/paths/c//d", 403],
    ["/paths/e.e", 200],
    ["/paths/exe", 403],
    ["/paths/x?/paths/a", 403],
    ["/paths/x/../a/y", 200],
    ["/paths/a/../x", 403],
    ["/paths/%61/y", 200],
    ["/PATHS/a", 404],
  ])("%s answers %i", async (path, status) => {
    expect((await get(path)).status).toBe(status);
  });

  test("the first rule that fits decides, or else the default", async () => {
    expect(await ask("GET", "/order/secret/x")).toBe(403);
    expect(await ask("GET", "/order/x")).toBe(200);
    expect(await ask("POST", "/order/open/x")).toBe(200);
    expect(await ask("POST", "/order/x")).toBe(403);
    expect([await ask("GET", "/all"), await ask("GET", "/none")]).toEqual([200, 403]);
  });

  test("the address, and every field of a rule at once", async () => {
    expect([await ask("GET", "/sources"), await ask("GET", "/sources", "127.0.0.2")]).toEqual([403, 200]);
    expect([
      await ask("GET", "/and/x", "127.0.0.2"),
      await ask("POST", "/and/x", "127.0.0.2"),
      await ask("GET", "/and/x"),
    ]).toEqual([200, 403, 403]);
  });
});

describe("what a refusal says", () => {
  test("no rule: the policy", async () => {
    const { answer, code } = await get("/none");
    expect(code).toBe("GW-AUTHZ-001");
    expect(answer.header("x-gatewarden-policy")).toBe("shop/none#authorization");
    expect(answer.problem()).toMatchObject({ policy: "shop/none#authorization", status: 403 });
    expect(answer.problem()).not.toHaveProperty("rule");
  });

  test("a rule: the policy and the rule", async () => {
    const { answer } = await get("/order/secret/x");
    expect(answer.problem()).toMatchObject({
      code: "GW-AUTHZ-002",
      policy: "shop/order#authorization",
      rule: "secret",
      title: "Forbidden",
    });
  });
});

describe("who is calling", () => {
  test("consumers of the policy's namespace, live ones", async () => {
    expect(await statuses("/consumers", [key("erp"), key("bob"), key("other"), key("gone"), {}])).toEqual([
      200, 403, 401, 401, 401,
    ]);
  });

  test("roles of consumers", async () => {
    expect(await statuses("/roles", [key("erp"), key("ann"), key("bob")])).toEqual([200, 403, 403]);
    expect(await statuses("/no-role", [key("erp"), key("ann"), key("bob")])).toEqual([200, 403, 200]);
    expect(await statuses("/optional", [key("erp"), {}])).toEqual([200, 403]);
    // Nobody can say himself who he is.
    expect(await statuses("/optional", [{ "x-gatewarden-consumer": "shop/erp" }])).toEqual([403]);
  });

  test("a grant for this rule", async () => {
    expect(await statuses("/grant", [key("erp"), key("ann")])).toEqual([200, 403]);
  });

  test("roles of a token are those of its own issuer's claim", async () => {
    const admin = { realm_access: { roles: ["user", "admin"] } };
    expect(await statuses("/claim-roles", [bearer(admin), bearer({ realm_access: { roles: "admin" } })])).toEqual([
      200, 200,
    ]);
    expect(
      await statuses("/claim-roles", [bearer({ groups: ["admin"] }), bearer({ realm_access: { roles: ["adm"] } })]),
    ).toEqual([403, 403]);
    expect(await statuses("/claim-roles", [bearer({ groups: ["admin"] }, PARTNER), bearer(admin, PARTNER)])).toEqual([
      200, 403,
    ]);
  });

  test("roles of either", async () => {
    expect(
      await statuses("/key-or-token", [
        key("erp"),
        key("ann"),
        bearer({ realm_access: { roles: ["user"] } }),
        bearer({}),
      ]),
    ).toEqual([200, 403, 200, 403]);
  });

  test("scopes, all of them, as text or list, under either name", async () => {
    const good = [
      { scope: "orders:read orders.x" },
      { scope: "a orders.x b orders:read c" },
      { scp: ["orders:read", "orders.x"] },
      { scp: "orders:read orders.x" },
      { scope: "orders:read", scp: ["orders.x"] },
    ];
    const bad = [
      {},
      { scope: "orders:read" },
      { scope: "orders:readx orders.x" },
      { scope: "orders:read,orders.x" },
      { scope: "orders:read ordersax" },
      { scp: ["orders:read orders.x"] },
      { scp: { a: "orders:read" } },
    ];
    expect(
      await statuses(
        "/scopes",
        good.map((claims) => bearer(claims)),
      ),
    ).toEqual(good.map(() => 200));
    expect(
      await statuses(
        "/scopes",
        bad.map((claims) => bearer(claims)),
      ),
    ).toEqual(bad.map(() => 403));
  });

  test("claims, in objects and lists, numbers and booleans by their text", async () => {
    const org = { org: { "id.x": "a" } };
    const good = ["sales", 7, true, ["x", "sales"], [7]].map((dept) => bearer({ dept, ...org }));
    const bad = ["sale", 70, false, [], { sales: "sales" }, null, "sales,7"].map((dept) => bearer({ dept, ...org }));
    expect(await statuses("/claims", good)).toEqual(good.map(() => 200));
    expect(await statuses("/claims", bad)).toEqual(bad.map(() => 403));
    expect(
      await statuses("/claims", [bearer({ dept: "sales" }), bearer({ dept: "sales", org: { id: { x: "a" } } })]),
    ).toEqual([403, 403]);
    expect(await statuses("/provider", [bearer({ t: "1" }, PARTNER), bearer({ t: "1" })])).toEqual([200, 403]);
    expect(await statuses("/no-claim", [bearer({ dept: "hr" }), bearer({ dept: ["hr"] }), bearer({})])).toEqual([
      403, 403, 200,
    ]);
  });
});

describe("step-up", () => {
  test("lets in who signed in strongly enough", async () => {
    expect(await statuses("/mfa/acr", [bearer({ acr: "urn:hwk" }), bearer({ acr: "urn:pwd" }), bearer({})])).toEqual([
      200, 401, 401,
    ]);
    expect(
      await statuses("/mfa/amr", [bearer({ amr: ["pwd", "otp"] }), bearer({ amr: "hwk" }), bearer({ amr: ["pwd"] })]),
    ).toEqual([200, 200, 401]);
    expect(await statuses("/mfa/plain", [bearer({})])).toEqual([200]);
    expect(await statuses("/mfa/other", [bearer({ acr: "urn:mfa" })])).toEqual([403]);
  });

  test("and recently", async () => {
    const acr = "urn:mfa";
    const good = [inSeconds(-590), inSeconds(0), String(inSeconds(-5))].map((auth_time) => bearer({ acr, auth_time }));
    const bad = [{ acr }, { acr, auth_time: inSeconds(-660) }, { auth_time: inSeconds(0) }, { acr, auth_time: "x" }];
    expect(await statuses("/mfa/age", good)).toEqual(good.map(() => 200));
    expect(
      await statuses(
        "/mfa/age",
        bad.map((claims) => bearer(claims)),
      ),
    ).toEqual(bad.map(() => 401));
  });

  test("says what is asked for (RFC 9470)", async () => {
    const strong = await get("/mfa/acr", bearer({}));
    expect(strong.code).toBe("GW-AUTHZ-003");
    expect(strong.answer.header("www-authenticate")).toBe(
      'Bearer error="insufficient_user_authentication", error_description="a stronger or more recent authentication is required", acr_values="urn:mfa urn:hwk"',
    );
    expect(strong.answer.problem()).toMatchObject({ policy: "shop/mfa#authorization", rule: "strong", status: 401 });
    const fresh = await get("/mfa/age", bearer({}));
    expect(fresh.answer.header("www-authenticate")).toMatch(/acr_values="urn:mfa", max_age="600"$/);
  });
});

describe("floors", () => {
  const policyOf = async (method: string, path: string, headers: object): Promise<unknown> => {
    const answer = callOf(
      await send(
        { address: "127.0.0.1", port: chain.port },
        { method, path, host: "shop.test", headers: headers as Record<string, string> },
      ),
    );
    const problem: { policy?: unknown; rule?: unknown } = answer.status === 200 ? {} : answer.answer.problem();
    return [answer.status, problem.policy, problem.rule];
  };

  test("all must allow, and who refuses is named", async () => {
    expect(await policyOf("GET", "/floor", key("erp"))).toEqual([200, undefined, undefined]);
    expect(await policyOf("DELETE", "/floor", key("ann"))).toEqual([200, undefined, undefined]);
    expect(await policyOf("DELETE", "/floor", key("erp"))).toEqual([403, "shop/floor-0#authorization", "no-delete"]);
    expect(await policyOf("GET", "/floor", key("bob"))).toEqual([403, "shop/floor-0#authorization", undefined]);
    expect(await policyOf("GET", "/floor/closed/x", key("erp"))).toEqual([403, "shop/floor-1#authorization", "closed"]);
    expect(await policyOf("POST", "/floor", key("erp"))).toEqual([403, "shop/floor#authorization", undefined]);
  });
});

describe("Audit", () => {
  interface Logged {
    readonly path: string;
    readonly wouldDeny?: { readonly authz?: string };
    readonly policies?: { readonly authorization?: string };
    readonly reason: string;
  }
  const logged = async (path: string): Promise<Logged> => {
    await chain.envoy.admin.post("/reopen_logs"); // writes what is buffered
    return eventually(`a record of ${path}`, () => {
      const lines = chain.envoy.log().split("\n");
      const records = lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Logged);
      return Promise.resolve(records.find((record) => record.path === path));
    });
  };

  test("refuses nobody, and the record says whom it would", async () => {
    expect([await ask("GET", "/audit/denied"), await ask("POST", "/audit/allowed")]).toEqual([200, 200]);
    expect((await logged("/audit/denied")).wouldDeny?.authz).toBe("shop/audit#authorization/r");
    expect((await logged("/audit/allowed")).wouldDeny?.authz).toBeUndefined();
  });

  test("beside what is enforced, which the record names", async () => {
    await get("/none/logged");
    const { policies: named, reason } = await logged("/none/logged");
    expect(named?.authorization).toBe("shop/none#authorization");
    expect(reason).toContain("shop/none#authorization");
  });
});
