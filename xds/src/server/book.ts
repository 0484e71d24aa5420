/**
 * The book of one gateway: its resources and its proxies, what was accepted and refused. It owns every Entry and Proxy; streams tell it
 * what their clients said, and it tells the streams what changed.
 */
import type { Clock, Refusal, ResourceKey, ResourceReport, ResourceStatus, ResourceType } from "../types.ts";
import { RESOURCE_TYPES } from "../types.ts";
import type { Content } from "./content.ts";
import { choose, createEntry, type Entry, isQuarantined, reportOf, statusOf } from "./entry.ts";
import { createFormer } from "./former.ts";
import { createKept } from "./kept.ts";
import type { Kept } from "../snapshot.ts";
import type { Proxy, Subscriber } from "./proxy.ts";
import type { Encoded } from "./encode.ts";

/** A proxy that comes back within this time was never away: streams end when their token or their connection gets old. */
export const RECONNECT_GRACE_MS = 5_000;

export interface BookEvents {
  /** Statuses of these resources may differ; "all" when a proxy came, went or became complete. */
  readonly onChange: (keys: readonly ResourceKey[] | "all") => void;
  readonly onQuarantine: (entry: Entry, refusal: Refusal) => void;
}

export interface Book {
  entries(type: ResourceType): ReadonlyMap<string, Entry>;
  status(key: ResourceKey): ResourceStatus;
  report(key: ResourceKey): ResourceReport;
  /** Proxies that count, and those that are on their way to it. */
  proxies(): { readonly complete: number; readonly joining: number };
  publish(changes: readonly Encoded[]): void;
  /** What a new proxy would get, each resource in its last good version. */
  lastGood(): readonly Kept[];
  /** What was good in an earlier process: stands in for what is refused now. Before the first publication. */
  seed(kept: readonly Kept[]): void;
  /** What was seeded and is not there now is gone. */
  endSeeding(): void;
  /** Names of a type that a proxy may have which does not say so. */
  former(type: ResourceType): Iterable<string>;

  /** A stream of a node begins. `resumes` says that its client has configuration from an earlier stream. */
  attach(node: string, stream: Subscriber, resumes: boolean): Proxy;
  detach(proxy: Proxy, owed: Iterable<Entry>): void;
  /** Nothing is outstanding on the proxy's stream any more; said once per stream. */
  completed(proxy: Proxy): void;
  /** The proxy has to acknowledge the entry. */
  owe(proxy: Proxy, entry: Entry): void;
  /** The proxy has the entry's newest state, as it says itself when it resumes. */
  settle(proxy: Proxy, entry: Entry): void;
  acknowledged(proxy: Proxy, entry: Entry, content: Content | undefined, current: boolean): void;
  refused(proxy: Proxy, entry: Entry, content: Content, message: string): void;
  /** Forgets proxies that are away; nothing of the book runs afterwards. */
  stop(): void;
  /** Whether what others name must stay, because a refused resource is served in an old version (kept.ts). */
  keepsOld(): boolean;
  /** Nothing to keep: no resources and no proxies. */
  isEmpty(): boolean;
}

