/** Tokens and client certificates that are an ApiConsumer, on a real Envoy: who is recognised, who is refused, and what the upstream sees. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createAuthority, issue, type LeafRequest } from "../../../../e2e/cluster/pki.ts";
import { connectHttp1 } from "../../../../e2e/client/http1.ts";
import {
  bearer,
  call,
  callOf,
  type Call,
  type Policies,
  startPolicies,
  translate,
} from "../../../test/authentication.ts";
import type { Chain } from "../../../test/chain.ts";
import type { World } from "../../../test/section.ts";
import { createKeys, jwk, keySet, token } from "../../../test/tokens.ts";
import { sleepingLua } from "../../envoy/lua.ts";
import { recogniseFilter } from "../../envoy/recognise.ts";
import { LUA } from "../../envoy/type-url.ts";
import type { Identity } from "../../schema/identity.ts";
import { gatewaySlots } from "../../translate/chain.ts";

const CORP = "https://sso.corp.test/realms/main";
const PARTNER = "https://partner.test";
const keys = createKeys();
const inline = { type: "Inline", inline: keySet(jwk(keys.p256, { alg: "ES256" })) } as const;
const exp = Math.floor(Date.now() / 1000) + 3_600;
const tokenOf = (claims: object, iss = CORP): { readonly authorization: string } =>
  bearer(token({ alg: "ES256" }, { iss, exp, ...claims }, keys.p256.privateKey));

const corp = { name: "corp", issuer: CORP, jwks: inline, consumerHeader: "x-consumer" } as const;
const partner = { name: "partner", issuer: PARTNER, jwks: inline, consumerHeader: "x-partner" } as const;
const anyName: readonly Identity[] = [
  { type: "Prefix", san: "URI", value: "spiffe://" },
  { type: "Regex", san: "DNS", value: ".*" },
  { type: "Regex", san: "Email", value: ".*" },
];
const certificate = { identities: [...anyName], consumerHeader: "x-consumer" };
const policies: Policies = {
  "/token": { spec: { jwt: [corp, partner] } },
  "/silent": { spec: { jwt: [{ name: "corp", issuer: CORP, jwks: inline }] } },
  "/gateway": { spec: { jwt: [corp] }, level: "Gateway" },
  "/elsewhere": { spec: { jwt: [corp] }, namespace: "ops" },
  "/nobody": { spec: { jwt: [corp] }, namespace: "empty" },
  "/certificate": { spec: { clientCertificate: certificate }, clientCertificates: "Optional" },
  "/strict": { spec: { clientCertificate: certificate }, clientCertificates: "Strict" },
  "/either": { spec: { jwt: [corp], clientCertificate: certificate }, clientCertificates: "Optional" },
  "/foreign": { spec: { clientCertificate: certificate }, clientCertificates: "Optional", namespace: "ops" },
};

/** What Lua, the lines of the script or a pattern could take for theirs. */
const HOSTILE = [
  `a"]]--`,
  `"..os.exit().."`,
  "a;n ops;u live root",
  "a b\\n%41",
  "%",
  "é 漢字 😀",
  "'",
  "^.*$",
  "a.b",
  "${x} $& $1",
  "</script>",
] as const;
const azp = (value: string, issuer = CORP) => ({ issuer, claim: ["azp"], value });
const uri = (value: string): Identity => ({ type: "Exact", san: "URI", value });
const world: World = {
  consumers: [
    { name: "erp", seniority: "1", tokens: [azp("erp")], identities: [uri("spiffe://corp/erp")] },
    { name: "crm", seniority: "2", tokens: [azp("crm"), { issuer: CORP, claim: ["sub"], value: "erp-owner" }] },
    { name: "gone", seniority: "3", suspended: true, tokens: [azp("gone")], identities: [uri("spiffe://corp/gone")] },
    {
      name: "paths",
      seniority: "4",
      tokens: [
        { issuer: CORP, claim: ["realm", "client"], value: "deep" },
        { issuer: CORP, claim: ["https://corp.test/app.id"], value: "named" },
        { issuer: CORP, claim: ["number"], value: "42" },
        { issuer: CORP, claim: ["flag"], value: "false" },
        azp("paths", PARTNER),
      ],
    },
    ...HOSTILE.map((value, at) => ({ name: `hostile-${String(at)}`, seniority: "5", tokens: [azp(value)] })),
    {
      name: "names",
      seniority: "6",
      identities: [
        { type: "Prefix", san: "URI", value: "spiffe://corp/ns/" },
        { type: "Suffix", san: "DNS", value: ".names.test" },
        { type: "Regex", san: "DNS", value: "n[0-9]+[.]test" },
        { type: "Exact", san: "Email", value: "ann@corp.test" },
      ] as const,
    },
    { name: "dns", seniority: "7", identities: [{ type: "Exact", san: "DNS", value: "web.names.test" }] },
    {
      name: "barred",
      seniority: "8",
      suspended: true,
      identities: [{ type: "Suffix", san: "DNS", value: ".barred.test" }],
    },
    { name: "other", namespace: "ops", seniority: "0", tokens: [azp("ops")], identities: [uri("spiffe://corp/ops")] },
  ],
};

