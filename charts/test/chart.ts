/** Renders the charts with the real Helm. */
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { runCommand } from "@gatewarden/e2e/cluster/child-process.ts";
import { helmCommand } from "@gatewarden/e2e/cluster/parts.ts";

export const CHARTS = join(import.meta.dirname, "..");
/** The lowest Kubernetes that the charts take. */
const KUBERNETES = "1.31.0";

export type ChartName = "gatewarden" | "gatewarden-crds";

export interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>> | null;
  };
  readonly [key: string]: unknown;
}

/** The text of a chart with these values, installed as release `gatewarden` in `gatewarden-system`. Throws with what Helm said. */
export async function renderText(chart: ChartName, values: object = {}): Promise<string> {
  const args = ["template", "gatewarden", join(CHARTS, chart), "--namespace", "gatewarden-system"];
  const options = ["--kube-version", KUBERNETES, "--values", "-"];
  return (await runCommand(await helmCommand(), [...args, ...options], { stdin: JSON.stringify(values) })).stdout;
}

/** Its objects. */
export async function render(chart: ChartName, values: object = {}): Promise<readonly Rendered[]> {
  return parseAllDocuments(await renderText(chart, values)).map((document) => document.toJS() as Rendered);
}