export function createBook(clock: Clock, events: BookEvents): Book {
  const resources = new Map<ResourceType, Map<string, Entry>>(RESOURCE_TYPES.map((type) => [type, new Map()]));
  const proxies = new Set<Proxy>();
  const changed = new Set<Entry | "all">();
  const seeds = new Map<string, Kept>(); // by type and name
  const former = createFormer();

  const entriesOf = (type: ResourceType): Map<string, Entry> => resources.get(type) ?? new Map<string, Entry>();
  const kept = createKept(entriesOf);
  const streams = (): Subscriber[] => [...proxies].flatMap(({ stream }) => stream ?? []);
  const tellStreams = (entry: Entry, isNew = false): void => {
    for (const proxy of proxies) {
      if (proxy.stream !== undefined) proxy.stream.changed(entry, isNew);
      else if (proxy.complete) entry.lacking.add(proxy);
    }
  };
  /** Tells the shell later, never while it or a stream is in the middle of something. */
  const report = (what: Entry | "all"): void => {
    if (changed.size === 0) {
      setImmediate(() => {
        const keys = [...changed].flatMap((entry) => (entry === "all" ? [] : [{ type: entry.type, name: entry.name }]));
        const all = changed.has("all");
        changed.clear();
        events.onChange(all ? "all" : keys);
      });
    }
    changed.add(what);
  };
  const forget = (entry: Entry): void => {
    if (entry.present || streams().some((stream) => stream.owes(entry))) return;
    if (entriesOf(entry.type).get(entry.name) === entry) entriesOf(entry.type).delete(entry.name);
  };
  const leave = (proxy: Proxy): void => {
    proxies.delete(proxy);
    withdraw(proxy);
    report("all");
  };
  /** Takes the proxy out of every resource's account. */
  const withdraw = (proxy: Proxy): void => {
    for (const entries of resources.values()) {
      for (const entry of entries.values()) {
        entry.lacking.delete(proxy);
        forgive(entry, proxy);
      }
    }
  };
  /** A refusal that only this proxy stood for ends with it; a quarantine stays until there is new content. */
  const forgive = (entry: Entry, proxy: Proxy): void => {
    if (entry.refusers.delete(proxy) && entry.refusers.size === 0 && !isQuarantined(entry)) {
      entry.refusal = undefined;
      report(entry);
    }
  };

  return {
    entries: entriesOf,
    status: ({ type, name }) => statusOf(entriesOf(type).get(name)),
    report: ({ type, name }) => reportOf(entriesOf(type).get(name)),
    proxies() {
      let complete = 0;
      for (const proxy of proxies) if (proxy.complete) complete += 1;
      return { complete, joining: proxies.size - complete };
    },
    publish(changes) {
      const touched = changes.flatMap((change) => {
        const entries = entriesOf(change.type);
        const known = entries.get(change.name);
        const entry = known ?? createEntry(change.type, change.name);
        if (change.present) kept.forget(entry);
        else if (kept.holds(entry)) return [];
        if (!write(entry, change)) return [];
        if (known === undefined) recall(entry);
        if (entry.present) former.delete(entry.type, entry.name);
        else former.add(entry.type, entry.name);
        entries.set(change.name, entry);
        if (change.refusal !== undefined) events.onQuarantine(entry, change.refusal);
        return [{ entry, isNew: known === undefined }];
      });
      // All marks before the first flush: the order of types holds over the whole publication.
      for (const { entry, isNew } of touched) {
        tellStreams(entry, isNew);
        report(entry);
      }
      releaseKept();
      for (const stream of streams()) stream.flush();
      for (const { entry } of touched) forget(entry);
    },
    lastGood: () =>
      RESOURCE_TYPES.flatMap((type) =>
        [...entriesOf(type).values()].flatMap((entry): readonly Kept[] => {
          const content = entry.present ? (entry.good ?? choose(entry, NEW_PROXY)) : undefined;
          return content === undefined ? [] : [[type, entry.name, content]];
        }),
      ),
    seed(kept) {
      for (const one of kept) seeds.set(`${one[0]} ${one[1]}`, one);
    },
    endSeeding() {
      for (const [type, name] of seeds.values()) if (!entriesOf(type).has(name)) former.add(type, name);
      seeds.clear();
    },
    former: (type) => former.names(type),
    attach(node, stream, resumes) {
      // Several proxies may run from one bootstrap, so only one that is away can be the one that comes.
      const known = [...proxies].find((proxy) => proxy.node === node && proxy.stream === undefined);
      const proxy: Proxy = known ?? { node, stream, complete: false, stopGrace: undefined };
      proxy.stream = stream;
      proxy.stopGrace?.();
      proxy.stopGrace = undefined;
      if (known !== undefined && !resumes) {
        proxy.complete = false;
        withdraw(proxy);
      }
      proxies.add(proxy);
      report("all");
      return proxy;
    },
    detach(proxy, owed) {
      proxy.stream = undefined;
      if (proxy.complete) proxy.stopGrace = clock.after(RECONNECT_GRACE_MS, () => leave(proxy));
      else leave(proxy);
      for (const entry of owed) forget(entry);
    },
    completed(proxy) {
      // What was noted while it was away and is not its business any more.
      for (const entries of resources.values()) {
        for (const entry of entries.values()) if (proxy.stream?.owes(entry) === false) entry.lacking.delete(proxy);
      }
      proxy.complete = true;
      report("all");
    },
    owe(proxy, entry) {
      if (proxy.complete) entry.lacking.add(proxy);
    },
    settle(proxy, entry) {
      if (entry.lacking.delete(proxy)) report(entry);
    },
    acknowledged(proxy, entry, content, current) {
      if (current) entry.lacking.delete(proxy);
      if (content === undefined) forget(entry);
      else if (entry.present && content !== entry.fallback) accept(entry, content);
      report(entry);
    },
    refused(proxy, entry, content, message) {
      if (content === entry.fallback) entry.fallback = undefined;
      if (content === entry.wanted) {
        const wasQuarantined = isQuarantined(entry);
        entry.refusal ??= { by: "proxy", message, node: proxy.node };
        entry.refusers.add(proxy);
        if (!wasQuarantined && isQuarantined(entry)) events.onQuarantine(entry, entry.refusal);
      }
      tellStreams(entry);
      report(entry);
      if (kept.isNeeded()) for (const restored of kept.restore()) tellStreams(restored);
      for (const stream of streams()) stream.flush();
    },
    keepsOld: () => kept.isNeeded(),
    stop() {
      for (const proxy of proxies) proxy.stopGrace?.();
    },
    isEmpty: () => proxies.size === 0 && [...resources.values()].every((entries) => entries.size === 0),
  };

  function recall(entry: Entry): void {
    const [, , content] = seeds.get(`${entry.type} ${entry.name}`) ?? [];
    if (content === undefined || !entry.present) return;
    entry.good = entry.wanted?.version === content.version ? entry.wanted : content;
    entry.fallback = undefined;
  }

  /** The last refusal is over: what was kept for its old version goes. */
  function releaseKept(): void {
    for (const entry of kept.take()) {
      if (!write(entry, REMOVED)) continue;
      tellStreams(entry);
      forget(entry);
    }
  }

  function accept(entry: Entry, content: Content): void {
    const wasQuarantined = isQuarantined(entry);
    // An old version that arrives late must not replace the newest one.
    if (entry.good !== entry.wanted || content === entry.wanted || entry.good === undefined) entry.good = content;
    entry.fallback = undefined;
    // Others were kept from it because of one proxy that may be alone in this.
    if (wasQuarantined && !isQuarantined(entry)) tellStreams(entry);
  }
}

