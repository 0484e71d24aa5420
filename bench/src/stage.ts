/** What is measured: a cluster of its own, the operator as a process, one Gateway with one Envoy, an upstream, N routes with policies. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { upstreamAddress } from "@gatewarden/e2e/cluster/netns.ts";
import { type Bootstrap, type EnvoyProcess, startEnvoy } from "@gatewarden/e2e/envoy/process.ts";
import { type Harness, startHarness } from "@gatewarden/e2e/harness/harness.ts";
import { type GatewayHandle, secretsBinding } from "@gatewarden/e2e/harness/tenant.ts";
import { claimsFor, createSigner, keySet } from "@gatewarden/e2e/material/jwt.ts";
import { type ClusterApi, clusterApi } from "./cluster-api.ts";
import { type Endpoint, get } from "./http-client.ts";
import { readPage } from "./operator-metrics.ts";
import {
  AUDIENCE,
  hostOf,
  ISSUER,
  type Manifest,
  namespaceOf,
  policy,
  route,
  sharedObjects,
  standingKey,
  type Surroundings,
  takesTokens,
} from "./population.ts";
import { startUpstream } from "./upstream.ts";

export interface Stage {
  readonly harness: Harness;
  readonly api: ClusterApi;
  readonly around: Surroundings;
  readonly endpoint: Endpoint;
  readonly edge: GatewayHandle;
  /** How many routes there are. */
  readonly size: () => number;
  /** Makes that many routes and policies, and the namespaces of `spare` more. */
  readonly grow: (n: number, spare: number) => Promise<void>;
  readonly ensureNamespace: (namespace: string) => Promise<void>;
  /** The bytes of a request that the policy of a route lets through. */
  readonly request: (index: number, surroundings?: Surroundings) => string;
  /** A token that every policy that takes tokens takes, for an hour. */
  readonly token: string;
  readonly envoy: () => EnvoyProcess;
  readonly stopEnvoy: () => Promise<void>;
  /** A new Envoy from the same bootstrap; resolves when the process runs, not when it serves. */
  readonly startEnvoy: () => Promise<EnvoyProcess>;
  /** Waits until no status waits to be written. */
  readonly settled: (limitMs?: number) => Promise<void>;
  readonly stop: () => Promise<void>;
}

const SETTLE_LIMIT_MS = 180_000;
const POLL_MS = 100;

export async function startStage(say: (line: string) => void): Promise<Stage> {
  const harness = await startHarness({ ownCluster: true, say });
  const upstream = await startUpstreamFor(harness);
  const team = await harness.tenant("edge");
  say("starting the Gateway's Envoy");
  const edge = await team.gateway({
    listeners: [{ name: "http", port: 8080, protocol: "HTTP", allowedRoutes: { namespaces: { from: "All" } } }],
  });
  const signer = createSigner("RS256");
  const around: Surroundings = {
    gateway: { namespace: team.namespace, name: edge.name },
    prefix: "bench",
    jwks: keySet(signer),
    upstream,
  };
  const api = clusterApi(harness.cluster.kubeconfig);
  const token = signer.token(claimsFor(ISSUER, AUDIENCE));
  const bootstrap = JSON.parse(readFileSync(join(edge.envoy.directory, "bootstrap.json"), "utf8")) as Bootstrap;
  let envoy = edge.envoy;
  let size = 0;
  const namespaces = new Set<string>();

  const ensureNamespace: Stage["ensureNamespace"] = async (namespace) => {
    if (namespaces.has(namespace)) return;
    namespaces.add(namespace);
    const [own, ...rest] = sharedObjects(around, namespace);
    await api.create(own as Manifest);
    await api.createAll([secretsBinding(namespace), ...rest]);
  };
  const settled: Stage["settled"] = async (limitMs = SETTLE_LIMIT_MS) => {
    const limit = performance.now() + limitMs;
    for (let calm = 0; calm < 3;) {
      const waiting = (await readPage(harness.operator)).sum("gatewarden_status_queue");
      calm = waiting === 0 ? calm + 1 : 0;
      if (performance.now() > limit) throw new Error(`${String(waiting)} statuses still wait to be written`);
      await pause(POLL_MS);
    }
  };
  return {
    harness,
    api,
    around,
    edge,
    endpoint: { address: edge.address, port: 8080 },
    size: () => size,
    grow: async (n, spare) => {
      for (let index = size; index < n + spare; index += 1) await ensureNamespace(namespaceOf(around, index));
      const wanted: Manifest[] = [];
      for (let index = size; index < n; index += 1) wanted.push(route(around, index), policy(around, index));
      await api.createAll(wanted);
      size = n;
    },
    ensureNamespace,
    token,
    request: (index, surroundings = around) =>
      get(
        hostOf(index),
        "/",
        takesTokens(index)
          ? { authorization: `Bearer ${token}` }
          : { "x-api-key": standingKey(namespaceOf(surroundings, index)) },
      ),
    envoy: () => envoy,
    stopEnvoy: () => envoy.stop(),
    startEnvoy: async () => {
      envoy = await startEnvoy({ bootstrap, concurrency: 1, wait: "started" });
      harness.atEnd(envoy.stop);
      return envoy;
    },
    settled,
    stop: async () => {
      api.close();
      // The cluster goes as a whole; deleting its namespaces one by one would take minutes.
      await harness.operator.stop(0);
      await envoy.stop();
      await harness.cluster.stop();
    },
  };
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}

async function startUpstreamFor(harness: Harness): Promise<Surroundings["upstream"]> {
  const upstream = await startUpstream(upstreamAddress());
  harness.atEnd(upstream.stop);
  return upstream;
}
