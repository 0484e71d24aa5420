/** One world in a real Envoy and in the simulator, and one request put to both. */
import { connectHttp1, type Http1Connection } from "../../../e2e/client/http1.ts";
import type { Target } from "../../../e2e/client/target.ts";
import { type EnvoyProcess, startEnvoy } from "../../../e2e/envoy/process.ts";
import { openEngine, type OpenEngine } from "../../src/engine.ts";
import { simulate, type Simulation } from "../../src/simulate/simulate.ts";
import type { Change, Output } from "../../src/world.ts";
import { OPTIONS } from "../objects.ts";
import { resourcesAfter, staticBootstrap } from "../static-bootstrap.ts";
import type { Certificates } from "./credentials.ts";
import type { Asked } from "./requests.ts";
import type { Ports } from "./worlds.ts";

export interface Verdict {
  readonly status: number;
  readonly code: string;
  readonly policy: string;
}

export interface Place {
  readonly ports: Ports;
  readonly certificates: Certificates;
}

export interface Bench {
  readonly real: (request: Asked) => Promise<Verdict>;
  readonly simulated: (request: Asked) => Simulation;
  readonly stop: () => Promise<void>;
}

export async function startBench(changes: readonly Change[], place: Place, nowMs: number): Promise<Bench> {
  const open = openEngine({ ...OPTIONS, requirePolicy: true });
  const outputs = applyAll(open, changes, nowMs);
  const envoy = await startEnvoy({
    bootstrap: staticBootstrap(resourcesAfter(outputs, "shop/edge")),
    logLevel: "error",
  });
  const connections = new Map<string, Http1Connection>();
  return {
    real: (request) => ask(connections, place, request),
    simulated: (request) => simulated(open, place, request, nowMs),
    stop: () => stop(envoy, connections),
  };
}

/** Secrets and ConfigMaps come when they are asked for, as in operation. */
function applyAll(open: OpenEngine, changes: readonly Change[], nowMs: number): readonly Output[] {
  const referenced = (change: Change): boolean => change.key.kind === "Secret" || change.key.kind === "ConfigMap";
  const outputs = [
    open.engine.apply(
      changes.filter((change) => !referenced(change)),
      nowMs,
    ),
  ];
  for (let wanted = outputs.at(-1)?.watch.add ?? []; wanted.length > 0; wanted = outputs.at(-1)?.watch.add ?? []) {
    const found = wanted.map(
      (key) =>
        changes.find(
          ({ key: one }) => one.kind === key.kind && one.namespace === key.namespace && one.name === key.name,
        ) ?? { key, object: undefined },
    );
    outputs.push(open.engine.apply(found, nowMs));
  }
  const faults = outputs.flatMap((output) => output.faults ?? []);
  if (faults.length > 0) throw new Error(JSON.stringify(faults));
  return outputs;
}

const NO_CONNECTION: Verdict = { status: 0, code: "", policy: "" };

async function ask(connections: Map<string, Http1Connection>, place: Place, request: Asked): Promise<Verdict> {
  const { method, path, host, headers, from, serverName, certificate } = request;
  const id = [request.port, from, serverName, certificate].join(" ");
  const known = connections.get(id);
  try {
    const connection = known === undefined || known.closed() ? await connectHttp1(targetOf(place, request)) : known;
    connections.set(id, connection);
    const answer = await connection.request({ method, path, host, headers });
    const problem = parsed(answer.body);
    // HEAD has no body: who refused stands in a header, and there is no code to compare.
    const policy = problem?.policy ?? answer.header("x-gatewarden-policy") ?? "";
    return { status: answer.status, code: problem?.code ?? "", policy };
  } catch (error) {
    if (serverName === undefined) throw error;
    return NO_CONNECTION;
  }
}

function targetOf({ ports, certificates }: Place, { port, from, serverName, certificate }: Asked): Target {
  const pair = certificate === undefined ? undefined : certificates.pairs[certificate];
  const own = pair === undefined ? {} : { certificate: pair.certificate, privateKey: pair.privateKey };
  return {
    address: "127.0.0.1",
    port: ports[port],
    from,
    ...(serverName === undefined ? {} : { tls: { serverName, ...own } }),
  };
}

function parsed(body: string): { readonly code?: string; readonly policy?: string } | undefined {
  try {
    return JSON.parse(body) as { readonly code?: string; readonly policy?: string };
  } catch {
    return undefined;
  }
}

function simulated(open: OpenEngine, { ports, certificates }: Place, request: Asked, nowMs: number): Simulation {
  const { method, path, headers, from, port, certificate } = request;
  const pair = certificate === undefined ? undefined : certificates.pairs[certificate];
  return simulate(open, {
    ...(pair === undefined ? {} : { certificate: pair.names }),
    method,
    scheme: port === "tls" ? "https" : "http",
    host: request.host.replace(/:\d+$/, ""),
    port: ports[port],
    path,
    headers,
    from,
    atMs: nowMs,
  });
}

async function stop(envoy: EnvoyProcess, connections: ReadonlyMap<string, Http1Connection>): Promise<void> {
  for (const connection of connections.values()) connection.close();
  await envoy.stop();
}

/** What of both verdicts differs; undefined: nothing. */
export function difference(request: Asked, real: Verdict, { status, code, policy }: Simulation): string | undefined {
  const shown = (verdict: Verdict): string => `${String(verdict.status)} ${verdict.code} ${verdict.policy}`.trim();
  const same = real.status === status && (request.method === "HEAD" || real.code === code) && real.policy === policy;
  return same ? undefined : `Envoy ${shown(real)}, simulated ${shown({ status, code, policy })}`;
}
