/** Random worlds: one Gateway, routes of two namespaces, policies at every level with every section, sound and broken. */
import type { Change } from "../../src/world.ts";
import { backend, gatewayClass, policy, put, route, service } from "../objects.ts";
import { consumers, CORP, type Issuers, PARTNER } from "./credentials.ts";
import type { Random } from "./random.ts";

type Written = Readonly<Record<string, unknown>>;

export interface Ports {
  readonly plain: number; // one listener for every host
  readonly hosts: number; // listeners for *.b.test and x.b.test
  readonly tls: number; // HTTPS listeners for secure.test and for every host
}

const NAMESPACES = ["shop", "blog"] as const;
const HOSTNAMES = [
  "secure.test",
  "a.test",
  "x.a.test",
  "*.a.test",
  "*.x.a.test",
  "x.b.test",
  "y.b.test",
  "*.b.test",
] as const;
const TIERS = ["partner", "staff", "nobody"] as const;
const MINE = [
  "127.0.0.0/8",
  "127.0.0.0/8",
  "127.0.0.0/30",
  "127.0.0.1/32",
  "10.0.0.0/8",
  "192.0.2.0/24",
  "2001:db8::/32",
] as const;
const OTHERS = ["127.0.0.9/32", "127.0.0.3/32", "10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"] as const;
const ENDED = "2020-01-01T00:00:00Z";

export function world(
  random: Random,
  ports: Ports,
  upstream: number,
  issuers: Issuers,
  certificates: readonly Change[],
): readonly Change[] {
  return [
    ...frame(ports, upstream, issuers, certificates, {
      requirePolicy: random.chance(0.8),
      overrides: NAMESPACES.filter(() => random.chance(0.93)),
    }),
    ...mutualTls(random),
    ...Array.from({ length: 9 }, (_, at) => randomRoute(random, at)),
    ...Array.from({ length: POLICIES }, (_, at) => randomPolicy(random, at, issuers)),
    ...Array.from({ length: 6 }, (_, at) => randomGrant(random, at)),
  ];
}

/**
 * What every world has: the Gateway, services, consumers.
 * @param certificates Secret shop/edge-tls and ConfigMap shop/partners
 */
export function frame(
  ports: Ports,
  upstream: number,
  issuers: Issuers,
  certificates: readonly Change[],
  {
    requirePolicy = true,
    overrides = NAMESPACES,
  }: { readonly requirePolicy?: boolean; readonly overrides?: readonly string[] } = {},
): readonly Change[] {
  const https = { protocol: "HTTPS", tls: { certificateRefs: [{ name: "edge-tls" }] } };
  return [
    gatewayClass,
    put("Gateway", "edge", {
      ...(requirePolicy ? {} : { metadata: { annotations: { "gatewarden.io/require-policy": "false" } } }),
      spec: {
        gatewayClassName: "gatewarden",
        addresses: [{ type: "IPAddress", value: "127.0.0.1" }],
        listeners: [
          listener("plain", ports.plain),
          listener("wild", ports.hosts, "*.b.test"),
          listener("exact", ports.hosts, "x.b.test"),
          { ...listener("secure", ports.tls, "secure.test"), ...https },
          { ...listener("any", ports.tls), ...https },
        ],
      },
    }),
    ...NAMESPACES.flatMap((namespace): readonly Change[] => [
      put("Namespace", namespace, {
        metadata: { labels: overrides.includes(namespace) ? { "gatewarden.io/overrides": "allowed" } : {} },
      }),
      ...service("echo", { address: "127.0.0.1", port: upstream }, 8080, namespace),
      put("ConfigMap", "corp", { data: { "jwks.json": issuers.corpSet } }, { namespace }),
    ]),
    ...consumers(),
    ...certificates,
  ];
}

const POLICIES = 16;

function mutualTls(random: Random): readonly Change[] {
  const client = {
    mode: random.pick(["Optional", "Optional", "Optional", "Strict"]),
    caRefs: [{ kind: "ConfigMap", name: "partners", key: "ca.crt" }],
    ...(random.chance(0.5) ? { identities: identities(random) } : {}),
  };
  const target = {
    group: "gateway.networking.k8s.io",
    kind: "Gateway",
    name: "edge",
    ...(random.chance(0.95) ? { sectionName: "secure" } : {}),
  };
  return random.chance(0.8) ? [policy("mutual", [target], { mtls: { client } })] : [];
}

