/**
 * What this replica has to tell the leader about its proxies: only of gateways that it has proxies of, each resource once and again when it
 * changes, the newest state only. It waits while the leader reads slowly.
 */
import type { JsonObject, ResourceKey, ResourceReport } from "@gatewarden/xds/types.ts";
import type { Clock } from "../clock.ts";
import { countsMessage, resourcesMessage, type Counts } from "./messages.ts";

/** The xDS server's side. */
export interface Reported {
  readonly gateways: () => readonly string[];
  readonly keys: (gateway: string) => readonly ResourceKey[];
  readonly report: (gateway: string, key: ResourceKey) => ResourceReport;
  readonly proxies: (gateway: string) => Counts;
}

export interface Reporter {
  /** As the xDS server's `onChange`. */
  changed(gateway: string, keys: readonly ResourceKey[] | "all"): void;
  drained(): void;
  stop(): void;
}

/** Acknowledgements come in groups. */
const TOGETHER_MS = 10;
/** Of one message. */
const MOST_RESOURCES = 2_000;

interface Told {
  counts: Counts;
  /** What is to be said, by id. */
  readonly dirty: Map<string, ResourceKey>;
  /** What was said to be outstanding or refused, and may have become settled because a proxy went. */
  readonly open: Map<string, ResourceKey>;
}

/** @param send false: wait for `drained` */
export function createReporter(server: Reported, clock: Clock, send: (message: JsonObject) => boolean): Reporter {
  const told = new Map<string, Told>();
  const due = new Set<string>();
  let blocked = false;
  let cancel: (() => void) | undefined;

  const toldOf = (gateway: string): Told => {
    const known = told.get(gateway) ?? { counts: { complete: 0, joining: 0 }, dirty: new Map(), open: new Map() };
    told.set(gateway, known);
    return known;
  };
  const mark = (entry: Told, keys: Iterable<ResourceKey>): void => {
    for (const key of keys) entry.dirty.set(`${key.type} ${key.name}`, key);
  };
  const wake = (): void => {
    if (!blocked && due.size > 0) cancel ??= clock.after(TOGETHER_MS, flush);
  };

  const flush = (): void => {
    cancel = undefined;
    const counts = new Map<string, Counts>();
    for (const gateway of due) {
      const entry = toldOf(gateway);
      const now = server.proxies(gateway);
      // The first proxy: until then nothing was said of the resources.
      if (now.complete > 0 && entry.counts.complete === 0) mark(entry, server.keys(gateway));
      else mark(entry, entry.open.values());
      if (now.complete !== entry.counts.complete || now.joining !== entry.counts.joining) {
        entry.counts = now;
        counts.set(gateway, now);
      }
    }
    // Resources first: a proxy must not count before what it has is known. A gateway without proxies is not spoken of.
    for (const gateway of due) {
      const entry = toldOf(gateway);
      due.delete(gateway);
      if (entry.counts.complete === 0) {
        entry.dirty.clear();
        entry.open.clear();
      } else say(gateway, entry);
    }
    if (counts.size > 0 && !send(countsMessage(counts))) blocked = true;
    wake();
  };

  const say = (gateway: string, entry: Told): void => {
    const reports = [...entry.dirty].map(([id, key]) => {
      const report = server.report(gateway, key);
      if (report.lacking > 0 || report.refusal !== undefined) entry.open.set(id, key);
      else entry.open.delete(id);
      return [key, report] as const;
    });
    entry.dirty.clear();
    for (let at = 0; at < reports.length; at += MOST_RESOURCES)
      if (!send(resourcesMessage(gateway, reports.slice(at, at + MOST_RESOURCES)))) blocked = true;
  };

  for (const gateway of server.gateways()) due.add(gateway);
  wake();
  return {
    changed(gateway, keys) {
      if (keys !== "all") mark(toldOf(gateway), keys);
      due.add(gateway);
      wake();
    },
    drained() {
      blocked = false;
      wake();
    },
    stop: () => cancel?.(),
  };
}
