/** Client certificates on a real Envoy: which names pass, and that names are compared letter by letter (rules A8). */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createAuthority, issue, type LeafRequest } from "../../../../e2e/cluster/pki.ts";
import { call, type Call, type Policies, type Policy, startPolicies } from "../../../test/authentication.ts";
import type { Chain } from "../../../test/chain.ts";
import type { JsonObject } from "../../world.ts";

type Identities = NonNullable<Policy["spec"]["clientCertificate"]>["identities"];

const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const authority = createAuthority("partner");
const stranger = createAuthority("stranger");
const server = issue(createAuthority("gateway"), { commonName: "shop.test", dnsNames: ["shop.test"] });

const exactly = (value: string): Identities => [{ type: "Exact", san: "URI", value }];
const certificate = (identities: Identities): Policy => ({
  spec: { clientCertificate: { identities } },
  clientCertificates: "Optional",
});
const policies: Policies = {
  "/exact": certificate(exactly(WEB)),
  "/dots": certificate([{ type: "Exact", san: "DNS", value: "a.b.test" }]),
  "/meta": certificate(exactly("spiffe://x/.*")),
  "/prefix": certificate([{ type: "Prefix", san: "URI", value: "spiffe://cluster.local/ns/shop/" }]),
  "/suffix": certificate([{ type: "Suffix", san: "DNS", value: ".shop.test" }]),
  "/regex": certificate([{ type: "Regex", san: "URI", value: "spiffe://[a-z.]+/ns/shop/sa/(web|job)" }]),
  "/email": certificate([{ type: "Exact", san: "Email", value: "ann@shop.test" }]),
  "/several": certificate([...exactly("spiffe://other"), { type: "Exact", san: "DNS", value: "web.shop.test" }]),
  "/strict": { ...certificate(exactly(WEB)), clientCertificates: "Strict" },
  "/or-key": {
    spec: { apiKey: { consumerHeader: "x-consumer" }, clientCertificate: { identities: exactly(WEB) } },
    clientCertificates: "Optional",
  },
  "/audited": { ...certificate(exactly(WEB)), audit: true },
  "/audited-optional": {
    spec: { mode: "Optional", clientCertificate: { identities: exactly(WEB) } },
    clientCertificates: "Optional",
    audit: true,
  },
  "/optional": {
    spec: { mode: "Optional", clientCertificate: { identities: exactly(WEB) } },
    clientCertificates: "Optional",
  },
};
const world = { consumers: [{ name: "erp", liveKeys: ["erp-key"] }] };

/** `verify: false`: a listener that takes any certificate, as none of ours does; names in such a one must count for nothing. */
function tls(verify: boolean): JsonObject {
  const inline = (text: string): JsonObject => ({ inline_string: text });
  return {
    name: "tls",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
      common_tls_context: {
        tls_certificates: [{ certificate_chain: inline(server.certificate), private_key: inline(server.privateKey) }],
        validation_context: {
          trusted_ca: inline(authority.certificate),
          ...(verify ? {} : { trust_chain_verification: "ACCEPT_UNTRUSTED" }),
        },
      },
    },
  };
}

let chain: Chain;
let lax: Chain;
beforeAll(async () => {
  chain = await startPolicies(policies, world, { transportSocket: tls(true) });
  lax = await startPolicies(policies, world, { transportSocket: tls(false) });
}, 60_000);
afterAll(async () => {
  await chain.stop();
  await lax.stop();
});

function ask(
  path: string,
  names?: Omit<LeafRequest, "commonName">,
  headers = {},
  by = authority,
  to = chain,
): Promise<Call> {
  const leaf = names === undefined ? {} : issue(by, { commonName: "client", ...names });
  return call({ port: to.port, tls: { serverName: "shop.test", ...leaf } }, path, headers);
}

