/**
 * `node --conditions=source e2e/run-tests.ts [STEP…]`: runs the steps (default: all but `node`) one after the other and ends with the
 * line `N passed, N failed`. Layers that need a cluster share one, which is started before the first of them. Exit status
 * 1 when anything failed; a skipped test counts as failed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeAtExit } from "./cluster/child-process.ts";
import { type Cluster, startCluster } from "./cluster/driver.ts";
import { SKIP_NODE_VARIABLE, whyNoNode } from "./cluster/node-parts.ts";
import { CLUSTER_VARIABLE, publishCluster } from "./cluster/shared.ts";
import { PODS_VARIABLE } from "./harness/pod-gateway.ts";
import { commandsOf } from "./pods/document.ts";
import { podDriver, startPodCluster } from "./pods/pod-cluster.ts";

interface Tally {
  readonly passed: number;
  readonly failed: number;
}

interface Layer {
  /** Globs of Jest's testMatch. */
  readonly match: readonly string[];
  /** Test files at a time. Files that start processes get the machine for themselves. */
  readonly workers: number;
  readonly cluster?: boolean;
  /** Needs a node with pods: Linux and root, or DRIVER=kind or existing. Only where it is asked for: `make e2e`. */
  readonly pods?: boolean;
  /** All files share one cluster with pods, on which the charts are installed. */
  readonly charts?: boolean;
}

/** Scenarios that need neither a process of the operator or a proxy nor the address of a client. */
const ON_PODS =
  "authorization certificate consumers grants jwt mtls-backend mtls-standard paths robust-references".split(" ");
const LAYERS: Readonly<Record<string, Layer>> = {
  unit: { match: ["**/*.test.ts", "!**/*.{wire,chart,envoy,api,e2e}.test.ts"], workers: 2 },
  wire: { match: ["**/*.wire.test.ts"], workers: 1 },
  chart: { match: ["**/*.chart.test.ts"], workers: 1 },
  envoy: { match: ["**/*.envoy.test.ts"], workers: 1 },
  api: { match: ["**/*.api.test.ts"], workers: 1, cluster: true },
  e2e: { match: ["**/*.e2e.test.ts", "!**/*.node.e2e.test.ts"], workers: 1, cluster: true },
  // Each file starts a cluster with pods of its own.
  node: { match: ["**/*.node.e2e.test.ts"], workers: 1, pods: true },
  // Through the Service of proxies in pods.
  pods: { match: ON_PODS.map((name) => `**/scenarios/${name}.e2e.test.ts`), workers: 1, pods: true, charts: true },
};
/** A part of `unit`, for `make golden`. */
const GOLDEN: Layer = { match: ["**/golden*.test.ts"], workers: 1 };
/** Steps that are one npm script; each counts as one test. */
const SCRIPTS = ["typecheck", "lint"];
const DEFAULT = [...SCRIPTS, ...Object.entries(LAYERS).flatMap(([step, { pods }]) => (pods === true ? [] : [step]))];
const ALL = [...SCRIPTS, ...Object.keys(LAYERS)];

/** A Jest that has reported and does not end holds something open: the next step does not wait for it. */
const END_LIMIT_MS = 20_000;

const scratch = removeAtExit(mkdtempSync(join(tmpdir(), "gatewarden-tests-")));
const say = (line: string): void => console.log(`test: ${line}`);

async function main(steps: readonly string[]): Promise<void> {
  const unknown = steps.find((step) => layerOf(step) === undefined && !SCRIPTS.includes(step));
  if (unknown !== undefined) {
    console.error(`unknown step ${unknown}: expected ${[...ALL, "golden"].join(", ")}`);
    process.exitCode = 2;
    return;
  }
  let cluster: Cluster | undefined;
  const tallies: Tally[] = [];
  try {
    for (const [index, step] of steps.entries()) {
      const begin = Date.now();
      say(`${step} (${String(index + 1)} of ${String(steps.length)})`);
      const layer = layerOf(step);
      if (layer?.cluster === true && (process.env[CLUSTER_VARIABLE] ?? "") === "" && cluster === undefined) {
        cluster = await startCluster({ say });
        publishCluster(cluster, join(scratch, "cluster.json"));
      }
      const tally = await runStep(step, layer);
      tallies.push(tally);
      const seconds = String(Math.round((Date.now() - begin) / 1000));
      say(`${step}: ${String(tally.passed)} passed, ${String(tally.failed)} failed, after ${seconds} s`);
    }
  } finally {
    await cluster?.stop();
  }
  const sum = (key: keyof Tally): number => tallies.reduce((total, tally) => total + tally[key], 0);
  process.exitCode = sum("failed") === 0 && sum("passed") > 0 ? 0 : 1;
  console.log(`${String(sum("passed"))} passed, ${String(sum("failed"))} failed`);
}

