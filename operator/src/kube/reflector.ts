/**
 * Keeps a copy of one collection (or of one object, by field selector) and reports each difference. List, watch with bookmarks, resume; a
 * failure of any kind is waited out and tried again, so a reflector ends only when it is stopped (rules R50).
 */
import type { Change, KubeObject, ObjectKey } from "@gatewarden/core/world.ts";
import { sleep, type Clock } from "../clock.ts";
import { errorText, type Log } from "../log.ts";
import { createDenial } from "./access-review.ts";
import { createBackoff } from "./backoff.ts";
import type { ApiFailure, KubeClient, ListPage, WatchEvent } from "./client.ts";
import { apiVersion, collectionPath, markOf, strip, type KindInfo } from "./kinds.ts";

/** Where a reflector stands. `absent`: the API server does not know the kind (its CRD is not installed). `denied`: 403. */
export type ReflectorState = "starting" | "synced" | "absent" | "denied" | "stopped";

export interface ReflectorEvents {
  /** Something differs. Only marks work: an exception is logged and counted, never lost in a promise. */
  readonly onChange: (change: Change) => void;
  /** The raw object whenever the server sends one, also for a mere status update; before `onChange`. */
  readonly onRaw?: (key: ObjectKey, object: KubeObject | undefined) => void;
  readonly onState?: (state: ReflectorState) => void;
  /** Names of what happens, for metrics: list, watch, relist, missed, failure, handler_error. */
  readonly onEvent?: (event: string, amount: number) => void;
}

export interface ReflectorOptions {
  readonly kind: KindInfo;
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: ReflectorEvents;
  readonly namespace?: string;
  /** One object only. */
  readonly name?: string;
  /** The caller decides when a 403 is tried again ({@link Reflector.wake}); otherwise after {@link CALM_RETRY_MS}. */
  readonly waitWhenDenied?: boolean;
  readonly limits?: Partial<ReflectorLimits>;
}

export interface ReflectorLimits {
  readonly pageSize: number;
  readonly relistMs: number; // a full comparison against the server that often
  readonly inactivityMs: number; // bookmarks come about each minute; a watch silent for longer is half-open
  readonly watchSeconds: number; // the server ends a watch after that long, plus jitter
  readonly firstBackoffMs: number;
  readonly longestBackoffMs: number;
  readonly spacingMs: number; // the least time between two watches or lists that ended at once
  readonly settledMs: number; // a watch that lived that long ends a row of failures
  readonly deniedMs: number; // a 403 that nobody explains is believed after that long
}

const DEFAULT_LIMITS: ReflectorLimits = {
  pageSize: 500,
  relistMs: 600_000,
  inactivityMs: 90_000,
  watchSeconds: 290,
  firstBackoffMs: 500,
  longestBackoffMs: 30_000,
  spacingMs: 1_000,
  settledMs: 10_000,
  deniedMs: 10_000,
};

/** So many failed watches in a row mean that the version which they resume from is no good (an etcd restored from a backup). */
const FAILURES_BEFORE_LIST = 3;

/** A kind that is not there, or not allowed, is asked for again that often. */
export const CALM_RETRY_MS = 30_000;

/** An API server that answers again takes at most that long until it has every path. */
const RETURN_MS = 20_000;

export interface Reflector {
  readonly state: () => ReflectorState;
  /** Ends a wait (denied, absent, backoff) now. `returning`: the API server was away, so failures are tried again soon for a while. */
  wake(why?: "returning"): void;
  /** Ends a watch that runs and lists again: is what it tells still ours to read? */
  recheck(): void;
  /** Resolves when nothing more will be sent or reported. */
  stop(): Promise<void>;
}

type WatchEnd =
  | { readonly type: "closed" }
  | { readonly type: "gone" }
  | { readonly type: "recheck" }
  | { readonly type: "failed"; readonly failure: ApiFailure };

