/** Names of client certificates in rules, on a real Envoy: each name for itself, only of certificates that were verified (rules A7, A8). */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createAuthority, issue, type LeafRequest } from "../../../../e2e/cluster/pki.ts";
import { type Call, call } from "../../../test/authentication.ts";
import { type Policies, type Policy, startPolicies } from "../../../test/authorization.ts";
import type { Chain } from "../../../test/chain.ts";
import type { JsonObject } from "../../world.ts";

type Names = Omit<LeafRequest, "commonName">;

const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const authority = createAuthority("partner");
const stranger = createAuthority("stranger");
const server = issue(createAuthority("gateway"), { commonName: "shop.test", dnsNames: ["shop.test"] });

const identity = (type: string, san: string, value: string): object => ({ type, san, value });
const allow = (...identities: readonly object[]): Policy => ({
  rules: { rules: [{ name: "r", action: "Allow", identities }] },
  clientCertificates: "Optional",
});
const deny = (...identities: readonly object[]): Policy => ({
  rules: { defaultAction: "Allow", rules: [{ name: "r", action: "Deny", identities }] },
  clientCertificates: "Optional",
});
const policies: Policies = {
  "/exact": allow(identity("Exact", "URI", WEB)),
  "/no-exact": deny(identity("Exact", "URI", WEB)),
  "/dns": allow(identity("Exact", "DNS", "a.b.test"), identity("Suffix", "DNS", ".shop.test")),
  "/regex": allow(identity("Regex", "URI", "spiffe://[a-z.]+/ns/shop/sa/(web|job)")),
  "/prefix": allow(identity("Prefix", "URI", "spiffe://cluster.local/ns/shop/")),
  "/email": allow(identity("Exact", "Email", "ann@shop.test"), identity("Regex", "Email", ".*@ops[.]test")),
  "/no-email": deny(identity("Exact", "Email", "ann@shop.test"), identity("Suffix", "Email", "@bad.test")),
};

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
  chain = await startPolicies(policies, {}, { transportSocket: tls(true) });
  lax = await startPolicies(policies, {}, { transportSocket: tls(false) });
}, 60_000);
afterAll(async () => {
  await chain.stop();
  await lax.stop();
});

function ask(path: string, names?: Names, headers = {}, by = authority, to = chain): Promise<Call> {
  const leaf = names === undefined ? {} : issue(by, { commonName: "client", ...names });
  return call({ port: to.port, tls: { serverName: "shop.test", ...leaf } }, path, headers);
}

describe("identities", () => {
  test.each<[string, Names | undefined]>([
    ["/exact", { uris: [WEB] }],
    ["/exact", { uris: ["spiffe://first", WEB] }],
    ["/no-exact", { uris: ["spiffe://first", `${WEB}2`] }],
    ["/no-exact", undefined],
    ["/dns", { dnsNames: ["x", "a.b.test"] }],
    ["/dns", { dnsNames: ["web.shop.test", "y"] }],
    ["/regex", { uris: ["spiffe://x", "spiffe://cluster.local/ns/shop/sa/job"] }],
    ["/prefix", { uris: ["spiffe://cluster.local/ns/shop/sa/any"] }],
    ["/email", { emails: ["ann@shop.test"] }],
    ["/email", { emails: ["x@ops.test"], dnsNames: ["y"] }],
    ["/no-email", { emails: ["bob@shop.test"] }],
  ])("%s lets pass %j", async (path, names) => {
    const passed = await ask(path, names);
    expect(passed.status).toBe(200);
    expect(passed.upstream("x-gatewarden-email")).toEqual([]);
  });

  test.each<[string, Names | undefined]>([
    ["/exact", undefined],
    ["/exact", {}],
    ["/exact", { uris: [`${WEB}2`] }],
    ["/exact", { uris: [`spiffe://evil.test/,${WEB}`] }],
    ["/exact", { dnsNames: ["cluster.local"] }],
    ["/no-exact", { uris: ["spiffe://first", WEB] }],
    ["/dns", { dnsNames: ["aXb.test"] }],
    ["/dns", { dnsNames: ["web.shop.test.evil"] }],
    ["/dns", { uris: ["a.b.test"] }],
    ["/regex", { uris: ["x-spiffe://cluster.local/ns/shop/sa/job"] }],
    ["/email", { dnsNames: ["ann.shop.test"] }],
    ["/email", { emails: ["ann@shop.test", "eve@evil.test"] }],
    ["/email", { emails: ["eve@evil.test", "x@ops.test"] }],
    ["/no-email", { emails: ["ann@shop.test"] }],
    ["/no-email", { emails: ["x@shop.test", "y@bad.test", "z@shop.test"] }],
  ])("%s refuses %j", async (path, names) => {
    expect(await ask(path, names)).toMatchObject({ status: 403, seen: undefined });
  });

  test("nobody can say his names in a header", async () => {
    const headers = { "x-gatewarden-email": "ann@shop.test" };
    expect((await ask("/email", undefined, headers)).status).toBe(403);
    expect((await ask("/email", { uris: [WEB] }, headers)).status).toBe(403);
  });

  test("names in a certificate that nobody verified count for nothing", async () => {
    expect((await ask("/exact", { uris: [WEB] }, {}, authority, lax)).status).toBe(200);
    expect((await ask("/exact", { uris: [WEB] }, {}, stranger, lax)).status).toBe(403);
    expect((await ask("/email", { emails: ["ann@shop.test"] }, {}, stranger, lax)).status).toBe(403);
  });
});
