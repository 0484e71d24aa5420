/** Tokens: where the keys come from, which tokens are good, and what the upstream is told of them. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type RequestSpec, send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { type Claims, claimsFor, confusedToken, createSigner, keySet, unsignedToken } from "../material/jwt.ts";
import type { EchoUpstream } from "../upstream/echo.ts";
import {
  bearer,
  guard,
  hmacToken,
  keysIn,
  tokenAs,
  tokensOf,
  upstreamValues,
  verdictOf,
  verdicts,
} from "./authentication-manifest.ts";

const CORP = "https://sso.corp.test/realms/main";
const NO_CREDENTIAL = "401 GW-AUTHN-001";
const REFUSED = "401 GW-AUTHN-002";
const EXPIRED = "401 GW-AUTHN-004";
const HOUR_S = 3_600;
const now = (): number => Math.floor(Date.now() / 1_000);

describe("tokens", () => {
  const signers = {
    RS256: createSigner("RS256"),
    PS256: createSigner("PS256"),
    ES256: createSigner("ES256"),
    EdDSA: createSigner("EdDSA"),
    RS384: createSigner("RS384"),
    RS512: createSigner("RS512"),
    ES384: createSigner("ES384"),
  } as const;
  const { RS256: rsa, ES256: ec } = signers;
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  let orders: EchoUpstream;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("jwt");
    orders = await shop.upstream("orders");
    edge = await shop.gateway();
    await shop.configMap("corp-jwks", { "jwks.json": keySet(...Object.values(signers)) });
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const corp = (more: object = {}) => tokensOf(CORP, { ...keysIn("corp-jwks"), ...more });
  const claims = (more: Claims = {}): Claims => claimsFor(CORP, "shop", more);
  const to = (name: string, headers: RequestSpec["headers"] = {}, path = "/"): RequestSpec => ({
    host: `${name}.test`,
    path,
    headers,
  });
  const withToken = (name: string, token: string): RequestSpec => to(name, bearer(token));
  const verdictAt = async (name: string, token: string): Promise<string> =>
    verdictOf(await send(edge.target(), withToken(name, token)));
  it("takes the algorithms of the default list and no other, whatever the key set holds", async () => {
    await guard(shop, "default", corp());
    const requests = Object.values(signers).map(
      ({ algorithm, token }) => [algorithm, withToken("default", token(claims()))] as const,
    );
    expect(await verdicts(edge.target(), Object.fromEntries(requests))).toEqual({
      RS256: "200",
      PS256: "200",
      ES256: "200",
      EdDSA: "200",
      RS384: REFUSED,
      RS512: REFUSED,
      ES384: REFUSED,
    });
  });

  it("refuses what is no token of that issuer for that audience now", async () => {
    const stranger = createSigner("RS256");
    const header = (more: Readonly<Record<string, string | undefined>>): string => rsa.token(claims(), more);
    const [head = "", payload = "", signature = ""] = rsa.token(claims()).split(".");
    const forged = Buffer.from(JSON.stringify(claims({ sub: "root" }))).toString("base64url");
    const { exp: _, ...endless } = claims();
    const bad: Readonly<Record<string, readonly [expected: string, token: string]>> = {
      "no signature": [REFUSED, unsignedToken(claims())],
      "an empty signature": [REFUSED, `${head}.${payload}.`],
      "another payload": [REFUSED, `${head}.${forged}.${signature}`],
      "HS256 with the public key as secret": [REFUSED, confusedToken(rsa, claims())],
      "a stranger's key under a known kid": [REFUSED, stranger.token(claims(), { kid: rsa.keyId })],
      "a stranger's key": [REFUSED, stranger.token(claims(), { kid: "strange" })],
      "a kid of another key": [REFUSED, header({ kid: ec.keyId })],
      "PS256 with the key for RS256": [REFUSED, tokenAs("PS256", rsa, claims())],
      "RS512 with the key for RS256": [REFUSED, tokenAs("RS512", rsa, claims())],
      "a key that the token brings along": [
        REFUSED,
        stranger.token(claims(), { jwk: JSON.stringify(stranger.jwk), jku: "https://evil.test/keys", kid: undefined }),
      ],
      "another issuer": [REFUSED, rsa.token(claims({ iss: "https://sso.corp.test/realms/other" }))],
      "no issuer": [REFUSED, rsa.token(claims({ iss: undefined }))],
      "another audience": [REFUSED, rsa.token(claims({ aud: "bank" }))],
      "no audience": [REFUSED, rsa.token(claims({ aud: undefined }))],
      "no exp": [REFUSED, rsa.token(endless)],
      "an exp of text": [REFUSED, rsa.token(claims({ exp: String(now() + HOUR_S) }))],
      "an exp in the past": [EXPIRED, rsa.token(claims({ exp: now() - 120 }))],
      "an nbf in the future": [REFUSED, rsa.token(claims({ nbf: now() + 120 }))],
      "two parts": [REFUSED, `${head}.${payload}`],
      "five parts": [REFUSED, `${head}.${payload}.${signature}.a.b`],
      "no base64": [REFUSED, "!.!.!"],
      nothing: [NO_CREDENTIAL, ""],
    };
    const requests = Object.entries(bad).map(([name, [, token]]) => [name, withToken("default", token)] as const);
    const expected = Object.entries(bad).map(([name, [verdict]]) => [name, verdict]);
    expect(await verdicts(edge.target(), Object.fromEntries(requests))).toEqual(Object.fromEntries(expected));
    const refused = await send(edge.target(), withToken("default", unsignedToken(claims())));
    expect(refused.header("x-gatewarden-policy")).toBe(`${shop.namespace}/default#authentication`);
    expect(refused.header("www-authenticate")).toMatch(/^Bearer realm=/);
  });

  it("takes what is good in other spellings", async () => {
    const token = rsa.token(claims({ aud: ["bank", "shop"] }));
    const missing = await send(edge.target(), to("default"));
    expect([verdictOf(missing), missing.problem().policy]).toEqual([
      NO_CREDENTIAL,
      `${shop.namespace}/default#authentication`,
    ]);
    expect(
      await verdicts(edge.target(), {
        "several audiences": withToken("default", token),
        "the scheme in small letters": to("default", { authorization: `bearer ${token}` }),
        "the scheme in capitals": to("default", { AUTHORIZATION: `BEARER ${token}` }),
        "no kid": withToken("default", rsa.token(claims(), { kid: undefined })),
        "a used token again": withToken("default", token),
        "within the clock skew": withToken("default", rsa.token(claims({ exp: now() - 10 }))),
      }),
    ).toEqual({
      "several audiences": "200",
      "the scheme in small letters": "200",
      "the scheme in capitals": "200",
      "no kid": "200",
      "a used token again": "200",
      "within the clock skew": "200",
    });
  });

  it("keeps to the algorithms, skew and absence of audiences that the policy writes", async () => {
    const pinned = JSON.stringify({ keys: [{ ...rsa.jwk, alg: undefined }, ec.jwk] });
    await guard(shop, "inline", corp({ algorithms: ["RS512"], jwks: { type: "Inline", inline: pinned } }));
    await guard(shop, "lenient", corp({ clockSkew: "10m", audiences: undefined }));
    await guard(shop, "strict", corp({ clockSkew: "0s" }));
    expect(
      await verdicts(edge.target(), {
        "RS512 where it is listed": withToken("inline", tokenAs("RS512", rsa, claims())),
        "RS256 where only RS512 is": withToken("inline", tokenAs("RS256", rsa, claims())),
        "PS256 where only RS512 is": withToken("inline", tokenAs("PS256", rsa, claims())),
        "ES256 where only RS512 is": withToken("inline", ec.token(claims())),
        "five minutes late, ten allowed": withToken("lenient", rsa.token(claims({ exp: now() - 300 }))),
        "any audience where none is written": withToken("lenient", rsa.token(claims({ aud: "bank" }))),
        "five seconds late, none allowed": withToken("strict", rsa.token(claims({ exp: now() - 5 }))),
      }),
    ).toEqual({
      "RS512 where it is listed": "200",
      "RS256 where only RS512 is": REFUSED,
      "PS256 where only RS512 is": REFUSED,
      "ES256 where only RS512 is": REFUSED,
      "five minutes late, ten allowed": "200",
      "any audience where none is written": "200",
      "five seconds late, none allowed": EXPIRED,
    });
  });

  it("refuses a token that ends while its connection is open, also one that was good before", async () => {
    const short = rsa.token(claims({ exp: now() + 2 }));
    expect(await verdictAt("strict", short)).toBe("200");
    await eventually("expired", async () => (await verdictAt("strict", short)) === EXPIRED, { limitMs: 8_000 });
  });

  it("takes HS256 only with a key out of a Secret", async () => {
    const secret = Buffer.from("0123456789abcdef0123456789abcdef");
    const keys = JSON.stringify({ keys: [{ kty: "oct", k: secret.toString("base64url"), kid: "s" }] });
    await shop.secret("hs", { jwks: keys });
    const ref = { kind: "Secret", name: "hs", key: "jwks" };
    await guard(shop, "hs", corp({ algorithms: ["HS256"], jwks: { type: "Ref", ref } }));
    expect(
      await verdicts(edge.target(), {
        "the secret": withToken("hs", hmacToken(secret, claims(), "s")),
        "another secret": withToken("hs", hmacToken(Buffer.from("guess"), claims(), "s")),
        RS256: withToken("hs", rsa.token(claims())),
      }),
    ).toEqual({ "the secret": "200", "another secret": REFUSED, RS256: REFUSED });
  });

  it("finds tokens where the policy says, and hides them from the upstream", async () => {
    const from = {
      headers: [{ name: "x-token" }, { name: "x-pre", prefix: "Token " }],
      params: ["access_token"],
      cookies: ["sid"],
    };
    await guard(shop, "places", corp({ from, claimsToHeaders: [{ claim: "sub", header: "x-user-id" }] }));
    await guard(shop, "forward", corp({ from, forwardToken: true }));
    const token = rsa.token(claims());
    const carriers: Readonly<Record<string, (name: string, token: string) => RequestSpec>> = {
      header: (name, value) => to(name, { "x-token": value }),
      "header with a prefix": (name, value) => to(name, { "x-pre": `Token ${value}` }),
      parameter: (name, value) => to(name, {}, `/a?b=1&access_token=${value}&c=2`),
      cookie: (name, value) => to(name, { cookie: `a=1; sid=${value}; b=2` }),
    };
    for (const [carrier, request] of Object.entries(carriers)) {
      const answer = await send(edge.target(), request("places", token));
      expect([carrier, verdictOf(answer)]).toEqual([carrier, "200"]);
      expect([carrier, answer.body.includes(token.slice(-20)), upstreamValues(answer, "x-user-id")]).toEqual([
        carrier,
        false,
        ["alice"],
      ]);
      const forwarded = await send(edge.target(), request("forward", token));
      expect([carrier, forwarded.status, forwarded.body.includes(token)]).toEqual([carrier, 200, true]);
      expect([carrier, verdictOf(await send(edge.target(), request("places", `${token}x`)))]).toEqual([
        carrier,
        REFUSED,
      ]);
    }
    const kept = await send(edge.target(), carriers["cookie"]?.("places", token) ?? {});
    expect(upstreamValues(kept, "cookie")).toEqual(["a=1; b=2"]);
    expect(await verdictAt("places", token)).toBe(NO_CREDENTIAL);
  });

  it("tells the upstream claims as they are, and only those of the token", async () => {
    const headers = [
      "sub",
      "email",
      "level",
      "ratio",
      "balance",
      "admin",
      "groups",
      "address",
      "realm_access.roles",
      "none",
    ];
    const claimsToHeaders = headers.map((claim) => ({ claim, header: `x-claim-${claim.replace(/[._]/g, "-")}` }));
    await guard(shop, "claims", corp({ claimsToHeaders }));
    const told = {
      sub: "alice",
      email: "älice@corp.test",
      level: 42,
      ratio: 1.5,
      balance: -3,
      admin: true,
      groups: ["a", "b"],
      address: { city: "Köln" },
      realm_access: { roles: ["user"] },
    };
    const answer = await send(edge.target(), {
      ...withToken("claims", ec.token(claims(told))),
      headers: [
        ...Object.entries(bearer(ec.token(claims(told)))),
        ...claimsToHeaders.map(({ header }) => [header, "forged"] as const),
        ...claimsToHeaders.map(({ header }) => [header.toUpperCase(), "forged too"] as const),
      ],
    });
    const value = (name: string): readonly string[] => upstreamValues(answer, `x-claim-${name}`);
    const json = (name: string): unknown =>
      JSON.parse(Buffer.from(value(name)[0] ?? "", "base64url").toString("utf8")) as unknown;
    expect(["sub", "level", "ratio", "balance", "admin", "none"].map(value)).toEqual([
      ["alice"],
      ["42"],
      ["1.5"],
      ["-3"],
      ["true"],
      [],
    ]);
    expect(Buffer.from(value("email")[0] ?? "", "latin1").toString("utf8")).toBe("älice@corp.test");
    expect([json("groups"), json("address"), json("realm-access-roles")]).toEqual([
      ["a", "b"],
      { city: "Köln" },
      ["user"],
    ]);
  });

  it("lets no claim break out of its header", async () => {
    const evil = ["a\r\nx-admin: yes", "a\nx-admin: yes", "a\u0000b", "a\rb"];
    for (const [at, sub] of evil.entries()) {
      const path = `/breaking-out-${String(at)}`;
      const answer = await send(edge.target(), { ...withToken("claims", rsa.token(claims({ sub }))), path });
      const reached = orders.received().filter((echo) => echo.path === path);
      expect([sub, verdictOf(answer), reached]).toEqual([sub, REFUSED, []]);
    }
  });
});
