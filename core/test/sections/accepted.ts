/** Sections that the parser and the API server must both take and give back as they are. */
import type { JsonValue } from "../../src/world.ts";
import { byRef, certificate, corp, identity, issuerRef, limit, ref, rules } from "./material.ts";

export type Accepted = readonly [section: string, what: string, spec: JsonValue];

export const ACCEPTED: readonly Accepted[] = [
  [
    "authentication",
    "every field of the reference",
    {
      mode: "Required",
      jwt: [
        {
          ...byRef,
          audiences: ["shop"],
          algorithms: ["RS256", "ES256"],
          from: { headers: [{ name: "authorization", prefix: "Bearer " }], params: ["access_token"], cookies: ["sid"] },
          claimsToHeaders: [{ claim: "sub", header: "x-user-id" }],
          rolesClaim: ["realm_access", "roles"],
          forwardToken: false,
          clockSkew: "30s",
        },
      ],
      apiKey: {
        from: { headers: ["x-api-key"], params: [], cookies: [] },
        consumerSelector: { matchLabels: { tier: "partner" } },
        consumerHeader: "x-consumer",
        forwardKey: false,
      },
      basic: {
        consumerSelector: { matchLabels: { tier: "staff" }, roles: ["admin"], attributes: { department: "sales" } },
        consumerHeader: "x-consumer",
      },
      clientCertificate: { identities: [{ type: "Exact", san: "URI", value: "spiffe://…" }] },
    },
  ],
  ["authentication", "forbidden modes alone", { forbid: ["Public", "Optional"] }],
  ["authentication", "a method and a forbidden mode", { apiKey: {}, mode: "Optional", forbid: ["Public"] }],
  ["authentication", "a public section with its reason", { mode: "Public", reason: "health probe" }],
  [
    "authentication",
    "a token without prefix",
    { jwt: [{ ...byRef, from: { headers: [{ name: "x-token", prefix: "" }] } }] },
  ],
  ["authentication", "methods with all their defaults", { apiKey: {}, basic: {} }],
  ["authentication", "an issuer that is discovered", { jwt: [corp] }],
  [
    "authentication",
    "discovery inside the cluster",
    {
      jwt: [
        {
          ...corp,
          jwks: { backendRef: { name: "keycloak", namespace: "sso", port: 8443 }, caRefs: [{ ...ref, key: "ca.crt" }] },
        },
      ],
    },
  ],
  [
    "authentication",
    "a key set by URI",
    { jwt: [{ ...corp, jwks: { type: "URI", uri: "https://sso.corp.test:8443/keys?a=b" } }] },
  ],
  [
    "authentication",
    "inline keys of an issuer that is no URL",
    { jwt: [{ name: "a", issuer: "corp", jwks: { type: "Inline", inline: '{"keys":[]}' } }] },
  ],
  [
    "authentication",
    "HS256 with a key from a Secret",
    { jwt: [{ ...corp, algorithms: ["HS256"], jwks: { type: "Ref", ref: { ...ref, kind: "Secret" } } }] },
  ],
  [
    "authorization",
    "every field of the reference",
    {
      defaultAction: "Deny",
      rules: [
        {
          name: "read",
          action: "Allow",
          methods: ["GET", "HEAD"],
          paths: ["/orders/**", "/orders/{id}"],
          roles: ["user", "admin"],
          scopes: ["orders:read"],
          consumers: ["erp"],
          identities: [identity],
          claims: [{ provider: "corp", path: ["dept"], values: ["sales"] }],
          sources: ["10.0.0.0/8"],
          when: "request.time.getHours('Asia/Shanghai') in [9,10,11,14,15,16,17]",
          mfa: { acr: ["urn:mfa"], amr: ["otp", "hwk"], maxAge: "10m" },
          grant: "Required",
        },
      ],
    },
  ],
  ["authorization", "a rule that denies everybody", rules({ action: "Deny" })],
  ["authorization", "a default alone", { defaultAction: "Allow" }],
  [
    "rateLimit",
    "every field of the reference",
    {
      limits: [
        {
          name: "each-app",
          requests: 100,
          per: "1m",
          burst: 20,
          by: [{ type: "Consumer" }],
          match: {
            methods: ["GET"],
            paths: ["/orders/**"],
            headers: { "x-plan": "free" },
            consumerSelector: { matchLabels: { plan: "free" } },
          },
          maxKeys: 10000,
          scope: "PerProxy",
          onFailure: "LocalFallback",
        },
      ],
      headers: true,
    },
  ],
  [
    "rateLimit",
    "every way to count, and both ends of `per`",
    {
      limits: [
        {
          ...limit,
          per: "1s",
          by: [
            { type: "ClientIP" },
            { type: "Header", name: "x-tenant" },
            { type: "Claim", name: "sub" },
            { type: "Query", name: "key" },
            { type: "Path" },
            { type: "Method" },
          ],
        },
        { ...limit, name: "day", per: "24h", scope: "PerGateway" },
      ],
    },
  ],
  [
    "rateLimit",
    "every kind of path",
    {
      limits: [
        { ...limit, match: { paths: ["/", "/a", "/a/", "/a/*/c", "/a/{id}/c", "/**", "/a%20b/*/**", "/a.b/..c"] } },
      ],
    },
  ],
  [
    "mtls",
    "every field of the reference",
    {
      client: {
        mode: "Strict",
        caRefs: [{ kind: "ConfigMap", name: "partner-ca", key: "ca.crt" }],
        identities: [],
        crlRef: { kind: "ConfigMap", name: "partner-crl", key: "ca.crl" },
        forwardCertificate: { header: "x-forwarded-client-cert", fields: ["Subject", "URI", "DNS"] },
      },
      backend: {
        mode: "Mutual",
        certificate: { issuerRef: { kind: "ClusterIssuer", name: "mesh-ca" } },
        caRefs: [],
        sans: [],
      },
    },
  ],
  ["mtls", "identities", { client: { mode: "Optional", caRefs: [ref], identities: [identity] } }],
  ["mtls", "off", { client: { mode: "Off" }, backend: { mode: "Off" } }],
  [
    "mtls",
    "verified TLS without our certificate",
    { backend: { mode: "Simple", caRefs: [ref], sans: ["spiffe://a/b", "a.test"] } },
  ],
  [
    "transport",
    "every field of the reference",
    {
      certificate: { issuerRef, duration: "2160h", renewBefore: "720h", privateKey: { algorithm: "ECDSA", size: 256 } },
      minTLSVersion: "1.2",
    },
  ],
  ["transport", "an RSA key", { certificate: { ...certificate, privateKey: { algorithm: "RSA", size: 3072 } } }],
  [
    "allowlist",
    "an entry with everything",
    { entries: [{ cidr: "203.0.113.0/24", note: "HQ", expiresAt: "2027-01-01T00:00:00Z" }] },
  ],
  [
    "allowlist",
    "IPv6, one address, everybody",
    {
      entries: ["2001:db8::/32", "::1/128", "::/0", "0.0.0.0/0", "1:2:3:4:5:6:7:8/128"].map((cidr) => ({ cidr })),
      inherit: false,
    },
  ],
  ["denylist", "the entry of the reference", { entries: [{ cidr: "198.51.100.7/32", note: "scanner" }] }],
  [
    "denylist",
    "times with offset and fraction",
    { entries: [{ cidr: "10.0.0.0/8", expiresAt: "2028-02-29T23:59:59.5+02:00" }] },
  ],
  ["clientIP", "hops", { trustedHops: 1 }],
  ["clientIP", "proxies", { trustedProxies: ["10.0.0.0/8"] }],
  [
    "logging",
    "every field of the reference",
    {
      calls: "All",
      sinks: [
        { name: "main", type: "Stdout" },
        { name: "f", type: "File", file: { name: "calls.jsonl" } },
        { name: "o", type: "OTLP", otlp: { backendRef: { name: "otel", namespace: "obs", port: 4317 } } },
      ],
      headers: ["x-request-id"],
      fields: { team: "shop" },
      sampling: 100,
    },
  ],
  ["logging", "nothing but failures", { calls: "None", sampling: 0 }],
];
