/**
 * Writes statuses: by the leader only, only what differs, a few at a time and behind everything else (rules R16–R18). It owns what is wanted
 * and what was last seen of each object; objects are read again before each write,
 * but for those of which enough is known (item.ts).
 */
import { hash } from "node:crypto";
import { createShared } from "@gatewarden/core/kinds/shared.ts";
import type { KubeObject, ObjectKey, ObjectStatus, StatusChange } from "@gatewarden/core/world.ts";
import type { Clock } from "../clock.ts";
import type { ApiFailure, ApiResult, KubeClient } from "../kube/client.ts";
import { apiVersion, keyOf, keyText, kindInfo, objectPath } from "../kube/kinds.ts";
import type { Log } from "../log.ts";
import { composeStatus, STATUS_METHOD, type ComposeContext } from "./compose.ts";
import { isNeverForced, withoutNeverForced } from "./forced.ts";
import { createCounts } from "./counts.ts";
import { compact, fromTimes, type Item, keepsTimes, newItem, repeated, setSeen, timesOf } from "./item.ts";
import { canonicalJson, ownPart, type StatusJson } from "./own-part.ts";
import type { Owners, ResourceName } from "./owners.ts";
import { createPace } from "./pace.ts";
import { standingOf, type Book } from "./programmed.ts";

export interface StatusWriter {
  /** What the core wants from now on. */
  update(changes: readonly StatusChange[]): void;
  /** An object as the server has it, whenever it sends one. */
  seen(key: ObjectKey, object: KubeObject | undefined): void;
  /** The proxies of a gateway said something about these resources, or ("all") came or went. */
  acknowledged(gateway: string, resources: readonly ResourceName[] | "all"): void;
  /** Begins to write, or begins again after this process became the leader. */
  resume(): void;
  waiting(): number;
  stop(): Promise<void>;
}

export interface StatusWriterOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly controllerName: string;
  readonly leads: () => boolean;
  readonly owners: Owners;
  readonly book: Book;
  readonly redact: (text: string) => string;
  /** `written`, `conflict`, `failed`, for metrics. */
  readonly onWrite?: (outcome: string) => void;
}

/** Writes that run at the same time. */
const CONCURRENCY = 4;
/** An acknowledgement takes a few ms: a status that only waits for one is held back that long, so that it is written once. */
const HOLD_MS = 300;
/** After a start proxies need a moment to come back: before that a status that is already there is not turned into NoProxies. */
const RETURN_MS = 10_000;
/** One piece of judging before the event loop gets its turn. */
const PIECE_MS = 4;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 60_000;

type StatusKind = ObjectStatus["kind"];

export function isStatusKind(kind: string): kind is StatusKind {
  return Object.hasOwn(STATUS_METHOD, kind);
}