const NEW_PROXY = { holds: false, refused: undefined } as const;
const REMOVED = { present: false, content: undefined, refusal: undefined, fallback: undefined, endpoint: undefined };

/** Takes new content over; false where nothing is new. Whatever was refused before is forgotten with the content. */
function write(entry: Entry, change: Omit<Encoded, "gateway" | "type" | "name">): boolean {
  const { content, refusal, fallback } = change;
  if (!change.present) {
    if (!entry.present || (entry.wanted === undefined && entry.refusal === undefined)) return false;
    entry.present = false;
    entry.wanted ??= entry.good;
    entry.good = undefined;
    entry.fallback = undefined;
    entry.refusal = undefined;
    entry.refusers.clear();
    return true;
  }
  if (entry.present && content !== undefined && entry.wanted?.version === content.version) {
    if (entry.good === undefined) entry.fallback = fallback;
    return isQuarantined(entry) && entry.good === undefined;
  }
  const returned = content !== undefined && entry.good?.version === content.version;
  entry.wanted = returned ? entry.good : content;
  entry.good = entry.present ? entry.good : undefined;
  entry.present = true;
  entry.fallback = entry.good === undefined ? fallback : undefined;
  entry.refusal = refusal;
  entry.refusers.clear();
  entry.endpoint = change.endpoint;
  return true;
}