function identities(random: Random): readonly Written[] {
  const all: readonly Written[] = [
    { type: "Exact", san: "URI", value: "spiffe://partner/erp" },
    { type: "Prefix", san: "URI", value: "spiffe://partner/" },
    { type: "Suffix", san: "DNS", value: ".partner.test" },
    { type: "Regex", san: "DNS", value: "w.b\\..*" },
    { type: "Exact", san: "DNS", value: "nobody.test" },
  ];
  const some = random.some(all, 3);
  return some.length === 0 ? [random.pick(all)] : some;
}

function randomGrant(random: Random, at: number): Change {
  return put(
    "ApiGrant",
    `grant-${String(at)}`,
    {
      spec: {
        consumer: { name: random.pick(["erp", "web", "mesh"]) },
        policy: {
          name: `policy-${String(random.integer(POLICIES))}`,
          rules: random.pick([["r0"], ["r1"], ["r0", "r1"]]),
        },
        expiresAt: random.chance(0.8) ? "2090-01-01T00:00:00Z" : ENDED,
        ...(random.chance(0.15) ? { revoked: true } : {}),
      },
    },
    { namespace: random.chance(0.75) ? "shop" : "blog" },
  );
}

function listener(name: string, port: number, hostname?: string): Written {
  return {
    name,
    port,
    protocol: "HTTP",
    ...(hostname === undefined ? {} : { hostname }),
    allowedRoutes: { namespaces: { from: "All" } },
  };
}

function randomRoute(random: Random, at: number): Change {
  const rules = Array.from({ length: 1 + random.integer(3) }, (_, index): Written => ({
    ...(random.chance(0.7) ? { name: `rule-${String(index)}` } : {}),
    matches: Array.from({ length: 1 + random.integer(2) }, () => randomMatch(random)),
    ...(random.chance(0.08) ? { filters: [randomFilter(random)] } : {}),
    backendRefs: random.chance(0.92)
      ? [backend("echo")]
      : random.pick([[], [{ ...backend("echo"), weight: 0 }], [backend("missing")]]),
  }));
  return route(
    `route-${String(at)}`,
    {
      parentRefs: [
        {
          name: "edge",
          namespace: "shop",
          ...(random.chance(0.2) ? { sectionName: random.pick(["plain", "wild", "exact"]) } : {}),
        },
      ],
      ...(random.chance(0.2) ? {} : { hostnames: random.some(HOSTNAMES, 5) }),
      rules,
    },
    { namespace: random.chance(0.75) ? "shop" : "blog", created: random.integer(5) },
  );
}

function randomMatch(random: Random): Written {
  return {
    path: random.pick([
      { type: "PathPrefix", value: "/" },
      { type: "PathPrefix", value: "/" },
      { type: "PathPrefix", value: "/orders" },
      { type: "PathPrefix", value: "/orders/" },
      { type: "PathPrefix", value: "/orders/7" },
      { type: "Exact", value: "/orders" },
      { type: "Exact", value: "/orders/7/items" },
      { type: "RegularExpression", value: "/(?i)orders/[0-9]+" },
      { type: "RegularExpression", value: "/o.*|/x" },
      { type: "PathPrefix", value: "/" },
      random.chance(0.15) ? { type: "RegularExpression", value: "/orders/(" } : { type: "PathPrefix", value: "/" },
    ]),
    ...(random.chance(0.2) ? { method: random.chance(0.05) ? "get" : random.pick(["GET", "POST"]) } : {}),
    ...(random.chance(0.15)
      ? {
          headers: [
            random.pick([
              { name: "x-plan", value: "free" },
              { name: "X-Plan", type: "RegularExpression", value: "fr.*" },
              { name: "x-consumer", value: "erp" },
            ]),
          ],
        }
      : {}),
    ...(random.chance(0.12)
      ? {
          queryParams: [
            random.pick([
              { name: "v", value: "1" },
              { name: "v", type: "RegularExpression", value: "[0-9]*" },
            ]),
          ],
        }
      : {}),
  };
}

