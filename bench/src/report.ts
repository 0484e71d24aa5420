/** The numbers beside the targets. A run never fails because of a number. */
import { table } from "@gatewarden/e2e/demo/table.ts";
import type { ChangeCost } from "./change-cost.ts";
import type { Enforcement } from "./enforcement.ts";
import type { Load } from "./load.ts";
import type { RequestCost } from "./request-cost.ts";
import type { Restart, Start } from "./start.ts";

export interface KindResult {
  readonly name: string;
  readonly enforcement: Enforcement;
  readonly cost: ChangeCost;
}

export interface SizeResult {
  readonly n: number;
  readonly start: Start;
  readonly kinds: readonly KindResult[];
  readonly restart?: Restart;
  readonly load?: Load;
}

export interface Result {
  readonly takenAt: string;
  readonly commit: string;
  readonly machine: {
    readonly processors: number;
    readonly model: string;
    readonly memoryGB: number;
    readonly node: string;
  };
  readonly samples: number;
  readonly sizes: readonly SizeResult[];
  readonly requests?: readonly RequestCost[];
}

/** docs/performance.md says where they come from. */
export const TARGETS = {
  enforcedP50Ms: 20,
  enforcedP99Ms: 60,
  growth: 1.3,
  operatorCpuMs: 10,
  envoyCpuMs: 8,
  pushedBytes: 2_000,
  memoryMB: 160,
  servingMs: 4_000,
  requestMicroseconds: 30,
} as const;

type Row = readonly string[];

/** Everything as tables of text; `markdown` for docs. */
export function report(result: Result, markdown = false): string {
  const show = markdown ? markdownTable : table;
  const sections: string[] = [];
  const add = (title: string, rows: readonly Row[]): void =>
    void sections.push(`${markdown ? "### " : ""}${title}\n\n${show(rows)}`);
  const headings = result.sizes.map(({ n }) => `N = ${n.toLocaleString("en")}`);
  add(
    "Applied change to first request that obeys, ms (p50 / p99, the write included)",
    enforcementRows(result, headings),
  );
  add("One change", costRows(result, headings));
  add("Start, memory", startRows(result, headings));
  if (result.sizes.some(({ load }) => load !== undefined)) add("Under load and churn", loadRows(result, headings));
  if (result.requests !== undefined) add("Envoy's CPU per request", requestRows(result.requests));
  return sections.join("\n\n");
}

function enforcementRows({ sizes }: Result, headings: Row): readonly Row[] {
  const last = sizes.at(-1);
  const rows: Row[] = [["change", "connection", ...headings, "target", "met"]];
  for (const [index, { name }] of (last?.kinds ?? []).entries()) {
    for (const connection of ["open", "fresh"] as const) {
      const each = sizes.map(({ kinds }) => kinds[index]?.enforcement[connection]);
      const most = each.at(-1);
      const least = each[0];
      const good = most !== undefined && most.p50 <= TARGETS.enforcedP50Ms && most.p99 <= TARGETS.enforcedP99Ms;
      const grows = most !== undefined && least !== undefined && most.p50 > TARGETS.growth * least.p50;
      const cells = each.map((one) => (one === undefined ? "-" : `${short(one.p50)} / ${short(one.p99)}`));
      const target = `${TARGETS.enforcedP50Ms} / ${TARGETS.enforcedP99Ms}, p50 ≤ ${TARGETS.growth} × smallest N`;
      rows.push([name, connection === "open" ? "open" : "new", ...cells, target, verdict(good && !grows)]);
    }
    const lost = sizes.map(({ kinds }) => {
      const { missed = 0, failed = 0 } = kinds[index]?.enforcement ?? {};
      return `${missed} / ${failed}`;
    });
    rows.push([name, "missed / 5xx", ...lost, "0 / 0", verdict(lost.every((text) => text === "0 / 0"))]);
  }
  return rows;
}

function costRows({ sizes }: Result, headings: Row): readonly Row[] {
  const rows: Row[] = [["change", "what", ...headings, "target", "met"]];
  const line = (
    index: number,
    what: string,
    read: (cost: ChangeCost) => number,
    target: number | undefined,
    unit: string,
  ): void => {
    const values = sizes.map(({ kinds }) => kinds[index]?.cost).map((cost) => (cost === undefined ? 0 : read(cost)));
    const met = target === undefined ? "" : verdict((values.at(-1) ?? 0) <= target);
    const goal = target === undefined ? "" : `≤ ${target.toLocaleString("en")}${unit}`;
    const name = sizes[0]?.kinds[index]?.name ?? "";
    rows.push([name, what, ...values.map((value) => `${short(value)}${unit}`), goal, met]);
  };
  for (const index of (sizes[0]?.kinds ?? []).keys()) {
    line(index, "CPU of the operator, statuses included", (cost) => cost.operatorCpuMs, TARGETS.operatorCpuMs, " ms");
    line(index, "CPU of Envoy", (cost) => cost.envoyCpuMs, TARGETS.envoyCpuMs, " ms");
    line(index, "pushed", (cost) => cost.pushedBytes, TARGETS.pushedBytes, " B");
    line(index, "resources pushed", (cost) => cost.pushedResources, undefined, "");
    line(index, "units recomputed", (cost) => cost.recomputed, undefined, "");
    line(index, "statuses written", (cost) => cost.statusWrites, undefined, "");
  }
  return rows;
}

