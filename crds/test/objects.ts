/** Whole objects that must be accepted and refused, by the parser and by the API server. */

export interface ObjectCase {
  readonly what: string;
  readonly kind: "ApiPolicy" | "ApiConsumer" | "ApiGrant" | "ProxyConfig";
  readonly spec: unknown;
  /** Of the refusal: the field and what is said, by the parser. */
  readonly path?: string;
  readonly message?: RegExp;
  /** The server cannot see it; the status says it. */
  readonly admitted?: true;
}

const target = { group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "orders", sectionName: "read" };
const denylist = { entries: [{ cidr: "198.51.100.7/32" }] };
const secretRef = { name: "erp-k1", key: "api-key" };
const times = { notBefore: "2026-11-01T00:00:00Z", expiresAt: "2027-11-01T00:00:00Z" };

const policy = (spec: object): Pick<ObjectCase, "kind" | "spec"> => ({ kind: "ApiPolicy", spec });
const targeting = (...targetRefs: readonly unknown[]): Pick<ObjectCase, "kind" | "spec"> =>
  policy({ targetRefs, denylist });
const consumer = (spec: unknown): Pick<ObjectCase, "kind" | "spec"> => ({ kind: "ApiConsumer", spec });
const proxies = (spec: unknown): Pick<ObjectCase, "kind" | "spec"> => ({ kind: "ProxyConfig", spec });

export const GRANT = {
  consumer: { name: "erp" },
  policy: { name: "orders", rules: ["export"] },
  notBefore: "2026-12-01T00:00:00Z",
  expiresAt: "2026-12-02T00:00:00Z",
  ticket: "OPS-1234",
  revoked: false,
};
const grant = (spec: object): Pick<ObjectCase, "kind" | "spec"> => ({ kind: "ApiGrant", spec });
const without = (field: keyof typeof GRANT): object =>
  Object.fromEntries(Object.entries(GRANT).filter(([key]) => key !== field));
const token = { issuer: "https://sso.corp.test/realms/main", claim: "azp", value: "erp" };

export const ACCEPTED: readonly ObjectCase[] = [
  {
    what: "a policy with all its own fields",
    ...policy({ targetRefs: [target], mode: "Enforce", failurePolicy: "Closed", precedence: "Default", denylist }),
  },
  {
    what: "every other word",
    ...policy({ targetRefs: [target], mode: "Audit", failurePolicy: "Open", precedence: "Override", denylist }),
  },
  {
    what: "every kind of target",
    ...targeting(
      { kind: "Gateway", name: "edge", sectionName: "https" },
      { group: "gateway.networking.k8s.io", kind: "GRPCRoute", name: "orders" },
      { group: "", kind: "Service", name: "orders" },
      { kind: "Namespace" },
    ),
  },
  { what: "16 targets", ...targeting(...Array.from({ length: 16 }, (_, n) => ({ ...target, name: `r${String(n)}` }))) },
  { what: "two rules of one route", ...targeting(target, { ...target, sectionName: "write" }) },
  {
    what: "a consumer with everything",
    ...consumer({
      type: "Application",
      roles: ["user"],
      attributes: { department: "sales" },
      apiKeys: [{ name: "k1", secretRef, ...times }],
      basic: { secretRef: { name: "erp-basic", key: "password" } },
      jwt: [token, { ...token, claim: "realm_access.client" }, { ...token, claim: "https://corp.test/app..id" }],
      identities: [{ type: "Exact", san: "URI", value: "spiffe://cluster.local/ns/shop/sa/erp" }],
      suspended: false,
    }),
  },
  { what: "a grant with everything", ...grant(GRANT) },
  { what: "a grant from now on", ...grant(without("notBefore")) },
  { what: "a consumer without credentials", ...consumer({ type: "Person" }) },
  {
    what: "a proxy configuration with everything",
    ...proxies({
      autoscaling: { minReplicas: 1, maxReplicas: 5, cpuUtilization: 50 },
      resources: { requests: { cpu: "250m", memory: "256Mi" }, limits: { cpu: "1.5", memory: "1Gi" } },
      image: `registry.test:5000/envoy/envoy@sha256:${"0".repeat(64)}`,
      service: {
        type: "LoadBalancer",
        annotations: { "example.com/scheme": "internal, or so" },
        loadBalancerClass: "example.com/internal",
        externalTrafficPolicy: "Local",
      },
      logLevel: "info",
      drainTime: "1m30s",
      labels: { team: "shop" },
    }),
  },
  { what: "a proxy configuration with a number", ...proxies({ replicas: 1 }) },
  { what: "an autoscaler with its default", ...proxies({ autoscaling: { maxReplicas: 2 } }) },
];

