/** What the robustness scenarios watch while something breaks: a proxy's whole configuration, and traffic that must not notice. */
import { setTimeout as wait } from "node:timers/promises";
import type { Answer } from "../client/answer.ts";
import { connectHttp1, type RequestSpec, send } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import type { Target } from "../client/target.ts";
import type { EnvoyProcess } from "../envoy/process.ts";
import type { Harness } from "../harness/harness.ts";

/** Every dynamic resource that a proxy holds: text by type and name. */
export type Configuration = ReadonlyMap<string, string>;

export async function configurationOf(envoy: EnvoyProcess): Promise<Configuration> {
  const dump = (await envoy.admin.configDump("include_eds")) as { readonly configs: readonly object[] };
  const found = new Map<string, string>();
  for (const config of dump.configs) {
    if (!/BootstrapConfigDump$/.test(typeOf(config) ?? "")) collect(Object.values(config), found);
  }
  return found;
}

/** The keys of what is not the same in both. */
export function differences(before: Configuration, after: Configuration): readonly string[] {
  const keys = new Set([...before.keys(), ...after.keys()]);
  return [...keys].filter((key) => before.get(key) !== after.get(key)).sort();
}

function collect(value: unknown, found: Map<string, string>): void {
  if (typeof value !== "object" || value === null) return;
  const type = typeOf(value);
  if (type === undefined) {
    for (const member of Object.values(value)) collect(member, found);
    return;
  }
  const { name, cluster_name: cluster } = value as { readonly name?: string; readonly cluster_name?: string };
  found.set(`${type.slice(type.lastIndexOf(".") + 1)} ${name ?? cluster ?? ""}`, JSON.stringify(value, canonical));
}

/**
 * The same text for the same content: maps have no order, and the mark of a scope that was in a refused response and is sent again, so that
 * it looks new, means nothing.
 */
function canonical(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const members = Object.entries(value).filter(([name, member]) => name !== "metadata" || !isResentMark(member));
  return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function isResentMark(metadata: unknown): boolean {
  const { filter_metadata: names } = metadata as { readonly filter_metadata?: object };
  return names !== undefined && Object.keys(names).every((name) => name.startsWith("gatewarden.resent"));
}

function typeOf(value: object): string | undefined {
  const type = (value as { readonly "@type"?: unknown })["@type"];
  return typeof type === "string" ? type : undefined;
}

/** Envoy's counters of what an update may cost: all of them stay as they are when nothing is disturbed. */
export async function disturbance(envoy: EnvoyProcess): Promise<Readonly<Record<string, number>>> {
  const names = [
    "listener_manager.listener_added",
    "listener_manager.listener_modified",
    "listener_manager.listener_removed",
    "listener_manager.listener_in_place_updated",
    "listener_manager.total_filter_chains_draining",
    "listener_manager.lds.update_success",
    "listener_manager.lds.update_rejected",
    "cluster_manager.cluster_removed",
    "cluster_manager.cluster_modified",
  ];
  const stats = await envoy.admin.stats();
  return Object.fromEntries(names.map((name) => [name, stats.get(name) ?? 0]));
}

export interface Traffic {
  /** Ends it: how many requests were sent, and what those were answered that were not answered as they should. */
  readonly stop: () => Promise<{ readonly sent: number; readonly failures: readonly string[] }>;
}

const PAUSE_MS = 5;

/**
 * Requests without a break over a held HTTP/1.1 and a held HTTP/2 connection and over new ones; each must be answered with 200. It ends with the
 * harness at the latest: also where a test fails before it stops it.
 */
export async function startTraffic(
  { atEnd }: Pick<Harness, "atEnd">,
  target: Target,
  requests: readonly RequestSpec[],
): Promise<Traffic> {
  const held = [await connectHttp1(target), await connectHttp2(target)];
  const ways = [...held.map(({ request }) => request), (spec: RequestSpec) => send(target, spec)];
  const failures: string[] = [];
  let sent = 0;
  let stopped = false;
  const loop = async (ask: (spec: RequestSpec) => Promise<Answer>): Promise<void> => {
    while (!stopped) {
      for (const spec of requests) {
        sent += 1;
        const said = await ask(spec).then(
          ({ status, body }) => (status === 200 ? "" : `${String(status)} ${body}`),
          String,
        );
        if (said !== "") failures.push(`${spec.host ?? ""}${spec.path ?? "/"}: ${said}`);
      }
      await wait(PAUSE_MS);
    }
  };
  const loops = ways.map(loop);
  const stop: Traffic["stop"] = async () => {
    stopped = true;
    await Promise.all(loops);
    if (held.some(({ closed }) => closed())) failures.push("a held connection was closed");
    for (const { close } of held) close();
    return { sent, failures };
  };
  atEnd(stop);
  return { stop };
}