function randomFilter(random: Random): Written {
  return random.pick<Written>([
    { type: "RequestRedirect", requestRedirect: { scheme: "https", statusCode: 301 } },
    { type: "RequestRedirect", requestRedirect: { path: { type: "ReplaceFullPath", replaceFullPath: "/new" } } },
    { type: "URLRewrite", urlRewrite: { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/r" } } },
    { type: "RequestHeaderModifier", requestHeaderModifier: { set: [{ name: "x-set", value: "1" }] } },
    { type: "ExtensionRef", extensionRef: { group: "x", kind: "Y", name: "z" } },
  ]);
}

function randomPolicy(random: Random, at: number, issuers: Issuers): Change {
  const namespace = random.chance(0.75) ? "shop" : "blog";
  const name = `route-${String(random.integer(9))}`;
  const http = { group: "gateway.networking.k8s.io", kind: "HTTPRoute", name };
  const edge = { group: "gateway.networking.k8s.io", kind: "Gateway", name: "edge" };
  const [level, target] = random.pick<readonly [string, Written]>([
    ["Route", http],
    ["Route", http],
    ["Route", http],
    ["Rule", { ...http, sectionName: `rule-${String(random.integer(3))}` }],
    ["Namespace", { kind: "Namespace" }],
    ["Gateway", edge],
    ["Listener", { ...edge, sectionName: random.pick(["plain", "wild", "exact", "secure"]) }],
  ]);
  const farther = level === "Gateway" || level === "Listener";
  const sections: Written = {
    ...(random.chance(farther ? 0.35 : 0.85) ? { authentication: authentication(random, issuers) } : {}),
    ...(random.chance(farther ? 0.1 : 0.35) ? { authorization: authorization(random) } : {}),
    ...(random.chance(0.2) ? { allowlist: addresses(random, MINE, { inherit: random.chance(0.8) }) } : {}),
    ...(random.chance(0.15) ? { denylist: addresses(random, OTHERS, {}) } : {}),
    ...(random.chance(0.2) ? { rateLimit: limits(random) } : {}),
    ...(random.chance(0.1)
      ? {
          mtls: {
            backend: random.pick([
              { mode: "Off" },
              { mode: "Mutual", certificate: { issuerRef: { kind: "ClusterIssuer", name: "ca" } } },
            ]),
          },
        }
      : {}),
    ...(level === "Gateway" && random.chance(0.5)
      ? {
          clientIP: random.pick([
            { trustedHops: 1 },
            { trustedHops: 2 },
            { trustedProxies: ["127.0.0.0/30", "192.0.2.0/24"] },
          ]),
        }
      : {}),
    ...(random.chance(0.005) ? { authorisation: {} } : {}),
  };
  const written = Object.keys(sections).length > 0 ? sections : { denylist: addresses(random, OTHERS, {}) };
  return policy(
    `policy-${String(at)}`,
    [target],
    {
      ...written,
      ...(random.chance(0.1) ? { mode: "Audit" } : {}),
      ...(random.chance(0.25) ? { precedence: "Override" } : {}),
      ...(random.chance(0.1) ? { failurePolicy: "Open" } : {}),
    },
    { namespace: farther ? "shop" : namespace, created: random.integer(5) },
  );
}

function authentication(random: Random, issuers: Issuers): Written {
  if (random.chance(0.3)) return { mode: "Public", reason: "test" };
  if (random.chance(0.02)) return { forbid: ["Public"] };
  const selector = (): Written =>
    random.chance(0.5) ? {} : { consumerSelector: { matchLabels: { tier: random.pick(TIERS) } } };
  const corp = {
    name: "corp",
    issuer: CORP,
    jwks: random.pick<Written>([
      { type: "Inline", inline: issuers.corpSet },
      { type: "Ref", ref: { kind: "ConfigMap", name: "corp", key: "jwks.json" } },
      { type: "Ref", ref: { kind: "ConfigMap", name: "corp", key: "jwks.json" } },
      { type: "Ref", ref: { kind: "ConfigMap", name: "corp", key: random.chance(0.2) ? "missing" : "jwks.json" } },
      { type: "URI", uri: "https://never.test/keys" },
    ]),
    ...(random.chance(0.6) ? { audiences: ["shop"] } : {}),
    ...(random.chance(0.3)
      ? {
          from: random.pick<Written>([
            { headers: [{ name: "x-token" }] },
            { params: ["access_token"] },
            { cookies: ["sid"] },
            { headers: [{ name: "authorization", prefix: "Bearer " }], cookies: ["sid"] },
          ]),
        }
      : {}),
    ...(random.chance(0.2) ? { forwardToken: true } : {}),
    ...(random.chance(0.2) ? { algorithms: ["RS256"] } : {}),
    ...(random.chance(0.6) ? { rolesClaim: random.pick([["roles"], ["realm_access", "roles"]]) } : {}),
    ...(random.chance(0.3) ? { consumerHeader: "x-consumer" } : {}),
    ...(random.chance(0.3) ? { claimsToHeaders: [{ claim: "sub", header: "x-user-id" }] } : {}),
  };
  const partner = {
    name: "partner",
    issuer: PARTNER,
    audiences: ["shop"],
    algorithms: ["RS256", "EdDSA"],
    jwks: { type: "Inline", inline: issuers.partnerSet },
  };
  const methods: readonly Written[] = [
    { jwt: random.chance(0.3) ? [corp, partner] : [random.chance(0.8) ? corp : partner] },
    {
      apiKey: {
        ...(random.chance(0.6)
          ? {
              from: random.pick<Written>([
                { headers: ["x-api-key"] },
                { params: ["key"] },
                { cookies: ["key"] },
                { headers: ["x-api-key"], params: ["key"] },
              ]),
            }
          : {}),
        ...selector(),
        ...(random.chance(0.5) ? { consumerHeader: "x-consumer" } : {}),
        ...(random.chance(0.2) ? { forwardKey: true } : {}),
      },
    },
    { basic: selector() },
    ...(random.chance(0.25)
      ? [
          {
            clientCertificate: {
              identities: identities(random),
              ...(random.chance(0.5) ? { consumerHeader: "x-consumer" } : {}),
            },
          },
        ]
      : []),
  ];
  const chosen = random.some(methods, 3);
  return {
    ...(random.chance(0.25) ? { mode: "Optional" } : {}),
    ...Object.assign({}, ...(chosen.length === 0 ? [random.pick(methods)] : chosen)),
  } as Written;
}

function addresses(random: Random, from: readonly string[], more: Written): Written {
  const ranges = [...new Set(random.some(from, 4))];
  const entries = (ranges.length === 0 ? [random.pick(from)] : ranges).map((cidr) => ({
    cidr,
    ...(random.chance(0.2) ? { expiresAt: ENDED } : {}),
  }));
  return { entries, ...more };
}

/** Never used up: how full a bucket is cannot be told from outside. */
function limits(random: Random): Written {
  const limit = (name: string): Written => ({
    name,
    requests: 1_000_000,
    per: "1h",
    ...(random.chance(0.6)
      ? {
          by: random.pick([
            [{ type: "ClientIP" }],
            [{ type: "Consumer" }],
            [{ type: "Header", name: "x-plan" }],
            [{ type: "Query", name: "v" }],
          ]),
        }
      : {}),
    ...(random.chance(0.15) ? { scope: random.chance(0.05) ? "Global" : "PerGateway" } : {}),
  });
  return { limits: random.some(["one", "two", "three"], 2).concat("four").map(limit) };
}

function authorization(random: Random): Written {
  return {
    ...(random.chance(0.3) ? { defaultAction: random.pick(["Allow", "Deny"]) } : {}),
    rules: Array.from({ length: 1 + random.integer(3) }, (_, at) => authorizationRule(random, at)),
  };
}

function authorizationRule(random: Random, at: number): Written {
  const action = random.chance(0.7) ? "Allow" : "Deny";
  const maybe = (probability: number, make: () => Written): Written => (random.chance(probability) ? make() : {});
  return {
    name: `r${String(at)}`,
    action,
    ...maybe(0.3, () => ({ methods: random.pick([["GET"], ["GET", "HEAD"], ["POST", "DELETE"]]) })),
    ...maybe(0.35, () => ({
      paths: random.pick([["/**"], ["/orders/**"], ["/orders/{id}", "/x"], ["/orders/*/items"], ["/"]]),
    })),
    ...maybe(0.2, () => ({ roles: random.pick([["user"], ["admin"], ["user", "admin"]]) })),
    ...maybe(0.1, () => ({ scopes: random.pick([["orders:read"], ["orders:read", "orders:write"]]) })),
    ...maybe(0.15, () => ({ consumers: random.pick([["erp"], ["web", "mesh"]]) })),
    ...maybe(0.1, () => ({ identities: identities(random) })),
    ...maybe(0.1, () => ({ claims: [{ provider: "corp", path: ["dept"], values: ["sales"] }] })),
    ...maybe(0.15, () => ({ sources: random.pick([["127.0.0.0/30"], ["127.0.0.9/32", "192.0.2.0/24"]]) })),
    ...maybe(0.15, () => ({
      when: random.pick([
        "request.method == 'GET'",
        "request.headers['x-plan'] == 'free'",
        "request.url_path.startsWith('/orders')",
        "claims.sub == 'alice'",
        "consumer.attributes.department == 'sales'",
        "!('x-plan' in request.headers)",
      ]),
    })),
    ...(action === "Deny"
      ? {}
      : maybe(0.1, () => ({ mfa: random.pick<Written>([{ amr: ["otp"] }, { maxAge: "10m" }]) }))),
    ...(action === "Deny" ? {} : maybe(0.12, () => ({ grant: "Required" }))),
  };
}