function startRows({ sizes }: Result, headings: Row): readonly Row[] {
  const rows: Row[] = [["what", ...headings, "target", "met"]];
  const line = (what: string, read: (size: SizeResult) => number | undefined, unit: string, target?: number): void => {
    const values = sizes.map(read);
    if (values.every((value) => value === undefined)) return;
    const most = values.findLast((value) => value !== undefined) ?? 0;
    const cells = values.map((value) => (value === undefined ? "-" : `${short(value)} ${unit}`));
    const goal = target === undefined ? "" : `≤ ${target.toLocaleString("en")} ${unit}`;
    rows.push([what, ...cells, goal, target === undefined ? "" : verdict(most <= target)]);
  };
  line("operator's start to its xDS port", ({ start }) => start.operatorReadyMs, "ms");
  line("Envoy's start to the first answer", ({ start }) => start.envoyServingMs, "ms");
  line("start to serving, one after the other", ({ start }) => start.servingMs, "ms", TARGETS.servingMs);
  line("operator's start to all statuses written", ({ start }) => start.programmedMs, "ms");
  line("CPU of the operator until its port", ({ start }) => start.operatorCpuMs, "ms");
  line("CPU of Envoy until its first answer", ({ start }) => start.envoyCpuMs, "ms");
  line("pushed at the start", ({ start }) => start.pushedMB, "MB");
  line("operator's memory, all statuses written", ({ start }) => start.operatorRssMB, "MB", TARGETS.memoryMB);
  line("operator's memory after 20 quiet seconds", ({ start }) => start.operatorQuietRssMB, "MB", TARGETS.memoryMB);
  line("operator's memory after churn", ({ load }) => load?.operatorRssMB, "MB", TARGETS.memoryMB);
  line("operator's memory at its peak", ({ start, load }) => load?.operatorPeakMB ?? start.operatorPeakMB, "MB");
  line("operator's heap", ({ start }) => start.heapMB, "MB");
  line("Envoy's memory", ({ start }) => start.envoyRssMB, "MB");
  line("Envoy's memory after churn", ({ load }) => load?.envoyRssMB, "MB");
  line("operator restarted: connected again after", ({ restart }) => restart?.reconnectedMs, "ms");
  line("operator restarted: resources pushed", ({ restart }) => restart?.pushedResources, "", 0);
  return rows;
}

function loadRows({ sizes }: Result, headings: Row): readonly Row[] {
  const rows: Row[] = [["what", ...headings, "target", "met"]];
  const line = (what: string, read: (load: Load) => number, zero = false): void => {
    const values = sizes.map(({ load }) => (load === undefined ? undefined : read(load)));
    const cells = values.map((value) => (value === undefined ? "-" : short(value)));
    const met = values.every((value) => value === undefined || value === 0);
    rows.push([what, ...cells, zero ? "0" : "", zero ? verdict(met) : ""]);
  };
  line("requests", (load) => load.requests);
  line("changes", (load) => load.changes);
  line("answers 5xx or none", (load) => load.failed, true);
  line("good credentials refused", (load) => load.refused, true);
  line("enforcement holes", (load) => load.holes, true);
  line("refilled limits", (load) => load.refilled, true);
  line("connections closed", (load) => load.closed, true);
  line("listeners changed", (load) => load.drained, true);
  line("request p50, ms", (load) => load.latencyMs.p50);
  line("request p99, ms", (load) => load.latencyMs.p99);
  line("operator, share of a processor", (load) => load.operatorCpuShare);
  return rows;
}

function requestRows(requests: readonly RequestCost[]): readonly Row[] {
  const together = "lists, limit, JWT together";
  return [
    ["request", "CPU µs", "more than plain", "target", "met", "requests/s"],
    ...requests.map(({ name, microseconds, more, requestsPerSecond }) => [
      name,
      short(microseconds),
      short(more),
      name === together ? `≤ ${TARGETS.requestMicroseconds} more` : "",
      name === together ? verdict(more <= TARGETS.requestMicroseconds) : "",
      short(requestsPerSecond),
    ]),
  ];
}

const verdict = (met: boolean): string => (met ? "yes" : "NO");

function short(value: number): string {
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(Math.abs(value) < 10 ? 2 : 1);
}

function markdownTable([heading = [], ...body]: readonly Row[]): string {
  const line = (row: Row): string => `| ${row.join(" | ")} |`;
  return [line(heading), line(heading.map(() => "---")), ...body.map(line)].join("\n");
}
