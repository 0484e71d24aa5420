/** Authorization through kubectl: every field of a rule, who is named, edits and grants on connections that are open, and what cannot be. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type RequestSpec, send } from "../client/http1.ts";
import { connectHttp2, type Http2Connection } from "../client/http2.ts";
import { createAuthority } from "../cluster/pki.ts";
import { eventually } from "../cluster/condition.ts";
import type { KubeObject } from "../harness/api.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { type Claims, claimsFor, createSigner, keySet } from "../material/jwt.ts";
import { bearer, keysIn, tokensOf, verdictOf } from "./authentication-manifest.ts";
import { apiPolicy, consumerOf } from "./policies-manifest.ts";
import { called, hostRoute, untilVerdict } from "./sections-manifest.ts";
import { clientPair, clientTls, httpsListener, overTls, serverSecret } from "./tls-manifest.ts";

const CORP = "https://sso.corp.test/realms/main";
const DEFAULT = "403 GW-AUTHZ-001";
const DENIED = "403 GW-AUTHZ-002";
const STEP_UP = "401 GW-AUTHZ-003";
const CLOSED = "503 GW-POLICY-002";
const REACH_MS = 2_000;
const key = (name: string): { readonly "x-api-key": string } => ({ "x-api-key": `k-${name}` });
const allow = (name: string, more: object = {}): object => ({ name, action: "Allow", ...more });
const deny = (name: string, more: object = {}): object => ({ name, action: "Deny", ...more });

describe("authorization", () => {
  const signer = createSigner("ES256");
  const servers = createAuthority("servers");
  const partners = createAuthority("partners");
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;

  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("authz");
    await shop.upstream("orders");
    await serverSecret(shop, "server", servers, ["*.tls.test"]);
    await shop.configMap("partner-ca", { "ca.crt": partners.certificate });
    await shop.configMap("corp-jwks", { "jwks.json": keySet(signer) });
    edge = await shop.gateway({
      listeners: [{ name: "http", port: 8080, protocol: "HTTP" }, httpsListener("https", 8443, "*.tls.test", "server")],
    });
    for (const [name, more] of Object.entries({
      erp: { roles: ["user"], attributes: { team: "north" } },
      ann: { roles: ["admin"], attributes: { team: "south" } },
      bob: {},
    })) {
      await shop.secret(`${name}-key`, { "api-key": `k-${name}` });
      await shop.apply(consumerOf(name, more));
    }
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const authentication = {
    apiKey: {},
    ...tokensOf(CORP, { rolesClaim: ["realm_access", "roles"], ...keysIn("corp-jwks") }),
  };
  const token = (more: Claims = {}) => bearer(signer.token(claimsFor(CORP, "shop", more)));
  const policy = (name: string, authorization: object, more: object = { authentication }) =>
    apiPolicy(name, { kind: "HTTPRoute", name }, { ...more, authorization });
  const enforce = (name: string, authorization: object) => shop.enforce([hostRoute(name), policy(name, authorization)]);
  const now = (): number => Math.floor(Date.now() / 1_000);

  it("decides by what is asked and who asks, the first rule that fits", async () => {
    const hour = new Date().getUTCHours();
    await enforce("rules", {
      rules: [
        deny("internals", { paths: ["/internal/**"] }),
        allow("read", { methods: ["GET", "HEAD"], paths: ["/orders/**", "/orders/{id}"], roles: ["user", "admin"] }),
        allow("write", {
          methods: ["POST"],
          scopes: ["orders:write"],
          claims: [{ provider: "corp", path: ["dept"], values: ["sales"] }],
        }),
        allow("bob", { consumers: ["bob"], paths: ["/bob"] }),
        allow("near", { sources: [...edge.clients], paths: ["/near"] }),
        allow("far", { sources: ["203.0.113.0/24"], paths: ["/far"] }),
        allow("hours", {
          paths: ["/now"],
          when: `request.time.getHours('UTC') in [${String(hour)}, ${String((hour + 1) % 24)}]`,
        }),
        allow("never", { paths: ["/never"], when: "request.time.getHours('Asia/Shanghai') > 23" }),
        allow("north", { paths: ["/north"], when: "consumer.attributes.team == 'north'" }),
        allow("strong", { paths: ["/pay"], mfa: { acr: ["urn:mfa"], amr: ["otp", "hwk"], maxAge: "10m" } }),
      ],
    });
    const strong = { acr: "urn:mfa", amr: ["pwd", "otp"], auth_time: now() };
    const sales = { dept: "sales", scope: "orders:read orders:write" };
    const calls = [
      [{ path: "/orders/7", headers: key("erp") }, "200"],
      [{ path: "/orders/7/items?x=1", headers: key("ann") }, "200"],
      [{ path: "/orders/7", headers: token({ realm_access: { roles: ["admin"] } }) }, "200"],
      [{ path: "/orders/7", headers: token({ roles: ["admin"] }) }, DEFAULT],
      [{ path: "/orders/7", headers: key("bob") }, DEFAULT],
      [{ path: "/ordersx", headers: key("erp") }, DEFAULT],
      [{ method: "DELETE", path: "/orders/7", headers: key("erp") }, DEFAULT],
      [{ method: "POST", path: "/orders", headers: token(sales) }, "200"],
      [{ method: "POST", path: "/orders", headers: token({ ...sales, scope: "orders:read" }) }, DEFAULT],
      [{ method: "POST", path: "/orders", headers: token({ ...sales, dept: "hr" }) }, DEFAULT],
      [{ path: "/bob", headers: key("bob") }, "200"],
      [{ path: "/bob", headers: key("erp") }, DEFAULT],
      [{ path: "/near", headers: key("bob") }, "200"],
      [{ path: "/far", headers: { ...key("bob"), "x-forwarded-for": "203.0.113.3" } }, DEFAULT],
      [{ path: "/now", headers: key("bob") }, "200"],
      [{ path: "/never", headers: key("bob") }, DEFAULT],
      [{ path: "/north", headers: key("erp") }, "200"],
      [{ path: "/north", headers: key("ann") }, DEFAULT],
      [{ path: "/pay", headers: token(strong) }, "200"],
      [{ path: "/pay", headers: token({ ...strong, auth_time: now() - 3_600 }) }, STEP_UP],
      [{ path: "/pay", headers: token({ ...strong, amr: ["pwd"] }) }, STEP_UP],
      [{ path: "/internal/x", headers: key("ann") }, DENIED],
      [{ path: "/orders/7" }, "401 GW-AUTHN-001"],
    ] as const;
    expect(await called(edge.target(), "rules.test", calls)).toEqual(calls);
  });

  it("names the policy and the rule, and says how to step up", async () => {
    const host = "rules.test";
    const denied = await send(edge.target(), { host, path: "/internal/x", headers: key("ann") });
    expect(denied.problem()).toMatchObject({ policy: `${shop.namespace}/rules#authorization`, rule: "internals" });
    const other = await send(edge.target(), { host, path: "/x", headers: key("ann") });
    expect(other.header("x-gatewarden-policy")).toBe(`${shop.namespace}/rules#authorization`);
    const weak = await send(edge.target(), { host, path: "/pay", headers: token() });
    expect(weak.header("www-authenticate")).toMatch(
      /^Bearer error="insufficient_user_authentication", .*acr_values="urn:mfa", max_age="600"$/,
    );
  });

  it("asks for names of the client's certificate", async () => {
    const client = {
      mtls: { client: { mode: "Optional", caRefs: [{ kind: "ConfigMap", name: "partner-ca", key: "ca.crt" }] } },
    };
    const identities = [
      { type: "Exact", san: "URI", value: "spiffe://cluster.local/ns/shop/sa/web" },
      { type: "Suffix", san: "DNS", value: ".partner.test" },
      { type: "Exact", san: "Email", value: "ops@partner.test" },
    ];
    await shop.enforce([
      apiPolicy("l-https", { kind: "Gateway", name: "edge", sectionName: "https" }, client),
      hostRoute("names", { hostnames: ["names.tls.test"], parentRefs: [{ name: "edge", sectionName: "https" }] }),
      policy(
        "names",
        { rules: [allow("partners", { identities })] },
        { authentication: { mode: "Public", reason: "rules ask" } },
      ),
    ]);
    const call = (more?: Parameters<typeof clientPair>[1]): Promise<string> => {
      const pair = more === undefined ? undefined : clientPair(partners, more);
      const tls = clientTls("names.tls.test", servers, pair);
      return overTls(edge.target({ port: 8443, tls }), { host: "names.tls.test" });
    };
    await eventually("the rule holds", async () => (await call({ dnsNames: ["erp.partner.test"] })) === "200");
    expect(await call({ uris: ["spiffe://cluster.local/ns/shop/sa/web"] })).toBe("200");
    expect(await call({ emails: ["ops@partner.test"] })).toBe("200");
    expect(await call({ uris: ["spiffe://cluster.local/ns/shop/sa/webx"] })).toBe(DEFAULT);
    expect(await call()).toBe(DEFAULT);
  });

  describe("on a connection that is open", () => {
    const held = async (host: string, headers: RequestSpec["headers"]) => {
      const connection: Http2Connection = await connectHttp2(edge.target());
      const ask = async (path = "/"): Promise<string> =>
        verdictOf(await connection.request({ host, path, ...(headers === undefined ? {} : { headers }) }));
      /** Milliseconds until the next request is answered so. */
      const until = async (expected: string): Promise<number> => {
        const start = performance.now();
        await eventually(`answered by ${expected}`, async () => (await ask()) === expected);
        return performance.now() - start;
      };
      return { ask, until, connection };
    };

    it("an edit of a rule holds for the next request", async () => {
      await enforce("edit", { rules: [allow("all")] });
      const { ask, until, connection } = await held("edit.test", key("erp"));
      expect(await ask()).toBe("200");
      await shop.apply(policy("edit", { rules: [deny("nobody")] }));
      expect(await until(DENIED)).toBeLessThan(REACH_MS);
      await shop.apply(policy("edit", { rules: [allow("users", { roles: ["user"] })] }));
      expect(await until("200")).toBeLessThan(REACH_MS);
      // The role is the consumer's: taking it away is enough.
      await shop.apply(consumerOf("erp", { roles: ["none"], attributes: { team: "north" } }));
      expect(await until(DEFAULT)).toBeLessThan(REACH_MS);
      await shop.apply(consumerOf("erp", { roles: ["user"], attributes: { team: "north" } }));
      expect(await until("200")).toBeLessThan(REACH_MS);
      expect(connection.closed()).toBe(false);
      connection.close();
    });

    it("a grant begins and ends", async () => {
      await enforce("export", { rules: [allow("export", { grant: "Required" })] });
      const { ask, until, connection } = await held("export.test", key("erp"));
      expect(await ask()).toBe(DEFAULT);
      const expiresAt = new Date(Date.now() + 3_600_000).toISOString(); // may only move earlier
      const grant = (revoked: boolean): KubeObject => ({
        apiVersion: "gatewarden.io/v1alpha1",
        kind: "ApiGrant",
        metadata: { name: "erp-export" },
        spec: {
          consumer: { name: "erp" },
          policy: { name: "export", rules: ["export"] },
          expiresAt,
          ...(revoked ? { revoked } : {}),
        },
      });
      await shop.apply(grant(false));
      expect(await until("200")).toBeLessThan(REACH_MS);
      expect((await called(edge.target(), "export.test", [[{ headers: key("ann") }, DEFAULT]]))[0]?.[1]).toBe(DEFAULT);
      await shop.apply(grant(true));
      expect(await until(DEFAULT)).toBeLessThan(REACH_MS);
      expect(connection.closed()).toBe(false);
      connection.close();
    });
  });

  describe("what cannot be", () => {
    it("an expression that Envoy does not evaluate: its place in the status, and the route is closed", async () => {
      const when = "request.method == 'GET' &&\n  request.headers['x-a'].lowerAscii() == 'b'";
      await shop.apply([hostRoute("typo"), policy("typo", { rules: [allow("r", { when })] })]);
      await shop.waitFor("ApiPolicy", "typo", "Accepted", {
        status: "False",
        reason: "Invalid",
        message: /spec\.authorization\.rules\[0\]\.when calls lowerAscii.*line 2, column 25/,
      });
      await untilVerdict(edge.target(), { host: "typo.test", headers: key("erp") }, CLOSED);
    });

    it("rules about callers where nobody is asked who he is", async () => {
      const open = { authentication: { mode: "Public", reason: "a test" } };
      const rules = { defaultAction: "Allow", rules: [deny("guests", { roles: ["guest"] })] };
      await shop.apply([hostRoute("nobody"), policy("nobody", rules, open)]);
      await shop.waitFor("ApiPolicy", "nobody", "Accepted", {
        status: "False",
        reason: "UnsupportedForTarget",
        message: /asks for roles, and no authentication says who is calling/,
      });
      await untilVerdict(edge.target(), { host: "nobody.test" }, CLOSED);
    });

    it("claims of a provider that the route does not take", async () => {
      const claims = [{ provider: "other", path: ["a"], values: ["b"] }];
      await shop.apply([hostRoute("provider"), policy("provider", { rules: [allow("r", { claims })] })]);
      await shop.waitFor("ApiPolicy", "provider", "Accepted", {
        status: "False",
        reason: "UnsupportedForTarget",
        message: /claims\[0\]\.provider/,
      });
    });
  });

  it("audited rules deny nobody and are enforced by one word", async () => {
    const rules = { rules: [allow("nobody", { consumers: ["ann"] })] };
    await shop.enforce([
      hostRoute("audited"),
      apiPolicy("audited", { kind: "HTTPRoute", name: "audited" }, { authentication }),
      apiPolicy("trial", { kind: "HTTPRoute", name: "audited" }, { mode: "Audit", authorization: rules }),
    ]);
    const request = { host: "audited.test", headers: key("erp") };
    await untilVerdict(edge.target(), request, "200");
    await shop.apply(
      apiPolicy("trial", { kind: "HTTPRoute", name: "audited" }, { mode: "Enforce", authorization: rules }),
    );
    await untilVerdict(edge.target(), request, DEFAULT);
  });
});
