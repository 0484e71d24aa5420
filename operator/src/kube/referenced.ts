/**
 * Secrets and ConfigMaps, by reference only: one watch for each object that the core names, never a whole namespace, so memory and rights
 * do not depend on what else lies there (rules R21, R38). Over HTTP/2 these watches share connections.
 */
import type { Change, KubeObject, ObjectKey } from "@gatewarden/core/world.ts";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { isDenied } from "./access-review.ts";
import type { KubeClient } from "./client.ts";
import { keyText, REFERENCED_KINDS } from "./kinds.ts";
import { startReflector, type Reflector, type ReflectorLimits } from "./reflector.ts";

export interface ReferencedOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: (change: Change) => void;
  readonly onEvent?: (event: string, amount: number) => void;
  readonly limits?: Partial<ReflectorLimits>;
}

export interface Referenced {
  /** Begins to watch what is added and ends what is removed; nobody else is told of a removal. Adding twice counts once. */
  update(add: readonly ObjectKey[], remove: readonly ObjectKey[]): void;
  /** The API server answers again: who waits to try again does so now, some at a time. */
  wake(): void;
  /** How many added objects have not been reported at all yet. */
  pending(): number;
  /** Whether an added object has not been reported yet, or was for the first time and `waits` to be taken in. */
  reading(waits: (key: ObjectKey) => boolean): boolean;
  watched(): number;
  stop(): Promise<void>;
}

/**
 * That often one object of each namespace stands for the others. Where it was denied it is tried again; where a Secret was given, the API
 * server is asked whether it still would be: a watch that runs is not ended when its right is withdrawn. What is found holds for the others at once.
 */
const PROBE_EVERY_MS = 3_000;
/** No more of either in one round, however many namespaces there are. */
const PROBES_A_ROUND = 30;
/** Thousands of watches at once would be the first thing that a returning API server sees. */
const WOKEN_AT_ONCE = 50;
const WAKE_EVERY_MS = 50;

interface Entry {
  readonly key: ObjectKey;
  reflector: Reflector | undefined;
  reported: boolean;
  denied: boolean;
}

export function createReferenced(options: ReferencedOptions): Referenced {
  const { client, clock, log } = options;
  const entries = new Map<string, Entry>();
  /** Those of which the first report is still to come, or was not known to be taken in when that was last asked. */
  const unread = new Set<Entry>();
  const ending = new Set<Promise<void>>();
  let stopped = false;
  let cancelProbe: (() => void) | undefined;
  let cancelTurn: (() => void) | undefined;
  let round = 0;

  const scope = (key: ObjectKey): string => `${key.kind}/${key.namespace}`;

  /** Another member of each namespace each time: a Role may allow some names only. */
  const sample = (chosen: (entry: Entry) => boolean): readonly Entry[] => {
    const groups = [...Map.groupBy([...entries.values()].filter(chosen), ({ key }) => scope(key)).values()];
    return Array.from({ length: Math.min(groups.length, PROBES_A_ROUND) }, (_, index) => {
      const group = groups[(round * PROBES_A_ROUND + index) % groups.length] as Entry[];
      return group[round % group.length] as Entry;
    });
  };
  const probe = (): void => {
    cancelProbe = undefined;
    if (stopped || entries.size === 0) return;
    for (const { reflector } of sample(({ denied }) => denied)) reflector?.wake();
    // ConfigMaps are everywhere ours to read; a Secret is while its namespace's RoleBinding says so.
    for (const entry of sample(({ key, denied, reported }) => key.kind === "Secret" && reported && !denied))
      void ask(entry);
    round += 1;
    scheduleProbe();
  };
  const ask = async (entry: Entry): Promise<void> => {
    const { namespace, name } = entry.key;
    // Only a hint: whether it is so says the list that follows.
    if (await isDenied(client, { verb: "watch", group: "", resource: "secrets", namespace, name }))
      entry.reflector?.recheck();
  };
  const scheduleProbe = (): void => {
    cancelProbe ??= clock.after(PROBE_EVERY_MS * (0.9 + clock.random() * 0.2), probe);
  };

  const turns: (() => void)[] = [];
  /** Some at a time. */
  const inTurns = (some: Iterable<Entry>, act: (reflector: Reflector) => void): void => {
    for (const entry of some) turns.push(() => entry.reflector && act(entry.reflector));
    const next = (): void => {
      cancelTurn = undefined;
      for (const turn of turns.splice(0, WOKEN_AT_ONCE)) turn();
      if (turns.length > 0) cancelTurn = clock.after(WAKE_EVERY_MS, next);
    };
    if (cancelTurn === undefined) next();
  };

  const report = (entry: Entry, object: KubeObject | undefined, denied: boolean): void => {
    if (entries.get(keyText(entry.key)) !== entry) return; // removed meanwhile
    entry.reported = true;
    options.onChange({ key: entry.key, object, ...(denied ? { denied: true } : {}) });
  };

  const start = (entry: Entry): void => {
    const { kind, namespace, name } = entry.key;
    let present = false;
    entry.reflector = startReflector({
      kind: REFERENCED_KINDS[kind as "Secret" | "ConfigMap"],
      client,
      clock,
      log,
      namespace,
      name,
      waitWhenDenied: true,
      limits: { relistMs: 1_800_000, ...options.limits },
      events: {
        ...(options.onEvent === undefined ? {} : { onEvent: options.onEvent }),
        onChange(change) {
          present = change.object !== undefined;
          report(entry, change.object, false);
        },
        onState(state) {
          if (state === "denied" || state === "absent") {
            const withdrawn = state === "denied" && entry.reported && !entry.denied;
            if (!entry.denied) log.info("an object that is referred to may not be read", { kind, namespace, name });
            entry.denied = true;
            report(entry, undefined, true);
            if (withdrawn) inTurns(others(entry, false), (reflector) => reflector.recheck());
            scheduleProbe();
          } else if (state === "synced") {
            const opened = entry.denied;
            entry.denied = false;
            if (!present) report(entry, undefined, false);
            if (opened) for (const other of others(entry, true)) other.reflector?.wake();
          }
        },
      },
    });
  };

  const others = (entry: Entry, denied: boolean): readonly Entry[] =>
    [...entries.values()].filter((other) => other.denied === denied && scope(other.key) === scope(entry.key));

  const end = (entry: Entry): void => {
    const done = entry.reflector?.stop() ?? Promise.resolve();
    ending.add(done);
    void done.finally(() => ending.delete(done));
  };

  return {
    update(add, remove) {
      for (const key of remove) {
        const entry = entries.get(keyText(key));
        if (entry === undefined) continue;
        entries.delete(keyText(key));
        unread.delete(entry);
        end(entry);
      }
      for (const key of add) {
        if (entries.has(keyText(key)) || stopped) continue;
        const entry: Entry = { key, reflector: undefined, reported: false, denied: false };
        entries.set(keyText(key), entry);
        unread.add(entry);
        start(entry);
      }
      if (entries.size > 0) scheduleProbe();
    },
    wake: () => inTurns(entries.values(), (reflector) => reflector.wake()),
    pending: () => [...unread].filter((entry) => !entry.reported).length,
    reading(waits) {
      for (const entry of unread) if (entry.reported && !waits(entry.key)) unread.delete(entry);
      return unread.size > 0;
    },
    watched: () => entries.size,
    async stop() {
      stopped = true;
      cancelProbe?.();
      cancelTurn?.();
      turns.length = 0;
      for (const entry of entries.values()) end(entry);
      entries.clear();
      await Promise.all(ending);
    },
  };
}
