/** A small registry of Prometheus metrics (text format 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats/). */

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  add(amount?: number, labels?: Labels): void;
}

export interface Gauge {
  set(value: number, labels?: Labels): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

export interface Registry {
  /**
   * Registers or finds the counter of that name; the name ends in `_total`. Series of `known` labels are there from the start, with 0: Prometheus
   * sees no increase in a series that begins with 1, so an alert on any needs them.
   */
  counter(name: string, help: string, known?: readonly Labels[]): Counter;
  gauge(name: string, help: string): Gauge;
  /** A gauge that is computed when somebody reads. */
  gaugeFrom(
    name: string,
    help: string,
    read: () => readonly { readonly labels?: Labels; readonly value: number }[],
  ): void;
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
  /** The whole page. */
  render(): string;
}

/** More series than this of one metric are not kept: an unbounded label would be a leak. */
const MOST_SERIES = 2_000;

function seriesKey(labels: Labels): string {
  const parts = Object.keys(labels)
    .sort()
    .map((name) => `${name}="${(labels[name] ?? "").replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`))}"`);
  return parts.join(",");
}

const braces = (key: string): string => (key === "" ? "" : `{${key}}`);

interface Metric {
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly lines: (name: string) => string[];
  readonly handle: Counter | Gauge | Histogram;
}

export function createRegistry(): Registry {
  const metrics = new Map<string, Metric>();
  const register = (name: string, make: () => Metric): Metric => {
    const metric = metrics.get(name) ?? make();
    metrics.set(name, metric);
    return metric;
  };
  return {
    counter: (name, help, known) => register(name, () => values("counter", help, known)).handle as Counter,
    gauge: (name, help) => register(name, () => values("gauge", help)).handle as Gauge,
    gaugeFrom(name, help, read) {
      const lines = (own: string): string[] =>
        read().map(({ labels, value }) => `${own}${braces(seriesKey(labels ?? {}))} ${value}`);
      metrics.set(name, { help, type: "gauge", lines, handle: { set: () => undefined } });
    },
    histogram: (name, help, buckets) => register(name, () => bucketed(help, buckets)).handle as Histogram,
    render() {
      const page: string[] = [];
      for (const [name, metric] of [...metrics].sort(([a], [b]) => (a < b ? -1 : 1))) {
        page.push(`# HELP ${name} ${metric.help}`, `# TYPE ${name} ${metric.type}`, ...metric.lines(name));
      }
      return `${page.join("\n")}\n`;
    },
  };
}

function values(type: "counter" | "gauge", help: string, known: readonly Labels[] = []): Metric {
  const series = new Map<string, number>(known.map((labels) => [seriesKey(labels), 0]));
  const write = (labels: Labels, next: (old: number) => number): void => {
    const key = seriesKey(labels);
    const old = series.get(key);
    if (old === undefined && series.size >= MOST_SERIES) return;
    series.set(key, next(old ?? 0));
  };
  return {
    help,
    type,
    lines: (name) =>
      series.size === 0 && type === "counter"
        ? [`${name} 0`]
        : [...series].map(([key, value]) => `${name}${braces(key)} ${value}`),
    handle: {
      add: (amount = 1, labels: Labels = {}) => write(labels, (old) => old + amount),
      set: (value: number, labels: Labels = {}) => write(labels, () => value),
    },
  };
}

function bucketed(help: string, bounds: readonly number[]): Metric {
  const series = new Map<string, { readonly counts: number[]; sum: number; count: number }>();
  return {
    help,
    type: "histogram",
    lines: (name) =>
      [...series].flatMap(([key, { counts, sum, count }]) => {
        const prefix = key === "" ? "" : `${key},`;
        const rows = bounds.map((bound, index) => `${name}_bucket{${prefix}le="${bound}"} ${counts[index] ?? 0}`);
        return [
          ...rows,
          `${name}_bucket{${prefix}le="+Inf"} ${count}`,
          `${name}_sum${braces(key)} ${sum}`,
          `${name}_count${braces(key)} ${count}`,
        ];
      }),
    handle: {
      observe(value: number, labels: Labels = {}) {
        const key = seriesKey(labels);
        let row = series.get(key);
        if (row === undefined) {
          if (series.size >= MOST_SERIES) return;
          row = { counts: bounds.map(() => 0), sum: 0, count: 0 };
          series.set(key, row);
        }
        row.sum += value;
        row.count += 1;
        bounds.forEach((bound, index) => {
          if (value <= bound) row.counts[index] = (row.counts[index] ?? 0) + 1;
        });
      },
    },
  };
}
