/** Specs at every bound at once: what the API server's rules must be able to check within their budget. */

const many = <T>(count: number, make: (index: number) => T): readonly T[] =>
  Array.from({ length: count }, (_, n) => make(n));
const pad = (text: string, length: number): string => text.padEnd(length, "x");
const host = pad("a", 250);
const valueRef = { kind: "Secret", name: host, key: pad("k", 253) };
const backendRef = { name: host, namespace: pad("n", 63), port: 65_535 };
const matchLabels = Object.fromEntries(
  many(16, (n) => [`${pad("p", 200)}.test/${pad(`k${String(n)}`, 60)}`, pad("v", 63)]),
);
const consumerSelector = {
  matchLabels,
  roles: many(16, (n) => pad(`r${String(n)}`, 253)),
  attributes: Object.fromEntries(many(16, (n) => [pad(`a${String(n)}`, 253), pad("v", 2_048)])),
};
const identities = many(64, (n) => ({ type: "Exact", san: "URI", value: pad(`spiffe://${String(n)}/`, 2_048) }));
const certificate = {
  issuerRef: { kind: "ClusterIssuer", name: host, group: "cert-manager.io" },
  duration: "99998h59m59s999ms",
  renewBefore: "99997h59m59s999ms",
  privateKey: { algorithm: "RSA", size: 4096 },
};

const jwt = (n: number): object => ({
  name: `jwt-${String(n)}`,
  issuer: pad(`https://${String(n)}.test/`, 2_048),
  audiences: many(16, (m) => pad(`aud-${String(m)}`, 2_048)),
  algorithms: ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"],
  jwks: { type: "URI", uri: pad("https://a.test/", 2_048), backendRef, caRefs: many(8, () => valueRef) },
  // One source for all, since there are eight at most.
  from: { headers: [{ name: "authorization", prefix: pad("Bearer ", 2_048) }] },
  claimsToHeaders: many(16, (m) => ({ claim: pad("c", 2_048), header: pad(`x-${String(m)}-`, 253) })),
  rolesClaim: many(8, () => pad("r", 2_048)),
  forwardToken: true,
  clockSkew: "9m59s999ms",
});

const limit = (n: number): object => ({
  name: pad(`limit-${String(n)}`, 253),
  requests: 1_000_000_000,
  per: "23h59m59s999ms",
  burst: 1_000_000_000,
  by: many(7, () => ({ type: "Header", name: pad("x-", 253) })),
  match: {
    methods: many(16, (m) => pad(`M${"A".repeat(m + 1)}`, 32).toUpperCase()),
    paths: many(16, (m) => pad(`/${String(m)}/`, 2_048)),
    headers: Object.fromEntries(many(16, (m) => [pad(`x-${String(m)}`, 253), pad("v", 2_048)])),
    consumerSelector,
  },
  maxKeys: 100_000,
  scope: "PerGateway",
  onFailure: "LocalFallback",
});

const word = (n: number): string => pad(`w${String(n)}-`, 253);

const authorizationRule = (n: number): object => ({
  name: pad(`rule-${String(n)}`, 253),
  action: "Allow",
  methods: many(16, (m) => pad(`M${"A".repeat(m + 1)}`, 32).toUpperCase()),
  paths: many(16, (m) => pad(`/${String(m)}/`, 1_024)),
  roles: many(16, word),
  scopes: many(16, word),
  consumers: many(64, word),
  identities: identities.slice(0, 32),
  claims: many(8, () => ({ provider: pad("p", 253), path: many(8, word), values: many(32, word) })),
  sources: many(64, (m) => `2001:db8:ffff:ffff:ffff:ffff:ffff:${(0x1000 + m).toString(16)}/128`),
  when: pad("true || ", 4_096),
  mfa: { acr: many(8, word), amr: many(16, word), maxAge: "9998h59m59s999ms" },
  grant: "Required",
});

const entries = many(1_024, (n) => ({
  cidr: `2001:db8:ffff:ffff:ffff:ffff:ffff:${(0x1000 + n).toString(16)}/128`,
  note: pad("n", 256),
  expiresAt: "2027-01-01T00:00:00.123456789+01:00",
}));

/** Some 1.7 MB as JSON: more than etcd stores, so that size is never what keeps the rules affordable. */
export function largestPolicy(): object {
  return {
    targetRefs: many(16, (n) => ({
      group: "gateway.networking.k8s.io",
      kind: "HTTPRoute",
      name: pad(`r${String(n)}`, 253),
      sectionName: pad("s", 253),
    })),
    authentication: {
      jwt: many(4, jwt),
      apiKey: {
        from: { headers: many(5, (n) => pad(`x-${String(n)}`, 253)) },
        consumerSelector,
        consumerHeader: "x-consumer",
      },
      basic: { consumerSelector, consumerHeader: pad("x-", 253) },
      clientCertificate: { identities },
    },
    authorization: { defaultAction: "Deny", rules: many(2, authorizationRule) },
    rateLimit: { limits: many(8, limit) },
    mtls: {
      client: { mode: "Strict", caRefs: many(8, () => valueRef), identities, crlRef: valueRef },
      backend: {
        mode: "Mutual",
        certificate,
        caRefs: many(8, () => valueRef),
        sans: many(16, (n) => pad(`s${String(n)}`, 2_048)),
      },
    },
    transport: { certificate, minTLSVersion: "1.3" },
    allowlist: { entries },
    denylist: { entries },
    clientIP: { trustedProxies: many(64, (n) => `10.${String(n)}.0.0/16`) },
    logging: {
      sinks: many(4, (n) => ({ name: `s${String(n)}`, type: "File", file: { name: pad(`f${String(n)}`, 253) } })),
      headers: many(32, (n) => pad(`x-${String(n)}`, 253)),
      fields: Object.fromEntries(many(16, (n) => [pad(`f${String(n)}`, 253), pad("v", 2_048)])),
    },
  };
}

export function largestConsumer(): object {
  return {
    roles: many(64, (n) => pad(`r${String(n)}`, 253)),
    attributes: Object.fromEntries(many(32, (n) => [pad(`a${String(n)}`, 253), pad("v", 2_048)])),
    apiKeys: many(8, (n) => ({
      name: pad(`k${String(n)}`, 253),
      secretRef: { name: host, key: pad("k", 253) },
      notBefore: "2026-01-01T00:00:00.123456789+01:00",
      expiresAt: "2027-01-01T00:00:00.123456789+01:00",
    })),
    basic: { secretRef: { name: host, key: pad("k", 253) } },
    jwt: many(8, (n) => ({
      issuer: pad("https://a.test/", 2_048),
      claim: pad("c", 253),
      value: pad(String(n), 2_048),
    })),
    identities: identities.slice(0, 16),
  };
}

export function largestGrant(): object {
  return {
    consumer: { name: host },
    policy: { name: host, rules: many(64, (n) => pad(`r${String(n)}`, 253)) },
    notBefore: "2026-01-01T00:00:00.123456789+01:00",
    expiresAt: "2027-01-01T00:00:00.123456789+01:00",
    ticket: pad("t", 253),
    revoked: false,
  };
}
