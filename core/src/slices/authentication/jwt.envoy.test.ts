/** Tokens on a real Envoy: what passes, what does not, and what the upstream sees. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { bearer, call, type Call, startPolicies, translate, type Policies } from "../../../test/authentication.ts";
import type { Chain } from "../../../test/chain.ts";
import { createKeys, type Header, jwk, keySet, type SigningKey, token } from "../../../test/tokens.ts";

const CORP = "https://sso.corp.test/realms/main";
const PARTNER = "https://partner.test";
const keys = createKeys();
const corpKeys = keySet(
  jwk(keys.rsa, { kid: "rsa" }),
  jwk(keys.p256, { kid: "p256", use: "sig" }),
  jwk(keys.p384, { kid: "p384" }),
  jwk(keys.p521, { kid: "p521" }),
  jwk(keys.ed25519, { kid: "ed" }),
);

const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;
const claims = (more: object = {}): object => ({ iss: CORP, aud: "shop", sub: "alice", exp: inSeconds(600), ...more });
const signed = (
  more: object = {},
  header: Header = { alg: "RS256", kid: "rsa" },
  key: SigningKey = keys.rsa.privateKey,
): string => token(header, claims(more), key);

const SECRET = Buffer.alloc(48, "s").toString("base64url");
const inline = { type: "Inline", inline: corpKeys } as const;
const corp = { name: "corp", issuer: CORP, audiences: ["shop"], jwks: inline } as const;
const claimsToHeaders = [
  { claim: "sub", header: "x-user-id" },
  { claim: "org.id", header: "x-org" },
  { claim: "n", header: "x-number" },
  { claim: "b", header: "x-flag" },
  { claim: "list", header: "x-list" },
  { claim: "https://corp.test/dept", header: "x-dept" },
];
const allPlaces = {
  headers: [{ name: "authorization", prefix: "Bearer " }],
  params: ["access_token"],
  cookies: ["sid"],
};

const policies: Policies = {
  "/default": { spec: { jwt: [{ ...corp, claimsToHeaders }] } },
  "/wide": {
    spec: { jwt: [{ ...corp, algorithms: ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES384", "ES512"] }] },
  },
  "/rs256": { spec: { jwt: [{ ...corp, algorithms: ["RS256"] }] } },
  "/any-audience": { spec: { jwt: [{ name: "corp", issuer: CORP, jwks: inline, clockSkew: "0s" }] } },
  "/secret": {
    spec: {
      jwt: [
        {
          ...corp,
          algorithms: ["HS256"],
          jwks: { type: "Ref", ref: { kind: "Secret", name: "hmac", key: "jwks.json" } },
        },
      ],
    },
  },
  "/places": { spec: { jwt: [{ ...corp, from: allPlaces }] } },
  "/forward": { spec: { jwt: [{ ...corp, from: allPlaces, forwardToken: true }] } },
  "/bare": { spec: { jwt: [{ ...corp, from: { headers: [{ name: "x-token" }] } }] } },
  "/bare-forward": { spec: { jwt: [{ ...corp, from: { headers: [{ name: "x-token" }] }, forwardToken: true }] } },
  "/issuers": {
    spec: {
      jwt: [
        {
          ...corp,
          claimsToHeaders: [
            { claim: "sub", header: "x-user-id" },
            { claim: "https://corp.test/dept", header: "x-dept" },
          ],
        },
        {
          name: "partner",
          issuer: PARTNER,
          jwks: { type: "URI", uri: "https://partner.test/jwks" },
          claimsToHeaders: [{ claim: "upn", header: "x-user-id" }],
        },
        { name: "absent", issuer: "https://absent.test" },
      ],
    },
  },
  "/optional": {
    spec: { mode: "Optional", jwt: [{ ...corp, claimsToHeaders: [{ claim: "sub", header: "x-user-id" }] }] },
  },
  "/public": { spec: { mode: "Public", reason: "a probe" } },
};
const world = {
  values: { "Secret/shop/hmac/jwks.json": keySet({ kty: "oct", k: SECRET }) },
  jwks: { "https://partner.test/jwks": { jwks: keySet(jwk(keys.otherRsa, { alg: "RS256" })) } },
};

let chain: Chain;
beforeAll(async () => {
  chain = await startPolicies(policies, world);
}, 60_000);
afterAll(() => chain.stop());

const ask = (path: string, jwt: string): Promise<Call> => call(chain, path, bearer(jwt));

describe("a good token", () => {
  test.each([
    ["RS256", "rsa", keys.rsa.privateKey],
    ["PS256", "rsa", keys.rsa.privateKey],
    ["ES256", "p256", keys.p256.privateKey],
    ["EdDSA", "ed", keys.ed25519.privateKey],
  ])("of a default algorithm passes: %s", async (alg, kid, key) => {
    expect(await ask("/default", signed({}, { alg, kid }, key))).toMatchObject({ status: 200 });
  });

  test.each([
    ["RS384", "rsa", keys.rsa.privateKey],
    ["RS512", "rsa", keys.rsa.privateKey],
    ["PS384", "rsa", keys.rsa.privateKey],
    ["PS512", "rsa", keys.rsa.privateKey],
    ["ES384", "p384", keys.p384.privateKey],
    ["ES512", "p521", keys.p521.privateKey],
  ])("of an algorithm that is asked for passes, and else not: %s", async (alg, kid, key) => {
    const jwt = signed({}, { alg, kid }, key);
    expect(await ask("/wide", jwt)).toMatchObject({ status: 200 });
    expect(await ask("/default", jwt)).toMatchObject({ status: 401, code: "GW-AUTHN-002" });
  });

  test("needs no kid; its scheme may be all lower or all upper case", async () => {
    const jwt = signed({}, { alg: "RS256" });
    for (const scheme of ["Bearer", "bearer", "BEARER"]) {
      expect(await call(chain, "/default", { authorization: `${scheme} ${jwt}` })).toMatchObject({ status: 200 });
    }
    expect(await call(chain, "/default", { authorization: `BeArEr ${jwt}` })).toMatchObject({ status: 401 });
  });

  test("may have been signed with a secret from a Secret", async () => {
    const jwt = signed({}, { alg: "HS256" }, Buffer.from(SECRET, "base64url"));
    expect(await ask("/secret", jwt)).toMatchObject({ status: 200 });
  });

  test("may be a little late within the clock skew", async () => {
    expect(await ask("/default", signed({ exp: inSeconds(-15) }))).toMatchObject({ status: 200 });
    expect(await ask("/any-audience", signed({ exp: inSeconds(-15) }))).toMatchObject({
      status: 401,
      code: "GW-AUTHN-004",
    });
  });

  test("may name several audiences, or any where none is asked for", async () => {
    expect(await ask("/default", signed({ aud: ["other", "shop"] }))).toMatchObject({ status: 200 });
    expect(await ask("/any-audience", signed({ aud: "other" }))).toMatchObject({ status: 200 });
  });
});

describe("a bad token is refused with 401", () => {
  const forged = Buffer.from(JSON.stringify({ alg: "RS256", kid: "rsa" })).toString("base64url");
  test.each<[string, () => string]>([
    ["wrong audience", () => signed({ aud: "other" })],
    ["no audience", () => signed({ aud: undefined })],
    ["wrong issuer", () => signed({ iss: PARTNER })],
    ["no issuer", () => signed({ iss: undefined })],
    ["no exp", () => signed({ exp: undefined })],
    ["not yet valid", () => signed({ nbf: inSeconds(300) })],
    ["another's key", () => signed({}, { alg: "RS256", kid: "rsa" }, keys.otherRsa.privateKey)],
    ["kid of another key", () => signed({}, { alg: "RS256", kid: "p256" })],
    ["unknown kid", () => signed({}, { alg: "RS256", kid: "../../rsa" })],
    ["alg none", () => token({ alg: "none" }, claims(), "")],
    ["alg None", () => token({ alg: "None" }, claims(), "")],
    ["alg none with a signature", () => `${token({ alg: "none" }, claims(), "")}c2ln`],
    [
      "HS256 with the public key as PEM",
      () => signed({}, { alg: "HS256", kid: "rsa" }, keys.rsa.publicKey.export({ type: "spki", format: "pem" })),
    ],
    [
      "HS256 with the public key as DER",
      () => signed({}, { alg: "HS256" }, keys.rsa.publicKey.export({ type: "spki", format: "der" })),
    ],
    ["a key of its own in jwk", () => signed({}, { alg: "RS256", jwk: jwk(keys.otherRsa) }, keys.otherRsa.privateKey)],
    ["a key of its own in jku", () => signed({}, { alg: "RS256", jku: "http://127.0.0.1/" }, keys.otherRsa.privateKey)],
    ["changed claims", () => `${forged}.${Buffer.from(JSON.stringify(claims())).toString("base64url")}.AAAA`],
    ["not a token", () => "garbage"],
    ["empty parts", () => ".."],
  ])("%s", async (_, make) => {
    const refused = await ask("/default", make());
    expect(refused).toMatchObject({ status: 401, code: "GW-AUTHN-002", seen: undefined });
    expect(refused.answer.header("x-gatewarden-policy")).toBe("shop/default#authentication");
    expect(refused.answer.header("www-authenticate")).toBe('Bearer realm="shop/default"');
  });

  test("expired, with a code of its own", async () => {
    expect(await ask("/default", signed({ exp: inSeconds(-60) }))).toMatchObject({ status: 401, code: "GW-AUTHN-004" });
  });

  test("none at all", async () => {
    const refused = await call(chain, "/default");
    expect(refused).toMatchObject({ status: 401, code: "GW-AUTHN-001" });
    expect(refused.answer.problem()).toMatchObject({ status: 401, policy: "shop/default#authentication" });
  });

  test("HS* where only public keys are, whatever the key", async () => {
    expect(await ask("/rs256", signed({}, { alg: "PS256", kid: "rsa" }))).toMatchObject({ status: 401 });
    const confused = signed({}, { alg: "RS256" });
    expect(await ask("/secret", confused)).toMatchObject({ status: 401 });
  });
});

describe("where the token may be", () => {
  test.each(["/places", "/forward"])("each place of %s is looked at", async (path) => {
    expect(await ask(path, signed())).toMatchObject({ status: 200 });
    expect(await call(chain, `${path}?access_token=${signed()}`)).toMatchObject({ status: 200 });
    expect(await call(chain, path, { cookie: `a=1; sid=${signed()}; b=2` })).toMatchObject({ status: 200 });
    expect(await call(chain, path)).toMatchObject({ status: 401, code: "GW-AUTHN-001" });
    expect(await call(chain, path, { "x-token": signed() })).toMatchObject({ status: 401, code: "GW-AUTHN-001" });
  });

  test("the first place that holds one decides, also when another holds a good one", async () => {
    expect(await call(chain, `/places?access_token=${signed()}`, bearer("bad"))).toMatchObject({ status: 401 });
    expect(await call(chain, "/places?access_token=bad", { cookie: `sid=${signed()}` })).toMatchObject({ status: 401 });
    expect(await call(chain, "/places?access_token=bad", bearer(signed()))).toMatchObject({ status: 200 });
  });

  test("a header without a prefix", async () => {
    expect(await call(chain, "/bare", { "x-token": signed() })).toMatchObject({ status: 200 });
    expect(await ask("/bare", signed())).toMatchObject({ status: 401 });
  });

  test("the upstream sees no token, wherever it was", async () => {
    const everywhere = [
      ["authorization", `Bearer ${signed()}`],
      ["cookie", "sid=x; a=1; sid=y; b=2"],
    ] as const;
    const { seen, upstream } = await call(chain, "/places?access_token=x&a=1&access%5ftoken=y", everywhere);
    expect(upstream("authorization")).toEqual([]);
    expect(upstream("cookie")).toEqual(["a=1; b=2"]);
    expect(seen?.path).toBe("/places?a=1");
    expect((await call(chain, "/places", { cookie: `sid=${signed()}` })).upstream("cookie")).toEqual([]);
    expect((await call(chain, `/places?access_token=${signed()}`)).seen?.path).toBe("/places");
    expect((await call(chain, "/bare", { "x-token": signed() })).upstream("x-token")).toEqual([]);
  });

  test("forwardToken forwards the token that was verified, and no other credential", async () => {
    const jwt = signed();
    const forwarded = await call(chain, "/forward?access_token=unverified", [
      ["authorization", `Bearer ${jwt}`],
      ["cookie", "sid=unverified; a=1"],
    ]);
    expect(forwarded.upstream("authorization")).toEqual([`Bearer ${jwt}`]);
    expect(forwarded.upstream("cookie")).toEqual(["a=1"]);
    expect(forwarded.seen?.path).toBe("/forward");
    const second = await call(chain, "/forward", { cookie: `a=1; sid=${jwt}` });
    expect(second.upstream("cookie")).toEqual([`a=1; sid=${jwt}`]);
    // Behind another scheme the upstream would read what nobody verified.
    expect(await call(chain, "/forward", { authorization: `Token forged,Bearer ${jwt}` })).toMatchObject({
      status: 401,
    });
    const [good, forged] = [`Bearer ${jwt}`, "Bearer forged"];
    for (const values of [
      [good, forged],
      [forged, good],
      ["Token forged", good],
    ]) {
      const copies = values.map((value) => ["authorization", value] as const);
      expect(await call(chain, "/forward", copies)).toMatchObject({ status: 401, seen: undefined });
    }
    const copies = (...values: readonly string[]) => values.map((value) => ["x-token", value] as const);
    expect((await call(chain, "/bare-forward", copies(jwt, "forged"))).upstream("x-token")).toEqual([jwt]);
    expect(await call(chain, "/bare-forward", copies("forged", jwt))).toMatchObject({ status: 401, seen: undefined });
  });
});

describe("identity headers", () => {
  test("text, numbers and booleans arrive as text, lists and objects as base64url JSON", async () => {
    const { upstream } = await ask(
      "/default",
      signed({ sub: "zoë", org: { id: "o1" }, n: 42, b: true, list: ["a", 1] }),
    );
    expect(Buffer.from(upstream("x-user-id")[0] ?? "", "latin1").toString("utf8")).toBe("zoë");
    expect(upstream("x-org")).toEqual(["o1"]);
    expect(upstream("x-number")).toEqual(["42"]);
    expect(upstream("x-flag")).toEqual(["true"]);
    expect(JSON.parse(Buffer.from(upstream("x-list")[0] ?? "", "base64url").toString())).toEqual(["a", 1]);
  });

  test("numbers arrive as JSON writes them", async () => {
    const numbers = [
      1.5, -3, 0, -0.25, 0.1, 1e-6, 1.25e-7, -1e20, 1e21, 1.5e22, -123456789012345680, 1234567.891, 4294967296,
    ];
    const told = await Promise.all(
      numbers.map(async (n) => (await ask("/default", signed({ n }))).upstream("x-number")),
    );
    expect(told).toEqual(numbers.map((n) => [JSON.stringify(n)]));
    // Text is nobody's number.
    expect((await ask("/default", signed({ n: "1.500000" }))).upstream("x-number")).toEqual(["1.500000"]);
  });

  test("claims whose names hold dots arrive like others", async () => {
    const dept = async (value: unknown): Promise<readonly string[]> =>
      (await ask("/default", signed({ "https://corp.test/dept": value, https: { "//corp": "none" } }))).upstream(
        "x-dept",
      );
    const texts = ["sales", "1.500000", 7, 1.5, true, false];
    expect(await Promise.all(texts.map(dept))).toEqual(texts.map((text) => [String(text)]));
    const documents = [["a", 1, -0.5], { roles: ['a"\\\n\u0001é'], b: { c: true } }, [[1, 2], []], ["ab"], ["abc"]];
    for (const document of documents) {
      const [text = ""] = await dept(document);
      expect([text.length % 4, JSON.parse(Buffer.from(text, "base64url").toString())]).toEqual([0, document]);
    }
    expect(await dept(undefined)).toEqual([]);
    expect(await dept("")).toEqual([]);
    const forged = [
      ["authorization", `Bearer ${signed()}`],
      ["x-dept", "forged"],
    ] as const;
    expect((await call(chain, "/default", forged)).upstream("x-dept")).toEqual([]);
    const unfit = { status: 401, code: "GW-AUTHN-002", seen: undefined };
    expect(await ask("/default", signed({ "https://corp.test/dept": "a\r\nx-org: root" }))).toMatchObject(unfit);
  });

  const spoofs = [
    ["plain", [["x-user-id", "root"]]],
    ["capitals", [["X-User-ID", "root"]]],
    [
      "twice",
      [
        ["x-user-id", "root"],
        ["x-user-id", "admin"],
      ],
    ],
    [
      "internal",
      [
        ["x-gatewarden-claim-user-id", "root"],
        ["x-gatewarden-consumer", "shop/root"],
        ["x-gatewarden-user", "root"],
      ],
    ],
  ] as const;
  test.each(spoofs)("a client's own copy is gone: %s", async (_, headers) => {
    const authorization = ["authorization", `Bearer ${signed()}`] as const;
    expect((await call(chain, "/default", [...headers, authorization])).upstream("x-user-id")).toEqual(["alice"]);
    const without = ["authorization", `Bearer ${signed({ sub: undefined })}`] as const;
    expect((await call(chain, "/default", [...headers, without])).upstream("x-user-id")).toEqual([]);
    for (const path of ["/optional", "/public"]) {
      const { status, upstream, seen } = await call(chain, path, headers);
      expect({ status, id: upstream("x-user-id") }).toEqual({ status: 200, id: [] });
      expect(seen?.headers.filter(([name]) => name.toLowerCase().startsWith("x-gatewarden-"))).toEqual([]);
    }
  });

  test("with underscores the request is refused", async () => {
    expect(await call(chain, "/public", { x_user_id: "root" })).toMatchObject({ status: 400, seen: undefined });
  });

  test.each(["a\r\nx-org: root", "a\nb", "a\rb", "a\u0000b", "\u001b[31m", "\u007f", "ä\n"])(
    "a claim that no header can hold is refused: %j",
    async (sub) => {
      const problem = { status: 401, code: "GW-AUTHN-002", seen: undefined };
      expect(await ask("/default", signed({ sub }))).toMatchObject(problem);
      expect(await ask("/default", signed({ org: { id: sub } }))).toMatchObject(problem);
      expect(await ask("/optional", signed({ sub }))).toMatchObject(problem);
      // Nobody is told of it.
      expect(await ask("/wide", signed({ sub }))).toMatchObject({ status: 200 });
    },
  );

  test("a tab may stand in a claim", async () => {
    expect((await ask("/default", signed({ sub: "a\tb" }))).upstream("x-user-id")).toEqual(["a\tb"]);
  });

  test("internal headers never reach the upstream", async () => {
    const { seen } = await ask("/default", signed());
    expect(seen?.headers.filter(([name]) => name.toLowerCase().startsWith("x-gatewarden-"))).toEqual([]);
  });
});

describe("several issuers", () => {
  const partner = (more: object = {}): string =>
    token({ alg: "RS256" }, { iss: PARTNER, exp: inSeconds(60), upn: "bob", ...more }, keys.otherRsa.privateKey);

  test("each token is measured by its issuer's keys and claims", async () => {
    expect((await ask("/issuers", signed())).upstream("x-user-id")).toEqual(["alice"]);
    expect((await ask("/issuers", partner())).upstream("x-user-id")).toEqual(["bob"]);
    const dept = { "https://corp.test/dept": "sales" };
    expect((await ask("/issuers", signed(dept))).upstream("x-dept")).toEqual(["sales"]);
    expect((await ask("/issuers", partner(dept))).upstream("x-dept")).toEqual([]);
    const crossed = token({ alg: "RS256" }, { iss: PARTNER, exp: inSeconds(60) }, keys.rsa.privateKey);
    expect(await ask("/issuers", crossed)).toMatchObject({ status: 401 });
  });

  test("without any keys yet, its own tokens get 503 and nobody else's", async () => {
    const absent = token({ alg: "RS256" }, { iss: "https://absent.test", exp: inSeconds(60) }, keys.rsa.privateKey);
    const refused = await ask("/issuers", absent);
    expect(refused).toMatchObject({ status: 503, code: "GW-AUTHN-005" });
    expect(refused.answer.problem().detail).toContain("jwks-unavailable");
    expect(await ask("/issuers", signed())).toMatchObject({ status: 200 });
    expect(await call(chain, "/issuers")).toMatchObject({ status: 401, code: "GW-AUTHN-001" });
  });

  test("keys that come later change no route", async () => {
    const before = translate(policies, world);
    const jwks = { ...world.jwks, "https://absent.test": { jwks: corpKeys } };
    const after = translate(policies, { ...world, jwks });
    expect(after.routes).toEqual(before.routes);
    await chain.setExtension("jwt", after.extensions.jwt);
    const absent = token(
      { alg: "RS256", kid: "rsa" },
      { iss: "https://absent.test", exp: inSeconds(60) },
      keys.rsa.privateKey,
    );
    expect(await ask("/issuers", absent)).toMatchObject({ status: 200 });
  });
});

describe("optional", () => {
  test("no token passes without identity, a good one with it, a bad one not at all", async () => {
    expect((await call(chain, "/optional")).upstream("x-user-id")).toEqual([]);
    expect((await ask("/optional", signed())).upstream("x-user-id")).toEqual(["alice"]);
    expect(await ask("/optional", "bad")).toMatchObject({ status: 401, code: "GW-AUTHN-002" });
    expect(await call(chain, "/optional", { authorization: "bearer bad" })).toMatchObject({ status: 401 });
    expect(await call(chain, "/optional", { authorization: "Bearer" })).toMatchObject({ status: 401 });
    expect(await call(chain, "/optional", { authorization: "Basic Zm9vOmJhcg==" })).toMatchObject({
      status: 401,
      code: "GW-AUTHN-002",
    });
  });
});
