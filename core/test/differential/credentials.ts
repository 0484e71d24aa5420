/** Consumers with their credentials, issuers, and tokens of every kind of wrongness. */
import { createAuthority, issue, type KeyPair } from "../../../e2e/cluster/pki.ts";
import type { PresentedCertificate } from "../../src/simulate/contract.ts";
import { createKeys, jwk, keySet, token, type TokenKeys } from "../tokens.ts";
import { put } from "../objects.ts";
import type { Change } from "../../src/world.ts";

export const CORP = "https://corp.test";
export const PARTNER = "https://partner.test";
export const KEYS = ["k-erp", "k-erp-2", "k-web", "k-old", "k-blog", "k/+=1"] as const;
export const PASSWORDS = { erp: "p-erp", web: "p:web", blog: "p-blog" } as const;

export interface Issuers {
  readonly keys: TokenKeys;
  readonly corpSet: string;
  readonly partnerSet: string;
}

export function issuers(): Issuers {
  const keys = createKeys();
  return {
    keys,
    corpSet: keySet(jwk(keys.rsa, { kid: "r1" }), jwk(keys.p256, { kid: "e1" })),
    partnerSet: keySet(jwk(keys.otherRsa), jwk(keys.ed25519)),
  };
}

export function consumers(): readonly Change[] {
  const secret = (name: string, data: Readonly<Record<string, string>>, namespace = "shop"): Change =>
    put(
      "Secret",
      name,
      {
        data: Object.fromEntries(
          Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
        ),
      },
      { namespace },
    );
  return [
    secret("keys", {
      erp: "k-erp",
      erp2: "k-erp-2",
      web: "k-web",
      old: "k-old",
      odd: "k/+=1",
      pErp: PASSWORDS.erp,
      pWeb: PASSWORDS.web,
    }),
    secret("keys", { blog: "k-blog", pBlog: PASSWORDS.blog }, "blog"),
    put("ApiConsumer", "erp", {
      metadata: { labels: { tier: "partner" } },
      spec: {
        roles: ["admin"],
        attributes: { department: "sales" },
        apiKeys: [
          { name: "k1", secretRef: { name: "keys", key: "erp" } },
          { name: "k2", secretRef: { name: "keys", key: "erp2" }, expiresAt: "2020-01-01T00:00:00Z" },
          { name: "k3", secretRef: { name: "keys", key: "odd" } },
        ],
        basic: { secretRef: { name: "keys", key: "pErp" } },
      },
    }),
    put("ApiConsumer", "web", {
      metadata: { labels: { tier: "staff" } },
      spec: {
        roles: ["user"],
        apiKeys: [{ name: "k1", secretRef: { name: "keys", key: "web" } }],
        basic: { secretRef: { name: "keys", key: "pWeb" } },
        jwt: [{ issuer: CORP, claim: "azp", value: "web" }],
      },
    }),
    put("ApiConsumer", "old", {
      metadata: { labels: { tier: "partner" } },
      spec: {
        suspended: true,
        apiKeys: [{ name: "k1", secretRef: { name: "keys", key: "old" } }],
        jwt: [{ issuer: CORP, claim: "azp", value: "old" }],
      },
    }),
    put("ApiConsumer", "mesh", {
      spec: {
        roles: ["user"],
        attributes: { department: "ops" },
        identities: [{ type: "Exact", san: "URI", value: "spiffe://partner/erp" }],
      },
    }),
    put("ApiConsumer", "names", {
      spec: { suspended: true, identities: [{ type: "Suffix", san: "DNS", value: "old.partner.test" }] },
    }),
    put(
      "ApiConsumer",
      "erp",
      {
        metadata: { labels: { tier: "partner" } },
        spec: {
          apiKeys: [{ name: "k1", secretRef: { name: "keys", key: "blog" } }],
          basic: { secretRef: { name: "keys", key: "pBlog" } },
          jwt: [{ issuer: PARTNER, claim: "client.id", value: "7" }],
        },
      },
      { namespace: "blog" },
    ),
  ];
}

/** By name, so that a case can be written down. */
export function tokens({ keys }: Issuers, nowMs: number): Readonly<Record<string, string>> {
  const inSeconds = (seconds: number): number => Math.floor(nowMs / 1_000) + seconds;
  const base = { iss: CORP, aud: "shop", sub: "alice", exp: inSeconds(3_600) };
  const rs = (claims: object, header: object = { kid: "r1" }): string =>
    token({ alg: "RS256", ...header }, { ...base, ...claims }, keys.rsa.privateKey);
  const good = rs({});
  return {
    good,
    es: token({ alg: "ES256", kid: "e1" }, base, keys.p256.privateKey),
    noKid: rs({}, {}),
    web: rs({ azp: "web", roles: ["user"], scope: "orders:read orders:write" }),
    old: rs({ azp: "old" }),
    admin: rs({ realm_access: { roles: ["admin"] }, dept: "sales", amr: ["otp"], auth_time: inSeconds(-60) }),
    partner: token(
      { alg: "RS256" },
      { ...base, iss: PARTNER, client: { id: 7 }, aud: ["x", "shop"] },
      keys.otherRsa.privateKey,
    ),
    partnerEd: token({ alg: "EdDSA" }, { ...base, iss: PARTNER, scp: ["orders:read"] }, keys.ed25519.privateKey),
    expired: rs({ exp: inSeconds(-3_600) }),
    early: rs({ nbf: inSeconds(3_600) }),
    endless: rs({ exp: undefined }),
    otherAudience: rs({ aud: "blog" }),
    noAudience: rs({ aud: undefined }),
    expiredOther: token({ alg: "RS256" }, { ...base, iss: PARTNER, exp: inSeconds(-3_600) }, keys.otherRsa.privateKey),
    forged: token({ alg: "RS256", kid: "r1" }, base, keys.otherRsa.privateKey),
    wrongKid: rs({}, { kid: "zz" }),
    none: token({ alg: "none" }, base, ""),
    hs: token({ alg: "HS256" }, base, "secret"),
    ps: token({ alg: "PS256", kid: "r1" }, base, keys.rsa.privateKey),
    stranger: rs({ iss: "https://stranger.test" }),
    badExp: rs({ exp: "soon" }),
    cut: good.slice(0, -4),
    garbage: "not.a.token",
    oneDot: "a.b",
  };
}

/** Client certificates of the partners' authority, by name. */
export interface Certificates {
  readonly objects: readonly Change[];
  readonly pairs: Readonly<Record<string, KeyPair & { readonly names: PresentedCertificate }>>;
}

export function certificates(): Certificates {
  const servers = createAuthority("servers");
  const partners = createAuthority("partners");
  const server = issue(servers, { commonName: "edge", dnsNames: ["secure.test"] });
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const pair = (uris: readonly string[], dns: readonly string[]): Certificates["pairs"][string] => ({
    ...issue(partners, { commonName: "client", uris, dnsNames: dns }),
    names: { uris, dns, emails: [] },
  });
  return {
    objects: [
      put("Secret", "edge-tls", {
        data: { "tls.crt": base64(server.certificate), "tls.key": base64(server.privateKey) },
      }),
      put("ConfigMap", "partners", { data: { "ca.crt": partners.certificate } }),
    ],
    pairs: {
      erp: pair(["spiffe://partner/erp"], []),
      web: pair([], ["web.partner.test"]),
      old: pair([], ["a.test", "old.partner.test"]),
      other: pair(["spiffe://other"], ["other.test"]),
    },
  };
}
