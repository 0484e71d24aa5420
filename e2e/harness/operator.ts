/** The operator as a process, with the rights of its ServiceAccount and nothing more. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ManagedProcess } from "../cluster/child-process.ts";
import { lastLines } from "../cluster/child-process.ts";
import { eventually } from "../cluster/condition.ts";
import type { Cluster } from "../cluster/driver.ts";
import { freePorts } from "../cluster/port.ts";
import { startGatewarden } from "./gatewarden.ts";
import { OPERATOR_ACCOUNT, OPERATOR_NAMESPACE } from "./installation.ts";

export interface OperatorHandle {
  /** Where proxies connect; the same after a restart. */
  readonly xdsAddress: string;
  /** Of the running process. */
  readonly pid: () => number;
  /** Everything that all its processes have logged. */
  readonly log: () => string;
  /** One metric, summed over its labels; `labels` such as `{type: "cluster"}` narrow it. 0 when it is not there. */
  readonly metric: (name: string, labels?: Readonly<Record<string, string>>) => Promise<number>;
  /** The text of an endpoint such as /readyz; rejects when nothing listens. */
  readonly endpoint: (path: string) => Promise<{ readonly status: number; readonly body: string }>;
  /** Ends it: SIGTERM, or SIGKILL at once with 0. */
  readonly stop: (graceMs?: number) => Promise<void>;
  /** Starts it (again) and waits until it is ready. */
  readonly start: () => Promise<void>;
}

export interface OperatorOptions {
  readonly directory: string;
  /** Further flags. */
  readonly flags?: readonly string[];
  /** Default `operator`. */
  readonly command?: "operator" | "fallback";
  /** Default: the operator's. */
  readonly account?: string;
}

const ADDRESS = "127.0.0.1";
const READY_LIMIT_MS = 60_000;

/** Starts the operator and waits until it is ready. */
export async function startOperator(cluster: Cluster, options: OperatorOptions): Promise<OperatorHandle> {
  const [xdsPort = 0, metricsPort = 0] = await freePorts(2, ADDRESS);
  const xdsAddress = `${ADDRESS}:${String(xdsPort)}`;
  const metricsAddress = `${ADDRESS}:${String(metricsPort)}`;
  const logFile = join(options.directory, "operator.log");
  const kubeconfig = await writeKubeconfig(cluster, options.directory, options.account ?? OPERATOR_ACCOUNT);
  const flags = ["--namespace", OPERATOR_NAMESPACE, "--xds-address", xdsAddress, "--metrics-address", metricsAddress];
  let running: ManagedProcess | undefined;
  const endpoint: OperatorHandle["endpoint"] = async (path) => {
    const response = await fetch(`http://${metricsAddress}${path}`);
    return { status: response.status, body: await response.text() };
  };
  const start = async (): Promise<void> => {
    const process = await startGatewarden(
      [options.command ?? "operator", "--kubeconfig", kubeconfig, ...flags, ...(options.flags ?? [])],
      logFile,
    );
    running = process;
    try {
      await eventually("the operator ready", async () => (await endpoint("/readyz")).status === 200, {
        limitMs: READY_LIMIT_MS,
        giveUp: () => process.ending(),
      });
    } catch (error) {
      await process.stop(0);
      throw new Error(`${(error as Error).message}\n${lastLines(logFile)}`);
    }
  };
  await start();
  return {
    xdsAddress,
    pid: () => running?.pid ?? 0,
    log: () => readFileSync(logFile, "utf8"),
    endpoint,
    metric: async (name, labels = {}) => sumOf((await endpoint("/metrics")).body, name, labels),
    stop: async (graceMs) => running?.stop(graceMs),
    start,
  };
}

/** A kubeconfig with a token of a ServiceAccount of the operator's namespace. */
async function writeKubeconfig(cluster: Cluster, directory: string, account: string): Promise<string> {
  const args = ["create", "token", account, "--namespace", OPERATOR_NAMESPACE, "--duration", "24h"];
  const token = (await cluster.kubectl(args)).trim();
  const view = await cluster.kubectl(["config", "view", "--raw", "--minify", "--flatten", "--output", "json"]);
  const { clusters } = JSON.parse(view) as { readonly clusters: readonly [{ readonly cluster: unknown }] };
  const file = join(directory, "operator.kubeconfig");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "tests", cluster: clusters[0].cluster }],
    users: [{ name: account, user: { token } }],
    contexts: [{ name: "tests", context: { cluster: "tests", user: account } }],
    "current-context": "tests",
  };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

function sumOf(exposition: string, name: string, labels: Readonly<Record<string, string>>): number {
  let sum = 0;
  for (const line of exposition.split("\n")) {
    const [, metric, given = "", value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
    if (metric !== name) continue;
    if (Object.entries(labels).every(([label, text]) => given.includes(`${label}="${text}"`))) sum += Number(value);
  }
  return sum;
}
