/**
 * The engine alone, without Kubernetes, gRPC and Envoy: what a start and an edit cost in CPU and heap.
 * `node --conditions=source bench/src/core.ts [--n 100,1000,5000] [--samples 200]`; profile it with `--cpu-prof`.
 * `--policies-per-route 2` adds a policy at each route's rule, one per namespace, and one on the Gateway, which is an Override with `--floor`.
 */
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createEngine } from "@gatewarden/core/engine.ts";
import { inStartOrder } from "@gatewarden/core/start-order.ts";
import type { Change, Engine, Kind, KubeObject, ObjectKey, Output } from "@gatewarden/core/world.ts";
import { table } from "@gatewarden/e2e/demo/table.ts";
import { createSigner, keySet } from "@gatewarden/e2e/material/jwt.ts";
import {
  gatewayPolicy,
  type Manifest,
  namespaceOf,
  namespacePolicy,
  policy,
  ROUTES_PER_NAMESPACE,
  rotatingConsumer,
  route,
  rulePolicy,
  sharedObjects,
  type Surroundings,
} from "./population.ts";
import { seededRandom, summarise, type Summary } from "./statistics.ts";

const AROUND: Surroundings = {
  gateway: { namespace: "edge", name: "edge" },
  prefix: "bench",
  jwks: keySet(createSigner("RS256")),
  upstream: { address: "10.0.0.1", port: 8080 },
};
const START_MS = Date.parse("2026-01-01T00:00:00Z");

interface Edit {
  readonly name: string;
  /** The changes of one edit; called with the number of the sample. */
  readonly changes: (sample: number) => readonly Manifest[];
}

interface EditRow {
  readonly name: string;
  readonly cpuMs: Summary;
  readonly units: number;
  readonly resources: number;
  readonly jsonBytes: number;
}

interface Row {
  readonly n: number;
  readonly startMs: number;
  readonly heapMB: number;
  readonly resources: number;
  readonly edits: readonly EditRow[];
}

/** Feeds an engine as the operator does: Secrets and ConfigMaps only once they are asked for. */
class World {
  readonly engine: Engine = createEngine({
    controllerName: "gatewarden.io/gateway-controller",
    requirePolicy: true,
    logDirectory: "/var/log/gatewarden",
  });
  readonly referenced = new Map<string, KubeObject>();
  readonly generations = new Map<string, number>();

  /** Versioned as the API server does it. */
  change(manifest: Manifest): Change {
    const key = keyOf(manifest);
    const id = textOf(key);
    const generation = (this.generations.get(id) ?? 0) + 1;
    this.generations.set(id, generation);
    const metadata = {
      ...manifest.metadata,
      uid: id,
      generation,
      resourceVersion: String(generation),
      creationTimestamp: "2026-01-01T00:00:00Z",
    };
    return { key, object: { ...manifest, metadata } };
  }

  apply(changes: readonly Change[]): Output {
    const first = this.engine.apply(changes, START_MS);
    if (first.watch.add.length === 0) return first;
    return this.engine.apply(
      first.watch.add.map((key) => ({ key, object: this.referenced.get(textOf(key)) })),
      START_MS,
    );
  }
}

/** As operator/src/loop.ts takes them in at a start. */
const PIECE = 256;

function keyOf({ kind, metadata }: Manifest): ObjectKey {
  return { kind: kind as Kind, namespace: metadata.namespace ?? "", name: metadata.name };
}

const textOf = ({ kind, namespace, name }: ObjectKey): string => `${kind}/${namespace}/${name}`;

function gatewayObjects(): readonly Manifest[] {
  const listener = { name: "http", port: 8080, protocol: "HTTP", allowedRoutes: { namespaces: { from: "All" } } };
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "edge" } },
    {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "GatewayClass",
      metadata: { name: "gatewarden" },
      spec: { controllerName: "gatewarden.io/gateway-controller" },
    },
    {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "edge", namespace: "edge" },
      spec: {
        gatewayClassName: "gatewarden",
        addresses: [{ type: "IPAddress", value: "127.0.0.80" }],
        listeners: [listener],
      },
    },
  ];
}

interface Composition {
  readonly policiesPerRoute: number;
  readonly floor: boolean;
}