export const REFUSED: readonly ObjectCase[] = [
  { what: "a proxy configuration without a spec", ...proxies(undefined), path: "spec", message: /missing/ },
  { what: "a proxy configuration that says nothing", ...proxies({}), path: "spec", message: /says nothing/ },
  {
    what: "a number and an autoscaler",
    ...proxies({ replicas: 2, autoscaling: { maxReplicas: 3 } }),
    path: "spec",
    message: /both replicas and autoscaling/,
  },
  {
    what: "an autoscaler with fewer at most than at least",
    ...proxies({ autoscaling: { maxReplicas: 1 } }),
    path: "spec.autoscaling",
    message: /fewer maxReplicas/,
  },
  { what: "no replicas", ...proxies({ replicas: 0 }), path: "spec.replicas", message: /too small/ },
  {
    what: "an amount that is none",
    ...proxies({ resources: { requests: { memory: "lots" } } }),
    path: "spec.resources.requests.memory",
    message: /no quantity/,
  },
  { what: "an image with a space", ...proxies({ image: "envoy 1" }), path: "spec.image", message: /no image/ },
  {
    what: "a Service of another type",
    ...proxies({ service: { type: "ExternalName" } }),
    path: "spec.service.type",
    message: /not known/,
  },
  {
    what: "an annotation with a space in its key",
    ...proxies({ service: { annotations: { "a b": "c" } } }),
    path: "spec.service.annotations",
    message: /no annotation/,
  },
  { what: "a label that is none", ...proxies({ labels: { a: "b c" } }), path: "spec.labels", message: /no label/ },
  { what: "no time to drain", ...proxies({ drainTime: "0s" }), path: "spec.drainTime", message: /no duration/ },
  {
    what: "a field of a later version of proxies",
    ...proxies({ replicas: 1, mesh: {} }),
    path: "spec.mesh",
    message: /^unknown field spec\.mesh$/,
    admitted: true,
  },
  { what: "a policy without a spec", kind: "ApiPolicy", spec: undefined, path: "spec", message: /missing or empty/ },
  { what: "a policy that says nothing", ...policy({}), path: "spec", message: /missing or empty/ },
  { what: "a policy without a section", ...policy({ targetRefs: [target] }), path: "spec", message: /no section/ },
  {
    what: "a policy with a mode and no section",
    ...policy({ targetRefs: [target], mode: "Audit" }),
    path: "spec",
    message: /no section/,
    admitted: true,
  },
  {
    what: "a section that is not known",
    ...policy({ targetRefs: [target], cors: { origins: ["https://a.test"] } }),
    path: "spec.cors",
    message: /^unknown field spec\.cors$/,
    admitted: true,
  },
  { what: "no targets", ...targeting(), path: "spec.targetRefs", message: /too small/ },
  { what: "targets left out", ...policy({ denylist, mode: "Enforce" }), path: "spec.targetRefs", message: /missing/ },
  {
    what: "17 targets",
    ...targeting(...Array.from({ length: 17 }, (_, n) => ({ ...target, name: `r${String(n)}` }))),
    path: "spec.targetRefs",
    message: /too big/,
  },
  { what: "a target twice", ...targeting(target, target), path: "spec.targetRefs", message: /twice/ },
  {
    what: "a target without a name",
    ...targeting({ kind: "HTTPRoute" }),
    path: "spec.targetRefs[0]",
    message: /names nothing/,
  },
  {
    what: "a kind that takes no policy",
    ...targeting({ kind: "Pod", name: "a" }),
    path: "spec.targetRefs[0].kind",
    message: /not known/,
  },
  {
    what: "another kind's group",
    ...targeting({ ...target, group: "" }),
    path: "spec.targetRefs[0]",
    message: /group/,
  },
  {
    what: "a part of a Namespace",
    ...targeting({ kind: "Namespace", sectionName: "a" }),
    path: "spec.targetRefs[0]",
    message: /part of a Namespace/,
  },
  {
    what: "another namespace",
    ...targeting({ kind: "Namespace", name: "another" }),
    path: "spec.targetRefs[0].name",
    message: /another namespace/,
    admitted: true,
  },
  {
    what: "a target in another namespace",
    ...targeting({ ...target, namespace: "another" }),
    path: "spec.targetRefs[0].namespace",
    message: /^unknown field/,
    admitted: true,
  },
  {
    what: "another mode",
    ...policy({ targetRefs: [target], mode: "Off", denylist }),
    path: "spec.mode",
    message: /not known/,
  },
  {
    what: "another failurePolicy",
    ...policy({ targetRefs: [target], failurePolicy: "open", denylist }),
    path: "spec.failurePolicy",
    message: /not known/,
  },
  {
    what: "a section that is a list",
    ...policy({ targetRefs: [target], denylist: [] }),
    path: "spec.denylist",
    message: /an object/,
  },
  { what: "a consumer without a spec", ...consumer(undefined), path: "spec", message: /missing/ },
  { what: "a consumer of another type", ...consumer({ type: "Robot" }), path: "spec.type", message: /not known/ },
  { what: "no keys", ...consumer({ apiKeys: [] }), path: "spec.apiKeys", message: /too small/ },
  {
    what: "nine keys",
    ...consumer({ apiKeys: Array.from({ length: 9 }, (_, n) => ({ name: `k${String(n)}`, secretRef })) }),
    path: "spec.apiKeys",
    message: /too big/,
  },
  {
    what: "a key without its Secret",
    ...consumer({ apiKeys: [{ name: "k1" }] }),
    path: "spec.apiKeys[0].secretRef",
    message: /missing/,
  },
  {
    what: "a key that ends before it begins",
    ...consumer({ apiKeys: [{ name: "k1", secretRef, notBefore: times.expiresAt, expiresAt: times.notBefore }] }),
    path: "spec.apiKeys[0]",
    message: /before it begins/,
  },
  {
    what: "two keys of one name",
    ...consumer({
      apiKeys: [
        { name: "k1", secretRef },
        { name: "k1", secretRef },
      ],
    }),
    path: "spec.apiKeys[1].name",
    message: /duplicate/,
  },
  {
    what: "a Secret of another namespace",
    ...consumer({ basic: { secretRef: { ...secretRef, namespace: "another" } } }),
    path: "spec.basic.secretRef.namespace",
    message: /^unknown field/,
    admitted: true,
  },
  { what: "no tokens", ...consumer({ jwt: [] }), path: "spec.jwt", message: /too small/ },
  {
    what: "nine tokens",
    ...consumer({ jwt: Array.from({ length: 9 }, () => token) }),
    path: "spec.jwt",
    message: /too big/,
  },
  {
    what: "an empty part of a claim",
    ...consumer({ jwt: [{ ...token, claim: "a..b" }] }),
    path: "spec.jwt[0].claim",
    message: /empty part/,
  },
  {
    what: "a pattern that is none",
    ...consumer({ identities: [{ type: "Regex", san: "URI", value: "(" }] }),
    path: "spec.identities[0].value",
    message: /./,
    admitted: true,
  },
  ...(["consumer", "policy", "expiresAt"] as const).map((field) => ({
    what: `a grant without ${field}`,
    ...grant(without(field)),
    path: `spec.${field}`,
    message: /missing/,
  })),
  {
    what: "a grant of nothing",
    ...grant({ ...GRANT, policy: { name: "orders", rules: [] } }),
    path: "spec.policy.rules",
    message: /too small/,
  },
  {
    what: "a rule twice",
    ...grant({ ...GRANT, policy: { name: "orders", rules: ["export", "export"] } }),
    path: "spec.policy.rules[1]",
    message: /duplicate/,
  },
  {
    what: "a grant that ends before it begins",
    ...grant({ ...GRANT, expiresAt: "2026-11-01T00:00:00Z" }),
    path: "spec",
    message: /before it begins/,
  },
  {
    what: "a grant that ends on 30 February",
    ...grant({ ...GRANT, expiresAt: "2027-02-30T00:00:00Z" }),
    path: "spec.expiresAt",
    message: /no point in time/,
  },
  {
    what: "a grant to a consumer of another namespace",
    ...grant({ ...GRANT, consumer: { name: "erp", namespace: "another" } }),
    path: "spec.consumer.namespace",
    message: /^unknown field/,
    admitted: true,
  },
  {
    what: "a token without its claim",
    ...consumer({ jwt: [{ issuer: "https://sso.corp.test", value: "erp" }] }),
    path: "spec.jwt[0].claim",
    message: /missing/,
  },
];
