/** The chart's alerts as Prometheus would judge them by an operator's metrics page. */
import { join } from "node:path";
import { parse } from "yaml";
import { runCommand } from "../cluster/child-process.ts";
import { type JudgedAlert, judgeRules, type Scrape } from "../cluster/monitoring.ts";
import { helmCommand } from "../cluster/parts.ts";
import { OPERATOR_NAMESPACE, REPOSITORY } from "../harness/installation.ts";

const EVERY_SECONDS = 30;

/** A pod's page over some time, read as a ServiceMonitor has it read. Without a page it did not answer. */
export function scrapes(pod: string, page: string | undefined, from: number, to: number): readonly Scrape[] {
  const labels = { job: "gatewarden", namespace: OPERATOR_NAMESPACE, pod };
  const count = Math.floor((to - from) / EVERY_SECONDS) + 1;
  return Array.from({ length: count }, (_, index) => ({
    atSeconds: from + index * EVERY_SECONDS,
    labels,
    ...(page === undefined ? {} : { page }),
  }));
}

/** Every alert, judged at the end of the last scrape. */
export async function judge(all: readonly Scrape[]): Promise<readonly JudgedAlert[]> {
  const chart = ["template", "gatewarden", join(REPOSITORY, "charts", "gatewarden"), "--namespace", OPERATOR_NAMESPACE];
  const only = [
    "--kube-version",
    "1.31.0",
    "--set",
    "prometheusRule.enabled=true",
    "--show-only",
    "templates/prometheusrule.yaml",
  ];
  const { stdout } = await runCommand(await helmCommand(), [...chart, ...only]);
  const { spec } = parse(stdout) as { readonly spec: object };
  const inOrder = all.toSorted((a, b) => a.atSeconds - b.atSeconds);
  const { errors, alerts } = await judgeRules(JSON.stringify(spec), inOrder);
  if (errors.length > 0) throw new Error(errors.join("\n"));
  return alerts;
}

/** Names of those whose condition holds. */
export async function holding(all: readonly Scrape[]): Promise<readonly string[]> {
  return (await judge(all)).filter(({ holds }) => holds).map(({ alert }) => alert);
}