/** What is kept of an object: enough to tell what is news. The object itself is handed on. */
interface Known {
  readonly uid: string | undefined;
  /** The newest resourceVersion seen, also of updates that were no news. */
  readonly version: string;
  /** {@link markOf} what was reported last. */
  readonly mark: string | undefined;
}

/** Starts at once. */
export function startReflector(options: ReflectorOptions): Reflector {
  const { kind, client, clock, log, events } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const stopping = new AbortController();
  const known = new Map<string, Known>(); // by "namespace/name"
  const path = collectionPath(kind, options.namespace ?? "");
  const selector = options.name === undefined ? undefined : `metadata.name=${options.name}`;
  const backoff = createBackoff(clock, limits.firstBackoffMs, limits.longestBackoffMs);
  const { group, plural: resource } = kind;
  const access = { verb: "list", group, resource, namespace: options.namespace ?? "", name: options.name } as const;
  const denial = createDenial(client, clock, access, limits.deniedMs);
  let state: ReflectorState = "starting";
  let wakeUp = new AbortController();
  let absentLists = 0;
  let endWatch: (() => void) | undefined; // of the one that runs, for a new list
  let touched: Set<string> | undefined; // keys that the watch changed while a comparison is under way

  const note = (event: string, amount = 1): void => events.onEvent?.(event, amount);
  note("missed", 0); // an alert on any needs to see where it begins
  const enter = (next: ReflectorState): void => {
    if (state === next) return;
    state = next;
    events.onState?.(next);
  };
  const guarded = (task: () => void, id: string): void => {
    try {
      task();
    } catch (error) {
      note("handler_error");
      log.error("a change could not be taken in", { kind: kind.kind, object: id, error: errorText(error) });
    }
  };

  /** `fromList`: the answer of a list that runs alone is the truth, whatever versions say. */
  const put = (raw: KubeObject, fromList: boolean): boolean => {
    const namespace = raw.metadata.namespace ?? "";
    const id = `${namespace}/${raw.metadata.name}`;
    const version = raw.metadata.resourceVersion ?? "";
    const old = known.get(id);
    const same = old !== undefined && old.uid === raw.metadata.uid;
    if (same && (version === old.version || (!fromList && isOlder(version, old.version)))) return false;
    touched?.add(id);
    const mark = markOf(kind, raw);
    const key: ObjectKey = { kind: kind.kind, namespace, name: raw.metadata.name };
    known.set(id, { uid: raw.metadata.uid, version, mark });
    guarded(() => events.onRaw?.(key, raw), id);
    if (same && mark !== undefined && mark === old.mark) return false;
    const object = strip(kind, { ...raw, apiVersion: apiVersion(kind), kind: kind.kind });
    guarded(() => events.onChange({ key, object }), id);
    return true;
  };
  const remove = (id: string): boolean => {
    if (!known.delete(id)) return false;
    touched?.add(id);
    const [namespace = "", name = ""] = id.split("/");
    const key: ObjectKey = { kind: kind.kind, namespace, name };
    guarded(() => events.onRaw?.(key, undefined), id);
    guarded(() => events.onChange({ key, object: undefined }), id);
    return true;
  };
  const clear = (): void => {
    for (const id of [...known.keys()]) remove(id);
  };
  const pause = async (delayMs: number): Promise<void> => {
    if (stopping.signal.aborted) return;
    wakeUp = new AbortController();
    await sleep(clock, delayMs, wakeUp.signal);
  };

  const list = async (): Promise<
    | { readonly ok: true; readonly version: string; readonly seen: Set<string>; changed: number }
    | { readonly ok: false; readonly failure: ApiFailure }
  > => {
    const seen = new Set<string>();
    let changed = 0;
    let next: string | undefined;
    let paged = true;
    for (;;) {
      note("list");
      const query = { limit: paged ? String(limits.pageSize) : undefined, continue: next, fieldSelector: selector };
      const result: Awaited<ReturnType<typeof client.list>> = await client.list(path, {
        query,
        signal: stopping.signal,
      });
      if (!result.ok) {
        if (result.failure.status === 410 && next !== undefined) {
          // The continue token outlived the server's history: one request for everything, as client-go does.
          next = undefined;
          paged = false;
          continue;
        }
        return result;
      }
      const page: ListPage = result.value;
      for (const object of page.items) {
        const id = `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
        seen.add(id);
        if (touched?.has(id) !== true && put(object, touched === undefined)) changed += 1;
      }
      next = page.next;
      if (next === undefined) return { ok: true, version: page.resourceVersion, seen, changed };
    }
  };

  /** Drops what the server no longer has; answers how many there were. */
  const dropUnseen = (seen: ReadonlySet<string>): number => {
    let dropped = 0;
    for (const id of [...known.keys()]) if (!seen.has(id) && touched?.has(id) !== true && remove(id)) dropped += 1;
    return dropped;
  };

  /** Compares with the server while the watch goes on: what differs and was not touched meanwhile is an event that never came. */
  const compare = async (): Promise<void> => {
    touched = new Set();
    note("relist");
    const result = await list();
    if (result.ok) {
      const missed = result.changed + dropUnseen(result.seen);
      if (missed > 0) {
        note("missed", missed);
        log.warn("a comparison with the server found changes that no watch had told", { kind: kind.kind, missed });
      }
    }
    touched = undefined;
  };

  const watchOnce = async (from: { version: string }): Promise<WatchEnd> => {
    const controller = new AbortController();
    const abort = (): void => controller.abort(stopping.signal.reason);
    stopping.signal.addEventListener("abort", abort);
    let cancelWatchdog = (): void => undefined;
    const alive = (): void => {
      cancelWatchdog();
      cancelWatchdog = clock.after(limits.inactivityMs, () => controller.abort(new Error("the watch fell silent")));
    };
    let ended: WatchEnd | undefined;
    const onEvent = (event: WatchEvent): void => {
      if (ended !== undefined || stopping.signal.aborted) return;
      if (event.type === "ERROR") {
        const { code, reason, message } = event.object as unknown as {
          code?: number;
          reason?: string;
          message?: string;
        };
        const failure = {
          status: code ?? 0,
          reason: reason ?? "Unknown",
          message: message ?? "the watch ended with an error",
        };
        ended = code === 410 ? { type: "gone" } : { type: "failed", failure };
        controller.abort(new Error("the watch ended with an error"));
        return;
      }
      if (event.type === "DELETED") remove(`${event.object.metadata.namespace ?? ""}/${event.object.metadata.name}`);
      else if (event.type !== "BOOKMARK") put(event.object, false);
      from.version = event.object.metadata.resourceVersion ?? from.version;
    };
    endWatch = () => {
      ended ??= { type: "recheck" };
      controller.abort(new Error("listed again"));
    };
    alive();
    note("watch");
    const seconds = Math.round(limits.watchSeconds * (1 + clock.random() * 0.2));
    const query = {
      resourceVersion: from.version,
      allowWatchBookmarks: "true",
      timeoutSeconds: String(seconds),
      fieldSelector: selector,
    };
    const result = await client.watch(path, query, controller.signal, onEvent, alive);
    cancelWatchdog();
    endWatch = undefined;
    stopping.signal.removeEventListener("abort", abort);
    if (ended !== undefined) return ended;
    if (result.ok) return { type: "closed" };
    return result.failure.status === 410 ? { type: "gone" } : { type: "failed", failure: result.failure };
  };

  /** Watches from `version` until a new list is needed. */
  const follow = async (version: string): Promise<void> => {
    const from = { version };
    let comparing: Promise<void> = Promise.resolve();
    const scheduleCompare = (): (() => void) =>
      clock.after(limits.relistMs * (0.9 + clock.random() * 0.2), () => {
        comparing = compare().finally(() => {
          cancelCompare = scheduleCompare();
        });
      });
    let cancelCompare = scheduleCompare();
    let failures = 0;
    while (!stopping.signal.aborted) {
      const began = clock.now();
      const end = await watchOnce(from);
      if (stopping.signal.aborted) break;
      const lived = clock.now() - began;
      if (lived >= limits.settledMs) {
        backoff.reset();
        failures = 0;
      }
      if (end.type === "recheck") break;
      if (end.type === "gone") {
        if (lived < limits.settledMs) await pause(backoff.next());
        break;
      }
      if (end.type === "closed") {
        // A watch that lived is renewed at once; one that the server closes again and again is not asked for in a circle.
        if (lived < limits.spacingMs) await pause(Math.max(limits.spacingMs, backoff.next()));
        continue;
      }
      note("failure");
      log.info("a watch failed and is resumed", {
        kind: kind.kind,
        status: end.failure.status,
        reason: end.failure.reason,
        error: end.failure.message,
      });
      if (end.failure.status > 0 && end.failure.status !== 429) failures += 1;
      await pause(backoff.next(end.failure));
      if (end.failure.status === 403 || end.failure.status === 404 || failures >= FAILURES_BEFORE_LIST) break;
    }
    cancelCompare();
    await comparing;
    cancelCompare();
  };

  const run = async (): Promise<void> => {
    let listedAt = Number.NEGATIVE_INFINITY;
    while (!stopping.signal.aborted) {
      const tooSoon = listedAt + limits.spacingMs - clock.now();
      if (tooSoon > 0) await pause(tooSoon);
      if (stopping.signal.aborted) break;
      listedAt = clock.now();
      const result = await list();
      if (stopping.signal.aborted) break;
      if (result.ok) {
        dropUnseen(result.seen);
        absentLists = 0;
        denial.over();
        enter("synced");
        await follow(result.version);
        continue;
      }
      await afterFailedList(result.failure);
    }
    enter("stopped");
  };

  const afterFailedList = async (failure: ApiFailure): Promise<void> => {
    const { status, reason, message } = failure;
    if (status !== 403) denial.over();
    const denied = status === 403 && (state === "denied" || (await denial.believed(stopping.signal)));
    if (status === 404 || denied) {
      // A whole kind is forgotten only when the server says twice that it does not know it; lost rights alone take nothing out of service.
      absentLists = status === 404 ? absentLists + 1 : 0;
      if (options.name !== undefined || absentLists >= 2) clear();
      const next = status === 404 ? "absent" : "denied";
      if (state !== next && options.name === undefined)
        log.warn("a kind cannot be read and is off for now", { kind: kind.kind, status, reason, error: message });
      enter(next);
      await pause(
        next === "denied" && options.waitWhenDenied === true
          ? Number.MAX_SAFE_INTEGER
          : CALM_RETRY_MS * (0.8 + clock.random() * 0.4),
      );
      return;
    }
    note("failure");
    log.warn("a list failed and is tried again", { kind: kind.kind, status, reason, error: message });
    await pause(backoff.next(failure));
  };

  const running = run().catch((error: unknown) => {
    // A bug of ours: say so and stay visible as "starting", which keeps /readyz red.
    log.error("a reflector ended by a fault", { kind: kind.kind, error: errorText(error) });
  });
  return {
    state: () => state,
    wake(why) {
      backoff.reset(); // what comes next is the first failure of its row: a returning API server says 429 for a moment
      if (why === "returning") backoff.hurry(RETURN_MS);
      wakeUp.abort();
    },
    recheck: () => endWatch?.(),
    stop() {
      stopping.abort(new Error("stopped"));
      wakeUp.abort();
      return running;
    },
  };
}

/** etcd's versions are growing numbers; anything else cannot be ordered. */
function isOlder(version: string, known: string | undefined): boolean {
  if (known === undefined || !/^\d+$/.test(version) || !/^\d+$/.test(known)) return false;
  return version.length === known.length ? version < known : version.length < known.length;
}
