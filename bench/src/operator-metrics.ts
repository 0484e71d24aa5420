/** The operator's own counters, as a page of Prometheus text. */
import type { OperatorHandle } from "@gatewarden/e2e/harness/operator.ts";

export interface Page {
  /** Sum over all series of a metric whose labels include these. */
  readonly sum: (name: string, labels?: Readonly<Record<string, string>>) => number;
  /** The value of each series by the text of one label. */
  readonly by: (name: string, label: string) => ReadonlyMap<string, number>;
}

export async function readPage(operator: OperatorHandle): Promise<Page> {
  const { body } = await operator.endpoint("/metrics");
  const series: { readonly name: string; readonly labels: string; readonly value: number }[] = [];
  for (const line of body.split("\n")) {
    const [, name = "", labels = "", value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
    if (name !== "") series.push({ name, labels, value: Number(value) });
  }
  return {
    sum: (name, labels = {}) =>
      series
        .filter((each) => each.name === name)
        .filter((each) => Object.entries(labels).every(([label, text]) => each.labels.includes(`${label}="${text}"`)))
        .reduce((sum, { value }) => sum + value, 0),
    by: (name, label) => {
      const found = new Map<string, number>();
      for (const each of series) {
        const text = new RegExp(`${label}="([^"]*)"`).exec(each.labels)?.[1];
        if (each.name === name && text !== undefined) found.set(text, (found.get(text) ?? 0) + each.value);
      }
      return found;
    },
  };
}
