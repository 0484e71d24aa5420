/** What the tests of a slice need around it: a policy that wrote the section, objects to look up, a route that it stands on. */
import { isSelected } from "../src/consumers/view.ts";
import type {
  At,
  Consumer,
  Found,
  Level,
  ListenerContext,
  Lookup,
  RouteContext,
  SectionKey,
  Source,
} from "../src/slice.ts";

export function sourceOf(section: SectionKey, level: Level = "Route", name = "orders", namespace = "shop"): Source {
  const text = `${namespace}/${name}#${section}`;
  return { namespace, name, uid: `uid-${name}`, generation: 1, section, level, precedence: "Default", text };
}

export function atOf(source: Source): At {
  return { source, path: `spec.${source.section}`, audit: false };
}

export function routeOf(source: Source, context: Partial<RouteContext> = {}): RouteContext {
  return {
    namespace: source.namespace,
    gateway: "infra/edge",
    source,
    sources: [source],
    clientCertificates: "Off",
    listener: "http",
    tls: false,
    audit: false,
    ...context,
  };
}

export function listenerOf(context: Partial<ListenerContext> = {}): ListenerContext {
  return {
    gateway: { namespace: "infra", name: "edge", uid: "uid-edge", annotations: {} },
    listener: {
      name: "https",
      port: 443,
      protocol: "HTTPS",
      hostname: "shop.test",
      certificateRefs: [{ kind: "Secret", namespace: "infra", name: "shop-tls" }],
    },
    logDirectory: "/var/log/gatewarden",
    ...context,
  };
}

export interface World {
  readonly consumers?: readonly Partial<Consumer>[];
  /** "Kind/namespace/name/key" → content. */
  readonly values?: Readonly<Record<string, string>>;
  readonly backends?: Readonly<Record<string, string>>;
  readonly nowMs?: number;
  /** "namespace/policy/rule" → names of consumers. */
  readonly grants?: Readonly<Record<string, readonly string[]>>;
}

/** A lookup over fixed objects that remembers what `until` was told. */
export function lookupOf(world: World = {}): Lookup & { readonly times: readonly number[] } {
  const times: number[] = [];
  return {
    times,
    nowMs: world.nowMs ?? Date.parse("2026-12-01T00:00:00Z"),
    until: (time) => void times.push(time),
    value: (kind, namespace, name, key) => {
      const text = world.values?.[`${kind}/${namespace}/${name}/${key}`];
      return text === undefined ? missing(`${kind} ${namespace}/${name}`) : found(new TextEncoder().encode(text));
    },
    jwks: () => undefined,
    consumers: (namespace, selector) =>
      (world.consumers ?? [])
        .map((consumer) => ({ ...nobody, namespace: "shop", ...consumer }))
        .filter((consumer) => consumer.namespace === namespace && isSelected(consumer, selector)),
    recognises: (namespace) => {
      const own = (world.consumers ?? []).filter((consumer) => (consumer.namespace ?? "shop") === namespace);
      return {
        tokens: own.some(({ tokens = [] }) => tokens.length > 0),
        certificates: own.some(({ identities = [] }) => identities.length > 0),
      };
    },
    grants: (namespace, policy, rule) => world.grants?.[`${namespace}/${policy}/${rule}`] ?? [],
    backend: ({ name, namespace, port }, from) => {
      const key = `${namespace ?? from.namespace}/${name}:${String(port)}`;
      const cluster = world.backends?.[key];
      return cluster === undefined ? missing(`Service ${key}`) : found({ cluster, host: key, port });
    },
  };
}

const nobody: Consumer = {
  namespace: "shop",
  name: "nobody",
  labels: {},
  roles: [],
  attributes: {},
  tokens: [],
  identities: [],
  seniority: "",
  suspended: false,
  liveKeys: [],
  password: undefined,
};

function found<T>(value: T): Found<T> {
  return { ok: true, value };
}

function missing<T>(what: string): Found<T> {
  return { ok: false, problem: { reason: "RefNotFound", path: "", message: `${what} is not there` } };
}
