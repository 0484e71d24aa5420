/** The keys of issuers over time: fetched, down, late, rotated, several at once, and from where they are never fetched. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, type RequestSpec, send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { upstreamAddress } from "../cluster/netns.ts";
import { createAuthority } from "../cluster/pki.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { type IssuerServer, startIssuer } from "../material/issuer.ts";
import { claimsFor, createSigner, keySet, type Signer } from "../material/jwt.ts";
import { bearer, guard, guarded, upstreamValues, verdictOf } from "./authentication-manifest.ts";

const REFUSED = "401 GW-AUTHN-002";
const NO_KEYS = "503 GW-AUTHN-005";
/** The operator tries again after 10 s where it has no keys at all. */
const RETRY_LIMIT_MS = 25_000;
/** How long what a grant allowed may stay in a proxy after the grant is gone (rules R38). */
const WITHDRAWAL_LIMIT_MS = 5_000;

describe("the keys of issuers", () => {
  const [first, second] = [createSigner("RS256", "first"), createSigner("RS256", "second")];
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  let late: IssuerServer;
  let steady: IssuerServer;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("keys");
    await shop.upstream("orders");
    edge = await shop.gateway();
    steady = await startServer();
    late = await startServer();
    late.fail(503);
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const startServer = async (options: Partial<Parameters<typeof startIssuer>[0]> = {}): Promise<IssuerServer> => {
    const base = { authority: harness.authority, address: upstreamAddress(), jwks: keySet(first) };
    const server = await startIssuer({ ...base, ...options });
    harness.atEnd(server.stop);
    return server;
  };
  const issuerOf = (server: Pick<IssuerServer, "issuer">, more: object = {}) => ({
    name: "main",
    issuer: server.issuer,
    audiences: ["shop"],
    ...more,
  });
  const withToken = (name: string, token: string): RequestSpec => ({ host: `${name}.test`, headers: bearer(token) });
  const tokenOf = (server: Pick<IssuerServer, "issuer">, signer: Signer = first): string =>
    signer.token(claimsFor(server.issuer, "shop"));
  const verdictAt = async (name: string, token: string): Promise<string> =>
    verdictOf(await send(edge.target(), withToken(name, token)));
  const becomes = (name: string, token: string, expected: string, limitMs = 10_000): Promise<boolean> =>
    eventually(
      `${expected} at ${name}`,
      async () => {
        const verdict = await verdictAt(name, token);
        if (verdict !== expected) throw new Error(verdict);
        return true;
      },
      { limitMs },
    );

  it("are fetched by discovery, from a URI, and through a Service with a CA of its own", async () => {
    await guard(shop, "discovery", { jwt: [issuerOf(steady)] });
    const corp = { issuer: "https://sso.corp.test" };
    await guard(shop, "uri", { jwt: [issuerOf(corp, { jwks: { type: "URI", uri: steady.jwksUri } })] });
    await becomes("discovery", tokenOf(steady), "200");
    await becomes("uri", tokenOf(corp), "200");
    expect(await verdictAt("discovery", tokenOf(corp))).toBe(REFUSED);

    const inside = createAuthority("inside");
    const hidden = await startServer({ authority: inside, host: "sso.inside.test" });
    await shop.configMap("inside-ca", { "ca.crt": inside.certificate });
    const sso = await harness.tenant("sso");
    await sso.apply(serviceOf(hidden));
    const backendRef = { name: "keycloak", namespace: sso.namespace, port: hidden.port };
    const caRefs = [{ kind: "ConfigMap", name: "inside-ca", key: "ca.crt" }];
    await shop.apply(guarded("inside", { jwt: [issuerOf(hidden, { jwks: { backendRef, caRefs } })] }));
    await shop.waitFor("ApiPolicy", "inside", "ResolvedRefs", { status: "False", reason: "RefNotPermitted" });
    await becomes("inside", tokenOf(hidden), "503 GW-POLICY-002");
    expect(hidden.asked()).toEqual([]);
    await sso.apply(grantTo(shop.namespace));
    await becomes("inside", tokenOf(hidden), "200");
    await shop.waitFor("ApiPolicy", "inside", "ResolvedRefs");
    expect(hidden.asked()).toEqual(["/.well-known/openid-configuration", "/keys"]);
    await sso.remove("ReferenceGrant", "jwks");
    await becomes("inside", tokenOf(hidden), "503 GW-POLICY-002", WITHDRAWAL_LIMIT_MS);
  });

  it("are refused from a server of another authority", async () => {
    const stranger = await startServer({ authority: createAuthority("stranger") });
    await shop.apply(guarded("stranger", { jwt: [issuerOf(stranger)] }));
    await shop.waitFor("ApiPolicy", "stranger", "Programmed");
    await shop.waitFor("ApiPolicy", "stranger", "ResolvedRefs", {
      status: "False",
      reason: "InvalidRef",
      message: /jwks was never fetched: .*jwks.caRefs.*503 GW-AUTHN-005/,
    });
    await shop.waitFor("ApiPolicy", "stranger", "Ready", { status: "False", reason: "InvalidRef" });
    expect([await verdictAt("stranger", tokenOf(stranger)), stranger.asked()]).toEqual([NO_KEYS, []]);
  });

  it("are never fetched from this machine or the node's network, whatever the URI says", async () => {
    const local = await startServer({ address: "127.0.0.1", host: "localhost" });
    const uris = [
      `https://127.0.0.1:${String(local.port)}/keys`,
      `https://localhost:${String(local.port)}/keys`,
      `https://[::ffff:127.0.0.1]:${String(local.port)}/keys`,
      `https://2130706433:${String(local.port)}/keys`,
      "https://169.254.169.254/latest/meta-data",
    ];
    for (const [at, uri] of uris.entries()) {
      await shop.apply(guarded(`local-${String(at)}`, { jwt: [issuerOf(local, { jwks: { type: "URI", uri } })] }));
    }
    for (const at of uris.keys()) {
      await shop.waitFor("ApiPolicy", `local-${String(at)}`, "Programmed");
      expect([uris[at], await verdictAt(`local-${String(at)}`, tokenOf(local))]).toEqual([uris[at], NO_KEYS]);
    }
    expect(local.asked()).toEqual([]);
  });

  it("make calls with a token 503 while they were never there, and nothing else; then they come", async () => {
    await shop.apply(guarded("late", { jwt: [issuerOf(late), issuerOf(steady, { name: "steady" })], apiKey: {} }));
    await shop.waitFor("ApiPolicy", "late", "Programmed");
    const refused = await send(edge.target(), withToken("late", tokenOf(late)));
    expect([verdictOf(refused), refused.problem().policy, refused.problem().detail]).toEqual([
      NO_KEYS,
      `${shop.namespace}/late#authentication`,
      expect.stringContaining("jwks-unavailable"),
    ]);
    expect(verdictOf(await send(edge.target(), { host: "late.test" }))).toBe("401 GW-AUTHN-001");
    expect(await verdictAt("late", "no.token.atall")).toMatch(/^(401|503) /);
    await becomes("late", tokenOf(steady), "200");
    expect(await verdictAt("discovery", tokenOf(steady))).toBe("200");
    await shop.waitFor("ApiPolicy", "late", "Ready", { status: "False", reason: "InvalidRef", message: /jwt\[0\]/ });
    late.fail(undefined);
    await becomes("late", tokenOf(late), "200", RETRY_LIMIT_MS);
    await shop.waitFor("ApiPolicy", "late", "Ready");
  });

  it("rotate: at once where they stand in an object, without a change of the route and on open connections", async () => {
    await shop.configMap("rotating", { keys: keySet(first) });
    const ref = { kind: "ConfigMap", name: "rotating", key: "keys" };
    const corp = { issuer: "https://sso.rotating.test" };
    await guard(shop, "rotating", { jwt: [issuerOf(corp, { jwks: { type: "Ref", ref } })] });
    const held = await connectHttp1(edge.target());
    const on = async (signer: Signer): Promise<string> =>
      verdictOf(await held.request(withToken("rotating", tokenOf(corp, signer))));
    expect([await on(first), await on(second)]).toEqual(["200", REFUSED]);
    await shop.configMap("rotating", { keys: keySet(first, second) });
    await eventually("both", async () => (await on(second)) === "200", { limitMs: 5_000 });
    expect(await on(first)).toBe("200");
    await shop.configMap("rotating", { keys: keySet(second) });
    await eventually("the old one refused", async () => (await on(first)) === REFUSED, { limitMs: 5_000 });
    expect([await on(second), held.closed()]).toEqual(["200", false]);
    held.close();
  });

  it("are not replaced by what is no key set, and the policy says so", async () => {
    await shop.configMap("rotating", { keys: "no json" });
    await shop.waitFor("ApiPolicy", "rotating", "ResolvedRefs", {
      status: "False",
      reason: "InvalidRef",
      message: /JSON/,
    });
    await becomes("rotating", tokenOf({ issuer: "https://sso.rotating.test" }, second), "503 GW-POLICY-002");
    await shop.configMap("rotating", { keys: keySet(second) });
    await becomes("rotating", tokenOf({ issuer: "https://sso.rotating.test" }, second), "200");
  });

  it("of two issuers decide for their own tokens only, each with its claims", async () => {
    const claims = (header: string) => ({ claimsToHeaders: [{ claim: "sub", header }] });
    const [corp, partner] = [{ issuer: "https://sso.corp.test" }, { issuer: "https://sso.partner.test" }];
    const inline = (signer: Signer) => ({ jwks: { type: "Inline", inline: keySet(signer) } });
    await guard(shop, "two", {
      jwt: [
        issuerOf(corp, { name: "corp", ...inline(first), ...claims("x-corp-user") }),
        issuerOf(partner, { name: "partner", ...inline(second), ...claims("x-partner-user") }),
      ],
    });
    const forged = { "x-corp-user": "forged", "x-partner-user": "forged" };
    const users = async (token: string): Promise<unknown> => {
      const answer = await send(edge.target(), { host: "two.test", headers: { ...bearer(token), ...forged } });
      return [upstreamValues(answer, "x-corp-user"), upstreamValues(answer, "x-partner-user")];
    };
    expect(await users(tokenOf(corp, first))).toEqual([["alice"], []]);
    expect(await users(tokenOf(partner, second))).toEqual([[], ["alice"]]);
    expect([await verdictAt("two", tokenOf(corp, second)), await verdictAt("two", tokenOf(partner, first))]).toEqual([
      REFUSED,
      REFUSED,
    ]);
  });

  it("stay in use when the issuer is gone, also for an operator that starts meanwhile; and rotate when it is back", async () => {
    steady.fail(500);
    await harness.operator.stop(0);
    expect(await verdictAt("discovery", tokenOf(steady))).toBe("200");
    await harness.operator.start();
    await shop.waitFor("ApiPolicy", "discovery", "Accepted", { status: "True", message: /not fetched/ });
    expect(await verdictAt("discovery", tokenOf(steady))).toBe("200");
    await edge.addProxy();
    // A proxy that knows nothing yet gets the last good keys too.
    for (let call = 0; call < 8; call++) expect(await verdictAt("discovery", tokenOf(steady))).toBe("200");
    steady.publish(keySet(second));
    steady.fail(undefined);
    await harness.operator.stop();
    await harness.operator.start();
    await becomes("discovery", tokenOf(steady, second), "200", RETRY_LIMIT_MS);
    await becomes("discovery", tokenOf(steady, first), REFUSED);
  });
});

function serviceOf({ address, port }: IssuerServer) {
  return [
    { apiVersion: "v1", kind: "Service", metadata: { name: "keycloak" }, spec: { ports: [{ name: "https", port }] } },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "keycloak-1", labels: { "kubernetes.io/service-name": "keycloak" } },
      addressType: "IPv4",
      ports: [{ name: "https", port }],
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
    },
  ];
}

function grantTo(namespace: string) {
  return {
    apiVersion: "gateway.networking.k8s.io/v1beta1",
    kind: "ReferenceGrant",
    metadata: { name: "jwks" },
    spec: { from: [{ group: "gatewarden.io", kind: "ApiPolicy", namespace }], to: [{ group: "", kind: "Service" }] },
  };
}