const authority = createAuthority("partner");
const server = issue(createAuthority("gateway"), { commonName: "shop.test", dnsNames: ["shop.test"] });
const inlineText = (text: string) => ({ inline_string: text });
const transportSocket = {
  name: "tls",
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    common_tls_context: {
      tls_certificates: [
        { certificate_chain: inlineText(server.certificate), private_key: inlineText(server.privateKey) },
      ],
      // As none of our listeners: a certificate that nobody verified must be nobody's.
      validation_context: {
        trusted_ca: inlineText(authority.certificate),
        trust_chain_verification: "ACCEPT_UNTRUSTED",
      },
    },
  },
};

let chain: Chain;
beforeAll(async () => {
  chain = await startPolicies(policies, world, { transportSocket });
}, 60_000);
afterAll(() => chain.stop());

const tls = (names?: Omit<LeafRequest, "commonName">, by = authority) => ({
  serverName: "shop.test",
  ...(names === undefined ? {} : issue(by, { commonName: "client", ...names })),
});
const ask = (path: string, headers = {}, names?: Omit<LeafRequest, "commonName">, by = authority): Promise<Call> =>
  call({ port: chain.port, tls: tls(names, by) }, path, headers);

describe("tokens", () => {
  test.each<[string, object, readonly string[]]>([
    ["its claim", { azp: "erp" }, ["erp"]],
    ["another claim of the same issuer", { sub: "erp-owner" }, ["crm"]],
    ["a claim in an object", { realm: { client: "deep" } }, ["paths"]],
    ["a claim with dots in its name", { "https://corp.test/app.id": "named" }, ["paths"]],
    ["a number", { number: 42 }, ["paths"]],
    ["a boolean", { flag: false }, ["paths"]],
    ["two consumers: the older", { azp: "erp", sub: "erp-owner" }, ["erp"]],
    ["nobody's claim", { azp: "stranger" }, []],
    ["no claim", {}, []],
    ["the claim of another issuer", { azp: "paths" }, []],
    ["a list", { azp: ["erp"] }, []],
    ["an object", { azp: { erp: "erp" } }, []],
    ["a text in place of an object", { realm: "deep" }, []],
    ["a fraction", { number: 42.5 }, []],
    ["null", { azp: null }, []],
    ["a longer value", { azp: "erp2" }, []],
    ["a consumer of another namespace", { azp: "ops" }, []],
  ])("%s", async (_, claims, consumer) => {
    const answer = await ask("/token", tokenOf(claims));
    expect([answer.status, answer.upstream("x-consumer"), answer.upstream("x-partner")]).toEqual([200, consumer, []]);
  });

  test.each(HOSTILE.map((value, at) => [value, at] as const))("%j is data", async (value, at) => {
    const answer = await ask("/token", tokenOf({ azp: value }));
    expect([answer.status, answer.upstream("x-consumer")]).toEqual([200, [`hostile-${String(at)}`]]);
  });

  test("each issuer has its own header", async () => {
    const answer = await ask("/token", tokenOf({ azp: "paths" }, PARTNER));
    expect([answer.upstream("x-consumer"), answer.upstream("x-partner")]).toEqual([[], ["paths"]]);
  });

  test("namespaces do not mix, and a policy of a Gateway says which one it is", async () => {
    expect((await ask("/elsewhere", tokenOf({ azp: "ops" }))).upstream("x-consumer")).toEqual(["other"]);
    expect((await ask("/elsewhere", tokenOf({ azp: "erp" }))).upstream("x-consumer")).toEqual([]);
    expect(await ask("/nobody", tokenOf({ azp: "erp" }))).toMatchObject({ status: 200 });
    expect((await ask("/gateway", tokenOf({ azp: "erp" }))).upstream("x-consumer")).toEqual(["shop/erp"]);
  });

  test("the upstream hears of it only where the policy says so, and never through our own headers", async () => {
    const answer = await ask("/silent", tokenOf({ azp: "erp" }));
    expect(answer.status).toBe(200);
    expect((answer.seen?.headers ?? []).filter(([name]) => /consumer|gatewarden/i.test(name))).toEqual([]);
  });

  test("a suspended consumer is refused, also where the token is somebody else's as well", async () => {
    for (const claims of [{ azp: "gone" }, { azp: "gone", sub: "erp-owner" }]) {
      const refused = await ask("/token", tokenOf(claims));
      expect(refused).toMatchObject({ status: 403, code: "GW-AUTHN-006", seen: undefined });
      expect(refused.answer.header("x-gatewarden-policy")).toBe("shop/token#authentication");
    }
  });

  test("what a client writes into the headers counts for nothing", async () => {
    const forged = { "x-consumer": "erp", "x-gatewarden-consumer": "shop/erp", "x-gatewarden-recognised": "yes" };
    const stranger = await ask("/token", { ...forged, ...tokenOf({ azp: "stranger" }) });
    expect([stranger.status, stranger.upstream("x-consumer")]).toEqual([200, []]);
    expect(await ask("/token", { ...forged, ...tokenOf({ azp: "gone" }) })).toMatchObject({ status: 403 });
  });
});