function layerOf(step: string): Layer | undefined {
  return step === "golden" ? GOLDEN : LAYERS[step];
}

async function runStep(step: string, layer: Layer | undefined): Promise<Tally> {
  if (layer === undefined) return runScript(step);
  const obstacle = layer.pods === true && podDriver() === "node" ? whyNoNode() : undefined;
  if (obstacle !== undefined) {
    const skip = process.env[SKIP_NODE_VARIABLE] === "1";
    say(
      `${step}: no node with pods can run here: ${obstacle}${skip ? "" : ` (${SKIP_NODE_VARIABLE}=1 leaves it out)`}`,
    );
    return { passed: 0, failed: skip ? 0 : 1 };
  }
  return layer.charts === true ? onCharts(() => runJest(step, layer)) : runJest(step, layer);
}

/** Installs the charts with the commands of the documentation on a cluster with pods, which the test files of `run` then share. */
async function onCharts<T>(run: () => Promise<T>): Promise<T> {
  const pods = await startPodCluster(say);
  const shared = process.env[CLUSTER_VARIABLE];
  try {
    say("installing the charts");
    const [install = ""] = commandsOf("docs/install.md", "Install");
    await pods.shell(install);
    publishCluster(pods.cluster, join(scratch, "charts.json"));
    process.env[PODS_VARIABLE] = "1";
    return await run();
  } finally {
    Reflect.deleteProperty(process.env, PODS_VARIABLE);
    if (shared === undefined) Reflect.deleteProperty(process.env, CLUSTER_VARIABLE);
    else process.env[CLUSTER_VARIABLE] = shared;
    await pods.stop();
  }
}

async function runScript(name: string): Promise<Tally> {
  const ok = (await ended(start("npm", ["run", "--silent", name]))) === 0;
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1 };
}

async function runJest(step: string, layer: Layer): Promise<Tally> {
  const report = join(scratch, `${step}.json`);
  const flags = ["--json", `--outputFile=${report}`, `--maxWorkers=${String(layer.workers)}`, "--passWithNoTests"];
  const jest = join("node_modules", "jest", "bin", "jest.js");
  const node = ["--experimental-vm-modules", "--disable-warning=ExperimentalWarning", jest];
  // --json would print the report too, and without a report nobody knows what ran.
  const child = start(process.execPath, [...node, "--testMatch", ...layer.match, ...flags], "stderr");
  const watch = setInterval(() => {
    const reported = statSync(report, { throwIfNoEntry: false })?.mtimeMs ?? Infinity;
    if (Date.now() - reported < END_LIMIT_MS) return;
    say(`${step}: everything has run, and something that a test left open keeps it from ending: it is ended`);
    child.kill();
  }, END_LIMIT_MS / 4);
  const status = await ended(child).finally(() => clearInterval(watch));
  return readReport(report) ?? { passed: 0, failed: status === 0 ? 0 : 1 };
}

/** What Jest wrote; undefined when it did not come to that. */
function readReport(file: string): Tally | undefined {
  let report;
  try {
    report = JSON.parse(readFileSync(file, "utf8")) as Readonly<Record<string, number>>;
  } catch {
    return undefined;
  }
  const { numPassedTests = 0, numFailedTests = 0, numRuntimeErrorTestSuites = 0 } = report;
  const { numPendingTests = 0, numTodoTests = 0 } = report;
  return {
    passed: numPassedTests,
    failed: numFailedTests + numRuntimeErrorTestSuites + numPendingTests + numTodoTests,
  };
}

function start(command: string, args: readonly string[], show: "all" | "stderr" = "all"): ChildProcess {
  return spawn(command, args, { stdio: ["ignore", show === "all" ? "inherit" : "ignore", "inherit"] });
}

function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
}

await main(process.argv.length > 2 ? process.argv.slice(2) : DEFAULT);
