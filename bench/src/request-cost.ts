/** Envoy's CPU per request with and without policies. Envoy answers itself (a redirect), so that no upstream is in it. */
import { type Connection, get, open } from "./http-client.ts";
import { AUDIENCE, ISSUER, type Manifest, standingKey } from "./population.ts";
import { cpuMs } from "./process-cost.ts";
import { pause, type Stage } from "./stage.ts";
import { median } from "./statistics.ts";

export interface RequestCost {
  readonly name: string;
  /** Envoy's CPU per request, the median of the rounds. */
  readonly microseconds: number;
  /** More than `plain`. */
  readonly more: number;
  readonly requestsPerSecond: number;
}

interface Variant {
  readonly name: string;
  readonly host: string;
  /** Sections besides `authentication`. */
  readonly sections: Readonly<Record<string, unknown>>;
  readonly authentication: unknown;
  readonly hostname?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const NAMESPACE = "bench-requests";
const CONNECTIONS = 8;
const ROUNDS = 5;
const READY_LIMIT_MS = 10_000;
const STATUS = 302;
const PUBLIC = { mode: "Public", reason: "measured without" };

export async function measureRequests(
  stage: Stage,
  requests: number,
  say: (line: string) => void,
): Promise<readonly RequestCost[]> {
  await stage.ensureNamespace(NAMESPACE);
  const all = variantsFor(stage.token);
  const made = all.filter(({ sections, authentication }) => sections !== SAME && authentication !== SAME);
  const objects = made.flatMap((variant) => objectsFor(stage, variant));
  await stage.api.createAll(objects);
  await stage.settled();
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => open(stage.endpoint)));
  const variants: Variant[] = [];
  for (const variant of all) {
    const status = await statusOf(connections, variant);
    if (status === STATUS) variants.push(variant);
    else say(`${variant.name} is left out: ${status} instead of a redirect; ${await problemOf(stage, variant)}`);
  }
  const microseconds = new Map<string, number[]>();
  const rates = new Map<string, number[]>();
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const variant of variants) {
      const before = cpuMs(stage.envoy().pid);
      const began = performance.now();
      await run(connections, bytesOf(variant), requests);
      const wallMs = performance.now() - began;
      const cost = ((cpuMs(stage.envoy().pid) - before) / requests) * 1000;
      if (round === 0) continue; // warms up
      microseconds.set(variant.name, [...(microseconds.get(variant.name) ?? []), cost]);
      rates.set(variant.name, [...(rates.get(variant.name) ?? []), (requests / wallMs) * 1000]);
    }
  }
  for (const connection of connections) connection.close();
  for (const object of objects) await stage.api.remove(object);
  const of = (values: ReadonlyMap<string, number[]>, name: string): number => median(values.get(name) ?? []);
  return variants.map(({ name }) => ({
    name,
    microseconds: of(microseconds, name),
    more: of(microseconds, name) - of(microseconds, "plain"),
    requestsPerSecond: of(rates, name),
  }));
}

/** A variant that only sends other requests to the route of `plain`. */
const SAME: Readonly<Record<string, unknown>> = {};

function variantsFor(token: string): readonly Variant[] {
  const limit = { limits: [{ name: "each", requests: 1_000_000, per: "1s", by: [{ type: "ClientIP" }] }] };
  const lists = {
    denylist: { entries: [{ cidr: "198.51.100.1/32" }] },
    allowlist: { entries: [{ cidr: "127.0.0.0/8" }, { cidr: "10.0.0.0/8" }] },
  };
  const jwt = {
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
  };
  const bearer = { authorization: `Bearer ${token}` };
  const apiKey = { apiKey: { from: { headers: ["x-api-key"] }, consumerHeader: "x-consumer" } };
  const key = { "x-api-key": standingKey(NAMESPACE) };
  const host = (name: string): string => `${name}.cost.test`;
  return [
    { name: "plain", host: host("plain"), sections: {}, authentication: PUBLIC },
    { name: "lists", host: host("lists"), sections: lists, authentication: PUBLIC },
    { name: "limit by address", host: host("limit"), sections: { rateLimit: limit }, authentication: PUBLIC },
    { name: "API key", host: host("key"), sections: {}, authentication: apiKey, headers: key },
    { name: "JWT, cached", host: host("jwt"), sections: {}, authentication: jwt, headers: bearer },
    {
      name: "lists, limit, JWT together",
      host: host("all"),
      sections: { ...lists, rateLimit: limit },
      authentication: jwt,
      headers: bearer,
    },
    {
      name: "lists, limit, JWT or API key",
      host: host("either"),
      sections: { ...lists, rateLimit: limit },
      authentication: { ...jwt, ...apiKey },
      headers: key,
    },
    {
      name: "plain, wildcard host",
      host: "x.wild.test",
      hostname: "*.wild.test",
      sections: {},
      authentication: PUBLIC,
    },
    { name: "plain, host with capitals", host: "Plain.Cost.test", sections: SAME, authentication: SAME },
  ];
}

function objectsFor({ around }: Stage, variant: Variant): readonly Manifest[] {
  const { name: gateway, namespace } = around.gateway;
  const name = nameOf(variant);
  const metadata = { name, namespace: NAMESPACE };
  const redirect = { hostname: "elsewhere.test", statusCode: STATUS };
  return [
    {
      apiVersion: "gatewarden.io/v1alpha1",
      kind: "ApiPolicy",
      metadata,
      spec: {
        targetRefs: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name }],
        authentication: variant.authentication,
        ...variant.sections,
      },
    },
    {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "HTTPRoute",
      metadata,
      spec: {
        parentRefs: [{ group: "gateway.networking.k8s.io", kind: "Gateway", name: gateway, namespace }],
        hostnames: [variant.hostname ?? variant.host],
        rules: [{ filters: [{ type: "RequestRedirect", requestRedirect: redirect }] }],
      },
    },
  ];
}

function nameOf({ host }: Variant): string {
  const [label = ""] = host.split(".");
  return label === "x" ? "wild" : label;
}

const bytesOf = ({ host, headers }: Variant): string => get(host, "/", headers);

/** The status that requests come to; anything but a redirect only after a while. */
async function statusOf([connection]: readonly Connection[], variant: Variant): Promise<number> {
  const limit = performance.now() + READY_LIMIT_MS;
  for (;;) {
    const { status = 0 } = (await connection?.request(bytesOf(variant))) ?? {};
    if (status === STATUS || performance.now() > limit) return status;
    await pause(20);
  }
}

async function problemOf({ harness }: Stage, variant: Variant): Promise<string> {
  const policy = await harness.api.get({ kind: "ApiPolicy", name: nameOf(variant), namespace: NAMESPACE });
  return JSON.stringify(policy?.status ?? null);
}

async function run(connections: readonly Connection[], bytes: string, requests: number): Promise<void> {
  let left = requests;
  const worker = async (connection: Connection): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const { status } = await connection.request(bytes);
      if (status !== STATUS) throw new Error(`${String(status)} instead of a redirect`);
    }
  };
  await Promise.all(connections.map(worker));
}