describe("certificates", () => {
  test.each<[Omit<LeafRequest, "commonName">, readonly string[]]>([
    [{ uris: ["spiffe://corp/erp"] }, ["erp"]],
    [{ uris: ["spiffe://first", "spiffe://corp/erp"] }, ["erp"]],
    [{ uris: ["spiffe://corp/ns/shop/sa/a"] }, ["names"]],
    [{ dnsNames: ["a.names.test"] }, ["names"]],
    [{ dnsNames: ["web.names.test"] }, ["names"]],
    [{ dnsNames: ["n12.test"] }, ["names"]],
    [{ emails: ["ann@corp.test"] }, ["names"]],
    [{ uris: ["spiffe://corp/erp"], emails: ["ann@corp.test"] }, ["erp"]],
    [{ uris: ["spiffe://corp/erp2"] }, []],
    [{ dnsNames: ["spiffe.corp.erp"] }, []],
    [{ uris: ["spiffe://corp/ops"] }, []],
  ])("%j", async (names, consumer) => {
    for (const path of ["/certificate", "/strict"]) {
      const answer = await ask(path, {}, names);
      expect([path, answer.status, answer.upstream("x-consumer")]).toEqual([path, 200, consumer]);
    }
  });

  test.each<Omit<LeafRequest, "commonName">>([
    { uris: ["spiffe://corp/gone"] },
    { dnsNames: ["a.barred.test"] },
    { uris: ["spiffe://corp/erp"], dnsNames: ["a.barred.test"] },
  ])("a suspended consumer is refused with %j", async (names) => {
    expect(await ask("/certificate", {}, names)).toMatchObject({ status: 403, code: "GW-AUTHN-006", seen: undefined });
  });

  test("nobody's certificate is nobody", async () => {
    const stranger = createAuthority("stranger");
    for (const names of [{ uris: ["spiffe://corp/erp"] }, { emails: ["ann@corp.test"] }])
      expect(await ask("/certificate", {}, names, stranger)).toMatchObject({ status: 401, seen: undefined });
  });

  test("consumers of another namespace are not asked for", async () => {
    expect((await ask("/foreign", {}, { uris: ["spiffe://corp/ops"] })).upstream("x-consumer")).toEqual(["other"]);
    expect((await ask("/foreign", {}, { dnsNames: ["a.names.test"] })).upstream("x-consumer")).toEqual([]);
  });

  test("the method that decided names the consumer", async () => {
    const names = { uris: ["spiffe://corp/erp"] };
    expect((await ask("/either", tokenOf({ azp: "crm" }), names)).upstream("x-consumer")).toEqual(["crm"]);
    expect((await ask("/either", tokenOf({ azp: "stranger" }), names)).upstream("x-consumer")).toEqual([]);
    expect((await ask("/either", {}, names)).upstream("x-consumer")).toEqual(["erp"]);
  });
});

