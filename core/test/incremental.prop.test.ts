/**
 * The incremental result equals a fresh one: after any sequence of edits an engine has put out, all in all, what a new engine puts out for
 * the world as it then is. Small name spaces, so that edits meet.
 */
import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { createEngine } from "../src/engine.ts";
import type { Change, Engine, Output } from "../src/world.ts";
import { gateway, gatewayClass, gone, OPTIONS, policy, put, route, service } from "./objects.ts";

const RUNS = Number(process.env["PROPERTY_RUNS"] ?? 60);
const NOW = Date.parse("2026-06-01T00:00:00Z");
/** When nothing stays in an extension any more for proxies that have not changed over (translate/retire.ts). */
const SETTLED = NOW + 10_000;

/** Everything that the outputs amount to. */
function held(outputs: readonly Output[]): unknown {
  const resources = new Map<string, unknown>();
  const statuses = new Map<string, unknown>();
  const certificates = new Map<string, unknown>();
  const watch = new Set<string>();
  for (const output of outputs) {
    expect(output.faults).toEqual([]);
    for (const { gateway: of, type, name, json, owners } of output.resources) {
      const id = `${of} ${type} ${name}`;
      if (json === undefined) resources.delete(id);
      else resources.set(id, type === "scope" || type === "listener" ? { json, owners } : json);
    }
    for (const { key, status } of output.statuses) {
      const id = `${key.kind}/${key.namespace}/${key.name}`;
      if (status === undefined) statuses.delete(id);
      else statuses.set(id, status);
    }
    for (const { namespace, name, object } of output.certificates) {
      if (object === undefined) certificates.delete(`${namespace}/${name}`);
      else certificates.set(`${namespace}/${name}`, object);
    }
    for (const key of output.watch.add) watch.add(JSON.stringify(key));
    for (const key of output.watch.remove) watch.delete(JSON.stringify(key));
  }
  const sorted = (map: ReadonlyMap<string, unknown>): unknown =>
    Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
  return {
    resources: sorted(resources),
    statuses: sorted(statuses),
    certificates: sorted(certificates),
    watch: [...watch].sort(),
  };
}

const name = fc.constantFrom("a", "b", "c");
const namespace = fc.constantFrom("shop", "infra");
const host = fc.constantFrom("a.test", "b.test", "*.test", "x.a.test", "*.a.test");
const created = fc.integer({ min: 0, max: 5 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });

const listener = fc.record({
  name: name,
  port: fc.constantFrom(80, 443),
  protocol: fc.constantFrom("HTTP", "HTTPS"),
  hostname: fc.option(host, { nil: undefined }),
  allowedRoutes: fc.constantFrom(
    undefined,
    { namespaces: { from: "All" } },
    { namespaces: { from: "Selector", selector: { matchLabels: { open: "yes" } } } },
  ),
  tls: fc.constantFrom(
    { certificateRefs: [{ name: "tls" }] },
    { certificateRefs: [{ name: "tls", namespace: "infra" }] },
  ),
});

const gateways = fc
  .record({ name, listeners: fc.uniqueArray(listener, { minLength: 1, maxLength: 3, selector: (one) => one.name }) })
  .map(({ name: of, listeners }) => gateway(of, listeners));

const rule = fc.record({
  name: maybe(fc.constantFrom("read", "write")),
  matches: fc.array(
    fc.record({
      path: fc.record({
        type: fc.constantFrom("PathPrefix", "Exact", "RegularExpression"),
        value: fc.constantFrom("/", "/a", "/a/b", "/("),
      }),
    }),
    { maxLength: 2 },
  ),
  backendRefs: fc.array(
    fc.record({
      name,
      port: fc.constantFrom(8080, 9090),
      namespace: maybe(namespace),
      weight: fc.constantFrom(0, 1, 3),
    }),
    { maxLength: 2 },
  ),
});

const routes = fc
  .record({
    name,
    namespace,
    created,
    parentRefs: fc.array(fc.record({ name, namespace: fc.constant("shop"), sectionName: maybe(name) }), {
      minLength: 1,
      maxLength: 2,
    }),
    hostnames: fc.uniqueArray(host, { maxLength: 2 }),
    rules: fc.array(rule, { minLength: 1, maxLength: 2 }),
  })
  .map(({ name: of, namespace: within, created: age, ...spec }) =>
    route(of, spec, { namespace: within, created: age }),
  );