describe("identities", () => {
  test.each<[string, Omit<LeafRequest, "commonName">]>([
    ["/exact", { uris: [WEB] }],
    ["/exact", { uris: ["spiffe://first", WEB] }],
    ["/dots", { dnsNames: ["a.b.test"] }],
    ["/meta", { uris: ["spiffe://x/.*"] }],
    ["/prefix", { uris: ["spiffe://cluster.local/ns/shop/sa/any"] }],
    ["/suffix", { dnsNames: ["web.shop.test"] }],
    ["/regex", { uris: ["spiffe://cluster.local/ns/shop/sa/job"] }],
    ["/email", { emails: ["ann@shop.test"] }],
    ["/several", { dnsNames: ["web.shop.test"] }],
    ["/strict", { uris: [WEB] }],
  ])("%s lets pass %j", async (path, names) => {
    expect(await ask(path, names)).toMatchObject({ status: 200 });
  });

  test.each<[string, Omit<LeafRequest, "commonName">]>([
    ["/exact", { uris: [`${WEB}2`] }],
    ["/exact", { uris: ["spiffe://cluster.local/ns/shop/sa/we"] }],
    ["/exact", { uris: [WEB.toUpperCase()] }],
    ["/exact", { uris: ["spiffe://clusterXlocal/ns/shop/sa/web"] }],
    ["/exact", { dnsNames: ["web"] }],
    ["/exact", {}],
    ["/dots", { dnsNames: ["aXb.test"] }],
    ["/dots", { uris: ["a.b.test"] }],
    ["/meta", { uris: ["spiffe://x/anything"] }],
    ["/prefix", { uris: ["spiffe://cluster.local/ns/shopping/sa/any"] }],
    ["/suffix", { dnsNames: ["web.shop.test.evil"] }],
    ["/suffix", { dnsNames: ["webXshop.test"] }],
    ["/regex", { uris: ["spiffe://cluster.local/ns/shop/sa/job2"] }],
    ["/regex", { uris: ["x-spiffe://cluster.local/ns/shop/sa/job"] }],
    ["/email", { dnsNames: ["ann.shop.test"] }],
    ["/several", { dnsNames: ["other"] }],
    ["/strict", { uris: ["spiffe://other"] }],
  ])("%s refuses %j", async (path, names) => {
    const refused = await ask(path, names);
    expect(refused).toMatchObject({ status: 401, code: "GW-AUTHN-002", seen: undefined });
    expect(refused.answer.header("x-gatewarden-policy")).toBe(`shop${path}#authentication`);
  });

  test("without a certificate: 401", async () => {
    expect(await ask("/exact")).toMatchObject({ status: 401, code: "GW-AUTHN-001" });
    expect(await ask("/strict")).toMatchObject({ status: 401, seen: undefined });
  });

  test("names in a certificate that nobody verified count for nothing", async () => {
    expect(await ask("/exact", { uris: [WEB] }, {}, authority, lax)).toMatchObject({ status: 200 });
    for (const path of ["/exact", "/strict", "/or-key", "/optional"]) {
      expect(await ask(path, { uris: [WEB] }, {}, stranger, lax)).toMatchObject({ status: 401, seen: undefined });
    }
  });
});

describe("beside other methods", () => {
  test("a key decides before the certificate, and each is enough", async () => {
    expect(await ask("/or-key", { uris: [WEB] })).toMatchObject({ status: 200 });
    expect((await ask("/or-key", undefined, { "x-api-key": "erp-key" })).upstream("x-consumer")).toEqual(["erp"]);
    expect(await ask("/or-key", { uris: [WEB] }, { "x-api-key": "wrong" })).toMatchObject({ status: 401 });
    expect(await ask("/or-key", { uris: ["spiffe://other"] })).toMatchObject({ status: 401 });
    expect(await ask("/or-key")).toMatchObject({ status: 401, code: "GW-AUTHN-001" });
  });

  test("optional: none passes, a wrong one does not", async () => {
    expect(await ask("/optional")).toMatchObject({ status: 200 });
    expect(await ask("/optional", { uris: [WEB] })).toMatchObject({ status: 200 });
    expect(await ask("/optional", { uris: ["spiffe://other"] })).toMatchObject({ status: 401 });
  });
});

describe("in Audit mode nobody is refused, and who would be is counted", () => {
  const denied = (): Promise<number> => chain.envoy.admin.stat("http.test.rbac.shadow_denied");
  test.each<[string, Omit<LeafRequest, "commonName"> | undefined, number]>([
    ["/audited", { uris: [WEB] }, 0],
    ["/audited", { uris: ["spiffe://other"] }, 1],
    ["/audited", undefined, 1],
    ["/audited-optional", { uris: [WEB] }, 0],
    ["/audited-optional", { uris: ["spiffe://other"] }, 1],
    ["/audited-optional", undefined, 0],
  ])("%s %j", async (path, names, more) => {
    const before = await denied();
    expect(await ask(path, names)).toMatchObject({ status: 200 });
    expect((await denied()) - before).toBe(more);
  });
});
