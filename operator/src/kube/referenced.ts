/**
 * Secrets and ConfigMaps, by reference only: one watch for each object that the core names, never a whole namespace, so memory and rights
 * do not depend on what else lies there (rules R21, R38). Over HTTP/2 these watches share connections.
 */
import type { Change, KubeObject, ObjectKey } from "@gatewarden/core/world.ts";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
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
  watched(): number;
  stop(): Promise<void>;
}

/** While a namespace denies, one of its objects is tried that often; when it opens, the others follow at once. */
const PROBE_EVERY_MS = 3_000;
/** No more probes than that in one round, however many namespaces deny. */
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
  const ending = new Set<Promise<void>>();
  let stopped = false;
  let cancelProbe: (() => void) | undefined;
  let cancelWake = (): void => undefined;
  let round = 0;

  const scope = (key: ObjectKey): string => `${key.kind}/${key.namespace}`;

  const probe = (): void => {
    cancelProbe = undefined;
    if (stopped) return;
    const byScope = new Map<string, Entry[]>();
    for (const entry of entries.values()) {
      if (!entry.denied) continue;
      const group = byScope.get(scope(entry.key));
      if (group === undefined) byScope.set(scope(entry.key), [entry]);
      else group.push(entry);
    }
    if (byScope.size === 0) return;
    const groups = [...byScope.values()];
    // Another member each time: a Role may allow some names only.
    for (let index = 0; index < Math.min(groups.length, PROBES_A_ROUND); index += 1) {
      const group = groups[(round * PROBES_A_ROUND + index) % groups.length] as Entry[];
      group[round % group.length]?.reflector?.wake();
    }
    round += 1;
    scheduleProbe();
  };
  const scheduleProbe = (): void => {
    cancelProbe ??= clock.after(PROBE_EVERY_MS * (0.9 + clock.random() * 0.2), probe);
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
            if (!entry.denied) log.info("an object that is referred to may not be read", { kind, namespace, name });
            entry.denied = true;
            report(entry, undefined, true);
            scheduleProbe();
          } else if (state === "synced") {
            const opened = entry.denied;
            entry.denied = false;
            if (!present) report(entry, undefined, false);
            if (opened) wakeScope(scope(entry.key));
          }
        },
      },
    });
  };

  const wakeScope = (opened: string): void => {
    for (const entry of entries.values()) if (entry.denied && scope(entry.key) === opened) entry.reflector?.wake();
  };

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
        end(entry);
      }
      for (const key of add) {
        if (entries.has(keyText(key)) || stopped) continue;
        const entry: Entry = { key, reflector: undefined, reported: false, denied: false };
        entries.set(keyText(key), entry);
        start(entry);
      }
    },
    wake() {
      const waiting = [...entries.values()];
      cancelWake();
      const next = (): void => {
        for (const entry of waiting.splice(0, WOKEN_AT_ONCE)) entry.reflector?.wake();
        if (waiting.length > 0) cancelWake = clock.after(WAKE_EVERY_MS, next);
      };
      next();
    },
    pending: () => [...entries.values()].filter((entry) => !entry.reported).length,
    watched: () => entries.size,
    async stop() {
      stopped = true;
      cancelProbe?.();
      cancelWake();
      for (const entry of entries.values()) end(entry);
      entries.clear();
      await Promise.all(ending);
    },
  };
}