export function createStatusWriter(options: StatusWriterOptions): StatusWriter {
  const { client, clock, log, controllerName, owners, book } = options;
  const startedAt = clock.now();
  const items = new Map<string, Item>();
  const ready = new Set<string>(); // keyText, in order of arrival
  const later = new Map<string, number>(); // keyText → due at
  const busy = new Set<string>();
  const stopping = new AbortController();
  const pace = createPace(clock);
  const tasks = new Set<Promise<void>>();
  const shared = createShared();
  const counts = createCounts();
  const digests = repeated();
  const summaries = repeated();
  const timesTexts = repeated();
  let gatewayClass = "";
  let cancelRun = (): void => undefined;
  let runAt = Number.POSITIVE_INFINITY;
  let started = false;

  const itemOf = (text: string): Item => {
    let item = items.get(text);
    if (item === undefined) items.set(text, (item = newItem()));
    return item;
  };

  const enqueue = (text: string, delayMs: number): void => {
    if (ready.has(text)) return;
    const due = clock.now() + delayMs;
    if (delayMs <= 0) {
      later.delete(text);
      ready.add(text);
    } else later.set(text, Math.min(due, later.get(text) ?? due));
    schedule(due);
  };

  const schedule = (atMs: number): void => {
    if (!started || stopping.signal.aborted || atMs >= runAt) return;
    cancelRun();
    runAt = atMs;
    cancelRun = clock.after(Math.max(0, atMs - clock.now()), run);
  };

  const run = (): void => {
    runAt = Number.POSITIVE_INFINITY;
    const began = performance.now();
    const now = clock.now();
    let next = Number.POSITIVE_INFINITY;
    for (const [text, due] of later) {
      if (due > now) next = Math.min(next, due);
      else {
        later.delete(text);
        ready.add(text);
      }
    }
    for (const text of ready) {
      if (busy.size >= CONCURRENCY) break; // the end of one goes on
      if (performance.now() - began > PIECE_MS) {
        next = now;
        break;
      }
      if (busy.has(text)) continue; // likewise
      ready.delete(text);
      const item = items.get(text);
      if (item === undefined || !options.leads()) continue; // resume() brings everything again
      const verdict = judge(text, item);
      if (verdict === "write") begin(text, item);
      else if (verdict === "nothing") {
        item.since = 0;
        if (item.wanted === undefined) items.delete(text);
      } else {
        later.set(text, verdict);
        next = Math.min(next, verdict);
      }
    }
    schedule(next);
  };

  /** What is to be done without asking the server: `write`, `nothing`, or a look at it again at a time. */
  const judge = (text: string, item: Item): "write" | "nothing" | number => {
    const { wanted, settled } = item;
    if (wanted === undefined) return item.seen === undefined ? "nothing" : "write";
    const standings = gatewaysOf(text, wanted).map((gateway) => standingOf(text, gateway, owners, book));
    const summary = summaries(JSON.stringify(standings));
    if (settled === summary) return "nothing";
    const now = clock.now();
    const waitsForAck = standings.some(({ state }) => state === "reconciling");
    if (settled !== undefined && waitsForAck) {
      // One extension can be thousands of policies' part: mostly the acknowledgement comes, and then there is nothing to compare.
      if (item.since === 0) item.since = now;
      if (item.since + HOLD_MS > now) return item.since + HOLD_MS;
    }
    const composed = composeStatus(undefined, wanted, contextOf(text));
    const digest = digestOf(wanted.kind, composed);
    const same = item.seen === digest || (item.sent === digest && item.got === item.seen);
    if (same || (item.seen === undefined && isForeign(wanted))) {
      item.settled = summary;
      return "nothing";
    }
    if (item.since === 0) item.since = now;
    const waitsForProxies = item.seen !== undefined && standings.some(({ state }) => state === "noProxies");
    const until = waitsForProxies ? startedAt + RETURN_MS : waitsForAck ? item.since + HOLD_MS : 0;
    const restMs = wanted.kind === "Gateway" ? counts.restMs(text, composed, now) : 0;
    return Math.max(until, now + restMs) > now ? Math.max(until, now + restMs) : "write";
  };

  const begin = (text: string, item: Item): void => {
    busy.add(text);
    const task = (async (): Promise<void> => {
      await pace.take(stopping.signal);
      if (stopping.signal.aborted || !options.leads()) return;
      const failure = await write(text, item);
      if (failure === undefined) {
        item.failures = 0;
        item.since = 0;
        if (item.wanted === undefined) items.delete(text);
      } else retry(text, item, failure);
    })().finally(() => {
      busy.delete(text);
      tasks.delete(task);
      if (ready.size > 0) schedule(clock.now());
    });
    tasks.add(task);
  };

  const retry = (text: string, item: Item, failure: ApiFailure): void => {
    if (failure.status === 404) {
      // The core will say that it is gone, or that it came again.
      setSeen(item, undefined);
      return;
    }
    options.onWrite?.(failure.status === 409 ? "conflict" : "failed");
    item.failures += 1;
    // A conflict only says that somebody was faster: read again and go on.
    const quick = failure.status === 409 && item.failures <= 5;
    const backoffMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(item.failures, 10));
    const delayMs = quick ? 20 : Math.max(failure.retryAfterMs ?? 0, backoffMs * (0.5 + clock.random()));
    if (!quick)
      log.warn("a status could not be written", { object: text, status: failure.status, error: failure.message });
    enqueue(text, delayMs);
  };

  const write = async (text: string, item: Item): Promise<ApiFailure | undefined> => {
    const key = keyOf(text);
    const info = kindInfo(key.kind);
    const kind = key.kind as StatusKind;
    const path = objectPath(info, key.namespace, key.name);
    const signal = stopping.signal;
    const { times } = item;
    const enough = times !== undefined && item.wanted !== undefined && item.failures === 0;
    const known = enough ? fromTimes(times) : undefined;
    item.times = undefined; // whatever becomes of this: only what the server answers counts
    const got: ApiResult<KubeObject> =
      known === undefined
        ? await client.get(path, { signal })
        : { ok: true, value: { metadata: { name: key.name, namespace: key.namespace }, status: known } };
    if (!got.ok) return got.failure;
    const status = composeStatus(got.value.status, item.wanted, contextOf(text));
    const sent = digestOf(kind, composeStatus(undefined, item.wanted, contextOf(text)));
    const before = known === undefined ? digestOf(kind, got.value.status) : item.seen;
    if (digestOf(kind, status) === before) {
      noteTimes(kind, item, got.value.status);
      setSeen(item, before);
      return undefined;
    }
    if (!options.leads()) return undefined;
    const result =
      STATUS_METHOD[kind] === "apply"
        ? await applied(`${path}/status`, info, got.value, status, signal)
        : await client.replace(`${path}/status`, { ...got.value, status }, { signal });
    if (!result.ok) return result.failure;
    options.onWrite?.("written");
    if (kind === "Gateway") counts.written(text, status, clock.now());
    noteTimes(kind, item, result.value.status);
    item.sent = sent;
    item.got = digestOf(kind, result.value.status);
    if (item.got === sent) item.got = sent; // one text
    setSeen(item, item.got);
    return undefined;
  };

  const applied = async (
    path: string,
    info: ReturnType<typeof kindInfo>,
    { metadata }: KubeObject,
    status: StatusJson,
    signal: AbortSignal,
  ): Promise<ApiResult<KubeObject>> => {
    const { name, namespace, resourceVersion } = metadata;
    const named = { name, ...(namespace === undefined ? {} : { namespace }) };
    const body = { apiVersion: apiVersion(info), kind: info.kind, metadata: named, status };
    const result = await client.apply(path, body, false, { signal });
    const conflicts = result.ok ? [] : (result.failure.conflicts ?? []);
    // Nothing is forced upon what was not read: the next try reads.
    if (result.ok || result.failure.status !== 409 || conflicts.length === 0 || resourceVersion === undefined)
      return result;
    const neverForced = conflicts.some(isNeverForced);
    const forced = conflicts.some((field) => !isNeverForced(field));
    log.warn("entries of ours in a status belong to somebody else", {
      object: `${info.kind}/${namespace ?? ""}/${name}`,
      takenOver: forced,
      error: result.failure.message,
    });
    // The conflicts are all there are as long as the object is as it was read: force takes these over and nothing else.
    const rest = neverForced ? withoutNeverForced(status) : status;
    return client.apply(path, { ...body, metadata: { ...named, resourceVersion }, status: rest }, forced, { signal });
  };

  const contextOf = (text: string): ComposeContext => ({
    controllerName,
    gatewayClass,
    now: new Date(clock.now()).toISOString().replace(/\.\d+Z$/, "Z"),
    self: text.slice(text.indexOf("/") + 1),
    standing(gateway) {
      const standing = standingOf(text, gateway, owners, book);
      return standing.state === "rejected" ? { ...standing, message: options.redact(standing.message) } : standing;
    },
  });

  const noteTimes = (kind: string, item: Item, status: unknown): void => {
    if (keepsTimes(kind)) item.times = oneText(timesOf(status));
  };
  const oneText = (text: string | undefined): string | undefined => (text === undefined ? undefined : timesTexts(text));

  const digestOf = (kind: StatusKind, status: unknown): string =>
    digests(hash("sha1", canonicalJson(ownPart(kind, status, controllerName)), "base64"));

  return {
    update(changes) {
      for (const { key, status } of changes) {
        const text = keyText(key);
        if (status === undefined && !items.has(text)) continue;
        if (status?.kind === "GatewayClass") gatewayClass = key.name;
        const item = itemOf(text);
        item.wanted = status && compact(status, shared);
        item.settled = undefined;
        enqueue(text, 0);
      }
    },
    seen(key, object) {
      if (!isStatusKind(key.kind)) return;
      const text = keyText(key);
      if (object === undefined) {
        const gone = items.get(text);
        if (gone === undefined) return;
        setSeen(gone, undefined);
        gone.times = undefined;
        gone.sent = undefined;
        gone.got = undefined;
        return; // forgotten when the core says that nothing is wanted any more
      }
      const item = itemOf(text);
      noteTimes(key.kind, item, object.status);
      setSeen(item, hasOwn(object.status, controllerName) ? digestOf(key.kind, object.status) : undefined);
      const echo = item.seen !== undefined && item.got === item.seen;
      if (item.wanted !== undefined && !echo && !busy.has(text)) enqueue(text, 0);
    },
    acknowledged(gateway, resources) {
      if (resources === "all") {
        for (const text of items.keys()) enqueue(text, 0);
      } else {
        for (const resource of resources)
          for (const owner of owners.owners(gateway, resource)) if (items.has(owner)) enqueue(owner, 0);
      }
      for (const resource of resources === "all" ? owners.leaving(gateway) : resources) {
        const { state } = book.resource(gateway, resource);
        if (state === "acknowledged" || state === "absent") owners.gone(gateway, resource);
      }
    },
    resume() {
      started = true;
      for (const text of items.keys()) enqueue(text, 0);
      schedule(clock.now());
    },
    waiting: () => ready.size + later.size + busy.size,
    async stop() {
      stopping.abort(new Error("stopped"));
      cancelRun();
      await Promise.all(tasks);
    },
  };
}