function measure(n: number, samples: number, { policiesPerRoute, floor }: Composition): Row {
  const world = new World();
  const manifests: Manifest[] = [...gatewayObjects()];
  const composed = policiesPerRoute > 1;
  if (composed) manifests.push(gatewayPolicy(AROUND, floor));
  for (let index = 0; index < n; index += 1) {
    if (index % ROUTES_PER_NAMESPACE === 0) {
      const namespace = namespaceOf(AROUND, index);
      manifests.push(...sharedObjects(AROUND, namespace), ...(composed ? [namespacePolicy(namespace)] : []));
    }
    manifests.push(route(AROUND, index), policy(AROUND, index), ...(composed ? [rulePolicy(AROUND, index)] : []));
  }
  const initial: Change[] = [];
  for (const manifest of manifests) {
    const change = world.change(manifest);
    if (change.key.kind === "Secret" || change.key.kind === "ConfigMap")
      world.referenced.set(textOf(change.key), change.object as KubeObject);
    else initial.push(change);
  }
  const heapBefore = usedHeapMB();
  const began = process.cpuUsage();
  let resources = 0;
  // In pieces and in the order of the operator's start.
  const ordered = inStartOrder(initial);
  for (let at = 0; at < ordered.length; at += PIECE)
    resources += world.apply(ordered.slice(at, at + PIECE)).resources.length;
  const startMs = cpuMs(began);
  const { engine } = world;
  const heapMB = usedHeapMB() - heapBefore;

  const random = seededRandom(n);
  const any = (): number => Math.floor(random() * n);
  const edits: readonly Edit[] = [
    { name: "policy edit", changes: (sample) => [policy(AROUND, any(), [`192.0.2.${String(sample % 250)}/32`])] },
    { name: "route edit", changes: (sample) => [route(AROUND, any(), sample)] },
    { name: "new route", changes: (sample) => [policy(AROUND, n + sample), route(AROUND, n + sample)] },
    {
      name: "key removed / added",
      changes: (sample) => [rotatingConsumer(namespaceOf(AROUND, any()), sample % 2 === 1)],
    },
  ];
  const wide: readonly Edit[] = composed
    ? [
        {
          name: "the Gateway's policy",
          changes: (sample) => [gatewayPolicy(AROUND, floor, [`192.0.2.${String(sample % 250)}/32`])],
        },
      ]
    : [];
  // New routes may need a namespace that is not there yet.
  const extra = sharedObjects(AROUND, namespaceOf(AROUND, n + samples)).map((each) => world.change(each));
  engine.apply(extra, START_MS);
  const rows = edits.map((edit) => measureEdit(world, edit, samples));
  // It touches every route: fewer samples tell as much.
  rows.push(...wide.map((edit) => measureEdit(world, edit, Math.min(samples, 5))));
  return { n, startMs, heapMB, resources, edits: rows };
}

function measureEdit(world: World, edit: Edit, samples: number): EditRow {
  const cpu: number[] = [];
  let units = 0;
  let resources = 0;
  let jsonBytes = 0;
  for (let sample = 0; sample < samples; sample += 1) {
    const changes = edit.changes(sample).map((manifest) => world.change(manifest));
    const began = process.cpuUsage();
    const output = world.apply(changes);
    cpu.push(cpuMs(began));
    units += Object.values(output.recomputed).reduce((sum, count) => sum + count, 0);
    resources += output.resources.length;
    jsonBytes += output.resources.reduce((sum, { json }) => sum + JSON.stringify(json ?? null).length, 0);
  }
  return {
    name: edit.name,
    cpuMs: summarise(cpu),
    units: units / samples,
    resources: resources / samples,
    jsonBytes: jsonBytes / samples,
  };
}

function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function usedHeapMB(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

const { values } = parseArgs({
  options: {
    n: { type: "string", default: "100,1000,5000" },
    samples: { type: "string", default: "200" },
    "policies-per-route": { type: "string", default: "1" },
    floor: { type: "boolean", default: false },
  },
});
const composition: Composition = { policiesPerRoute: Number(values["policies-per-route"]), floor: values.floor };
const sizes = values.n.split(",").map(Number);
const number = (value: number): string => value.toFixed(value < 100 ? 2 : 0);
const starts = [["N", "start, CPU ms", "heap MB", "resources"]];
const edits = [["N", "change", "CPU p50 ms", "p99", "units", "resources", "JSON bytes"]];
for (const n of sizes) {
  const row = measure(n, Number(values.samples), composition);
  starts.push([String(n), number(row.startMs), number(row.heapMB), String(row.resources)]);
  for (const edit of row.edits) {
    const { p50, p99 } = edit.cpuMs;
    const cells = [p50, p99, edit.units, edit.resources, edit.jsonBytes].map(number);
    edits.push([String(n), edit.name, ...cells]);
  }
}
console.log(`${table(starts)}\n\n${table(edits)}`);
