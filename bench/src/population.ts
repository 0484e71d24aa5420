/**
 * The objects that are measured with: N HTTPRoutes with an ApiPolicy each on one Gateway, a hundred to a namespace, as teams
 * have them. Half of the policies take tokens, half take API keys; each has a limit by address and a denylist.
 */

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [key: string]: unknown;
}

/** What every object of a population needs to know of its surroundings. */
export interface Surroundings {
  readonly gateway: { readonly namespace: string; readonly name: string };
  readonly prefix: string;
  /** The text of the key set that the tokens are signed by. */
  readonly jwks: string;
  readonly upstream: { readonly address: string; readonly port: number };
  /** From that many namespaces on, further routes go to the first ones again. */
  readonly namespaces?: number;
}

export const ISSUER = "https://sso.bench.test";
export const AUDIENCE = "bench";
export const ROUTES_PER_NAMESPACE = 100;
const CONSUMERS_PER_NAMESPACE = 5;
/** Nobody comes from here (RFC 5737). */
const NOBODY = "198.51.100";

export const namespaceOf = ({ prefix, namespaces }: Surroundings, index: number): string => {
  const number = Math.floor(index / ROUTES_PER_NAMESPACE);
  return `${prefix}-${String(namespaces === undefined ? number : number % namespaces)}`;
};
export const routeName = (index: number): string => `r${String(index)}`;
export const hostOf = (index: number): string => `h${String(index)}.bench.test`;
export const takesTokens = (index: number): boolean => index % 2 === 0;
/** The key of the consumer `rotating` that comes and goes, by namespace. */
export const rotatingKey = (namespace: string): string => `rotating-2-of-${namespace}`;
/** The key that always holds. */
export const standingKey = (namespace: string): string => `app-0-of-${namespace}`;

/** A namespace with what its hundred routes share. */
export function sharedObjects(around: Surroundings, namespace: string): readonly Manifest[] {
  const { address, port } = around.upstream;
  const apps = Array.from({ length: CONSUMERS_PER_NAMESPACE }, (_, index) => `app-${String(index)}`);
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "jwks", namespace }, data: { "jwks.json": around.jwks } },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "upstream", namespace },
      spec: { ports: [{ name: "http", port: 80, protocol: "TCP", targetPort: port }] },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "upstream-1", namespace, labels: { "kubernetes.io/service-name": "upstream" } },
      addressType: "IPv4",
      ports: [{ name: "http", port, protocol: "TCP" }],
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
    },
    ...apps.flatMap((name) => [
      secret(namespace, `${name}-k1`, `${name}-of-${namespace}`),
      consumer(namespace, name, [`${name}-k1`]),
    ]),
    secret(namespace, "rotating-k1", `rotating-1-of-${namespace}`),
    secret(namespace, "rotating-k2", rotatingKey(namespace)),
    rotatingConsumer(namespace, true),
  ];
}

/** The consumer with one key or two. */
export function rotatingConsumer(namespace: string, both: boolean): Manifest {
  return consumer(namespace, "rotating", both ? ["rotating-k1", "rotating-k2"] : ["rotating-k1"]);
}

function consumer(namespace: string, name: string, secrets: readonly string[]): Manifest {
  const apiKeys = secrets.map((each) => ({ name: each, secretRef: { name: each, key: "api-key" } }));
  return {
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiConsumer",
    metadata: { name, namespace },
    spec: { type: "Application", apiKeys },
  };
}

function secret(namespace: string, name: string, key: string): Manifest {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace },
    type: "Opaque",
    data: { "api-key": btoa(key) },
  };
}

const RULE = "all";

/** `revision` sets a header of the answer, so that a client sees which version it meets. */
export function route(around: Surroundings, index: number, revision?: number): Manifest {
  const { name, namespace } = around.gateway;
  const filters =
    revision === undefined
      ? {}
      : {
          filters: [
            {
              type: "ResponseHeaderModifier",
              responseHeaderModifier: { set: [{ name: "x-revision", value: String(revision) }] },
            },
          ],
        };
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { name: routeName(index), namespace: namespaceOf(around, index) },
    spec: {
      parentRefs: [{ group: "gateway.networking.k8s.io", kind: "Gateway", name, namespace }],
      hostnames: [hostOf(index)],
      rules: [
        {
          name: RULE,
          matches: [{ path: { type: "PathPrefix", value: "/" } }],
          ...filters,
          backendRefs: [{ group: "", kind: "Service", name: "upstream", port: 80, weight: 1 }],
        },
      ],
    },
  };
}

/** `denied` are further addresses that are refused. */
export function policy(around: Surroundings, index: number, denied: readonly string[] = []): Manifest {
  const own = `${NOBODY}.${String(index % 250)}/32`;
  return {
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiPolicy",
    metadata: { name: routeName(index), namespace: namespaceOf(around, index) },
    spec: {
      targetRefs: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: routeName(index) }],
      authentication: authentication(index),
      rateLimit: { limits: [{ name: "each", requests: 100_000, per: "1m", by: [{ type: "ClientIP" }] }] },
      denylist: { entries: [own, ...denied].map((cidr) => ({ cidr })) },
    },
  };
}

/** A second policy of the same route, at its rule: what a team adds to what it has for the whole route. */
export function rulePolicy(around: Surroundings, index: number): Manifest {
  const target = { group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: routeName(index), sectionName: RULE };
  return {
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiPolicy",
    metadata: { name: `${routeName(index)}-rule`, namespace: namespaceOf(around, index) },
    spec: {
      targetRefs: [target],
      rateLimit: { limits: [{ name: "own", requests: 50_000, per: "1m" }] },
      denylist: { entries: [{ cidr: `192.0.2.${String(index % 250)}/32` }] },
      logging: { fields: { route: routeName(index) } },
    },
  };
}

/** What the whole namespace has beside. */
export function namespacePolicy(namespace: string): Manifest {
  return {
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiPolicy",
    metadata: { name: "house", namespace },
    spec: {
      targetRefs: [{ kind: "Namespace" }],
      denylist: { entries: [{ cidr: "203.0.113.0/25" }] },
      logging: { calls: "Errors" },
    },
  };
}

/** The Gateway's own policy: a floor that every route stands on, or a Default that they may replace. `denied` are further addresses. */
export function gatewayPolicy({ gateway }: Surroundings, floor: boolean, denied: readonly string[] = []): Manifest {
  return {
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiPolicy",
    metadata: { name: "platform", namespace: gateway.namespace },
    spec: {
      targetRefs: [{ group: "gateway.networking.k8s.io", kind: "Gateway", name: gateway.name }],
      ...(floor ? { precedence: "Override" } : {}),
      ...(floor ? { authentication: { forbid: ["Public", "Optional"] } } : {}),
      rateLimit: { limits: [{ name: "each", requests: 200_000, per: "1m", by: [{ type: "ClientIP" }] }] },
      denylist: { entries: ["203.0.113.128/25", ...denied].map((cidr) => ({ cidr })) },
      logging: { headers: ["x-request-id"] },
    },
  };
}

export function authentication(index: number): unknown {
  return takesTokens(index)
    ? {
        jwt: [
          {
            name: "corp",
            issuer: ISSUER,
            audiences: [AUDIENCE],
            algorithms: ["RS256"],
            jwks: { type: "Ref", ref: { kind: "ConfigMap", name: "jwks", key: "jwks.json" } },
            claimsToHeaders: [{ claim: "sub", header: "x-user-id" }],
          },
        ],
      }
    : { apiKey: { from: { headers: ["x-api-key"] }, consumerHeader: "x-consumer" } };
}