const target = fc.oneof(
  fc.record({ kind: fc.constant("HTTPRoute"), name, sectionName: maybe(fc.constantFrom("read", "write")) }),
  fc.record({ kind: fc.constant("Gateway"), name, sectionName: maybe(name) }),
  fc.constant({ kind: "Namespace" }),
);
const section = fc.record(
  {
    authentication: fc.constantFrom<unknown>(
      { mode: "Public", reason: "test" },
      { apiKey: { from: { headers: ["x-api-key"] }, consumerHeader: "x-consumer" } },
      { basic: { consumerHeader: "x-user" } },
      {
        jwt: [
          {
            name: "corp",
            issuer: "https://sso.test",
            audiences: ["shop"],
            jwks: { type: "Ref", ref: { kind: "ConfigMap", name: "jwks", key: "jwks.json" } },
          },
        ],
      },
      { forbid: ["Public"] },
      { mode: "Nonsense" },
    ),
    rateLimit: fc.constantFrom<unknown>(
      { limits: [{ name: "all", requests: 5, per: "1m" }] },
      { limits: [{ name: "each", requests: 5, per: "1m", by: [{ type: "Consumer" }] }] },
      { limits: [{ name: "global", requests: 5, per: "1m", scope: "Global" }] },
    ),
    denylist: fc.constantFrom<unknown>({ entries: [{ cidr: "10.0.0.0/8" }] }, { entries: [{ cidr: "nonsense" }] }),
    allowlist: fc.constantFrom<unknown>({ entries: [{ cidr: "10.0.0.0/8", expiresAt: "2026-12-01T00:00:00Z" }] }),
    clientIP: fc.constant<unknown>({ trustedHops: 1 }),
    mtls: fc.constantFrom<unknown>(
      { client: { mode: "Strict", caRefs: [{ kind: "ConfigMap", name: "ca", key: "ca.crt" }] } },
      { backend: { mode: "Simple" } },
    ),
  },
  { requiredKeys: [] },
);
const policies = fc
  .record({
    name,
    namespace,
    created,
    targets: fc.array(target, { minLength: 1, maxLength: 2 }),
    mode: fc.constantFrom("Enforce", "Enforce", "Audit"),
    precedence: fc.constantFrom("Default", "Default", "Override"),
    section,
  })
  .map(({ name: of, namespace: within, created: age, targets, mode, precedence, section: sections }) =>
    policy(of, targets, { mode, precedence, ...sections }, { namespace: within, created: age }),
  );

const others = fc.oneof(
  fc
    .record({ name, namespace })
    .map(
      ({ name: of, namespace: within }) => service(of, { address: "10.0.0.1", port: 80 }, 8080, within)[0] as Change,
    ),
  fc
    .record({ name, namespace, address: fc.constantFrom("10.0.0.1", "10.0.0.2") })
    .map(({ name: of, namespace: within, address }) => service(of, { address, port: 80 }, 8080, within)[1] as Change),
  namespace.chain((of) =>
    fc
      .constantFrom<Readonly<Record<string, string>>>({ open: "yes" }, { "gatewarden.io/overrides": "allowed" }, {})
      .map((labels) => put("Namespace", of, { metadata: { labels } })),
  ),
  namespace.map((of) =>
    put(
      "ReferenceGrant",
      "grant",
      {
        spec: {
          from: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: "shop" }],
          to: [{ group: "", kind: "Service" }],
        },
      },
      { namespace: of },
    ),
  ),
  fc
    .record({ name, namespace, created, key: fc.constantFrom("k1", "k2") })
    .map(({ name: of, namespace: within, created: age, key }) =>
      put(
        "ApiConsumer",
        of,
        { spec: { apiKeys: [{ name: "k", secretRef: { name: key, key: "key" } }] } },
        { namespace: within, created: age },
      ),
    ),
  fc
    .record({ namespace, name: fc.constantFrom("k1", "k2"), value: fc.constantFrom("one", "two") })
    .map(({ namespace: within, name: of, value }) =>
      put("Secret", of, { data: { key: Buffer.from(value).toString("base64") } }, { namespace: within }),
    ),
  namespace.map((of) => put("ConfigMap", "jwks", { data: { "jwks.json": '{"keys":[]}' } }, { namespace: of })),
);
const object = fc.oneof(
  { weight: 2, arbitrary: gateways },
  { weight: 4, arbitrary: routes },
  { weight: 5, arbitrary: policies },
  { weight: 4, arbitrary: others },
);
const edit = fc.record({ change: object, remove: fc.integer({ min: 0, max: 3 }).map((n) => n === 0) });
/** After how many units of work each evaluation is interrupted; what is edited next comes in between. */
const patience = fc.array(fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constant(1_000)), {
  minLength: 1,
  maxLength: 14,
});

test("after any edits the incremental result is that of a fresh engine", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(edit, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 14 }),
      patience,
      (batches, units) => {
        const engine = createEngine({ ...OPTIONS, requirePolicy: true });
        const world = new Map<string, Change>();
        const outputs = [engine.apply([gatewayClass], NOW)];
        let generation = 1;
        for (const [at, batch] of batches.entries()) {
          const changes = batch.map(({ change, remove }): Change =>
            remove ? gone(change) : withGeneration(change, ++generation),
          );
          for (const change of changes) {
            const id = `${change.key.kind}/${change.key.namespace}/${change.key.name}`;
            if (change.object === undefined) world.delete(id);
            else world.set(id, change);
          }
          let left = units[at % units.length] ?? 1;
          outputs.push(engine.apply(changes, NOW, () => (left -= 1) <= 0));
        }
        outputs.push(engine.apply([], NOW), engine.apply([], SETTLED));
        expect(held(outputs)).toEqual(held(fresh([...world.values()])));
      },
    ),
    { numRuns: RUNS },
  );
});

test("the order in which objects arrive does not matter", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(object, {
        minLength: 1,
        maxLength: 20,
        selector: ({ key }) => `${key.kind}/${key.namespace}/${key.name}`,
      }),
      fc.infiniteStream(fc.nat()),
      (changes, keys) => {
        const shuffled = changes
          .map((change) => [keys.next().value as number, change] as const)
          .sort(([a], [b]) => a - b);
        expect(held(fresh(shuffled.map(([, change]) => change)))).toEqual(held(fresh(changes)));
      },
    ),
    { numRuns: RUNS },
  );
});

function fresh(changes: readonly Change[]): readonly Output[] {
  const engine: Engine = createEngine({ ...OPTIONS, requirePolicy: true });
  return [engine.apply([gatewayClass, ...changes], SETTLED)];
}

function withGeneration({ key, object: old }: Change, generation: number): Change {
  if (old === undefined) return { key, object: old };
  return { key, object: { ...old, metadata: { ...old.metadata, generation } } };
}