/** The gateways whose proxies have a say in this status. */
function gatewaysOf(text: string, wanted: ObjectStatus): readonly string[] {
  switch (wanted.kind) {
    case "ApiPolicy":
      return [...new Set(wanted.ancestors.flatMap(({ gateway }) => gateway ?? []))];
    case "ApiGrant":
    case "ApiConsumer":
      return wanted.gateways;
    case "Gateway":
      return [text.slice(text.indexOf("/") + 1)];
    case "BackendTLSPolicy":
    case "HTTPRoute":
    case "GatewayClass":
      return [];
  }
}

/** Nothing of ours in somebody else's object, and nothing to say about it. */
function isForeign(wanted: ObjectStatus): boolean {
  if (wanted.kind === "HTTPRoute") return wanted.parents.length === 0;
  return wanted.kind === "BackendTLSPolicy" && wanted.ancestors.length === 0;
}

/** Whether anybody wrote this status in our name: an ancestor, a parent, or a condition. */
function hasOwn(status: unknown, controllerName: string): boolean {
  const { ancestors, parents, conditions } = (status ?? {}) as Readonly<
    Record<string, readonly { readonly controllerName?: string; readonly reason?: string }[] | undefined>
  >;
  const list = ancestors ?? parents;
  if (list !== undefined && list.some((entry) => entry.controllerName === controllerName)) return true;
  // Gateways are born with conditions of reason Pending.
  return conditions !== undefined && conditions.some((condition) => condition.reason !== "Pending");
}