test("an edit of a consumer is one resource, and holds for the next request of an open connection", async () => {
  const consumers = (world.consumers ?? []).map((each) => (each.name === "erp" ? { ...each, suspended: true } : each));
  const [before, after] = [translate(policies, world), translate(policies, { consumers })];
  expect(after.routes).toEqual(before.routes);
  expect(after.extensions.jwt).toEqual(before.extensions.jwt);
  const connection = await connectHttp1({ address: "127.0.0.1", port: chain.port, tls: tls() });
  try {
    const request = { path: "/token", host: "shop.test", headers: tokenOf({ azp: "erp" }) };
    expect((await connection.request(request)).status).toBe(200);
    await chain.setExtension("recognise", after.extensions.recognise);
    expect(callOf(await connection.request(request))).toMatchObject({ status: 403, code: "GW-AUTHN-006" });
    await chain.setExtension("recognise", before.extensions.recognise);
    expect((await connection.request(request)).status).toBe(200);
  } finally {
    connection.close();
  }
});

test("without the consumers of its namespace a route refuses", async () => {
  const { extensions } = translate(policies, world);
  try {
    for (const known of [new Map(), new Map([["ops", []]])]) {
      await chain.setExtension("recognise", recogniseFilter(known));
      expect(await ask("/token", tokenOf({ azp: "erp" }))).toMatchObject({ status: 401, code: "GW-AUTHN-002" });
      expect(await ask("/certificate", {}, { uris: ["spiffe://corp/erp"] })).toMatchObject({ status: 401 });
    }
    await chain.setExtension("recognise", extensions.recognise);
    await chain.setExtension("names", gatewaySlots.get("names") ?? {});
    expect(await ask("/certificate", {}, { uris: ["spiffe://corp/erp"] })).toMatchObject({ status: 401 });
    await chain.setExtension("recognise", sleepingLua("function envoy_on_request(handle) error('x') end"));
    expect(await ask("/token", tokenOf({ azp: "erp" }))).toMatchObject({ status: 401, code: "GW-AUTHN-002" });
    await chain.setExtension("recognise", { "@type": LUA }); // without the script that the route asks for
    expect(await ask("/token", tokenOf({ azp: "erp" }))).toMatchObject({ status: 401, code: "GW-AUTHN-002" });
  } finally {
    await chain.setExtension("recognise", extensions.recognise);
    await chain.setExtension("names", extensions.names);
  }
});
