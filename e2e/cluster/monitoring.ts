/** What the Prometheus operator and Prometheus bring to the tests: the CRDs of the one, the parsers and the query engine of the other, from their Go modules. */
import { join } from "node:path";
import type { Say } from "./cache.ts";
import { runCommand } from "./child-process.ts";
import { moduleManifests } from "./module-manifests.ts";
import { type Binary, ensureBinary } from "./parts.ts";

const PROMETHEUS: Binary = { module: "prometheus", program: "prometheus", linkerFlags: "-s -w" };
const OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0";
const FOLDER = "example/prometheus-operator-crd/monitoring.coreos.com_";

/** CRDs of ServiceMonitor and PrometheusRule, as one YAML stream. */
export function monitoringCrds(say: Say = () => undefined): Promise<string> {
  const files = ["servicemonitors", "prometheusrules"].map((name) => [OPERATOR, `${FOLDER}${name}.yaml`] as const);
  return moduleManifests("monitoring", files, say);
}

/** One reading of a target's metrics. */
export interface Scrape {
  readonly atSeconds: number;
  /** Of the target: what Prometheus adds to every series. */
  readonly labels: Readonly<Record<string, string>>;
  /** Left out where the target did not answer. */
  readonly page?: string;
}

export interface JudgedAlert {
  readonly alert: string;
  /** Every metric that the expression names. */
  readonly metrics: readonly string[];
  /** The expression has a result; `for` is not waited for. */
  readonly holds: boolean;
}

export interface Judgement {
  /** What Prometheus has against the rules; then no alert is judged. */
  readonly errors: readonly string[];
  readonly alerts: readonly JudgedAlert[];
}

/** The program of go/prometheus; its path. */
export async function prometheusCommand(say: Say = () => undefined): Promise<string> {
  return join(await ensureBinary(PROMETHEUS, say), PROMETHEUS.program);
}

/** What Prometheus makes of a file of rules (`groups`, as YAML or JSON) after some scrapes. */
export async function judgeRules(
  rules: string,
  scrapes: readonly Scrape[] = [],
  atSeconds = scrapes.at(-1)?.atSeconds ?? 0,
): Promise<Judgement> {
  const stdin = JSON.stringify({ rules, scrapes, atSeconds });
  return JSON.parse((await runCommand(await prometheusCommand(), [], { stdin })).stdout) as Judgement;
}
