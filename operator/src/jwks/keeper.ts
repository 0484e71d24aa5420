/**
 * Keeps the key sets that the core asks for: each on a schedule of its own, so a bad address delays nobody else (rules R32, R33). The last
 * good set stays in use for a day while the newest attempt fails; without any set the core is told why there is none.
 */
import type { Change, JwksSource, JwksState, KubeObject } from "@gatewarden/core/world.ts";
import { sleep, type Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { Fetch, FetchRequest } from "./fetch.ts";
import { publicKeySet } from "./key-set.ts";

export interface StoredKeySet {
  readonly jwks: string;
  readonly fetchedAt: string;
}

/** Where last good sets outlive this process; reading is done once, at the start. */
export interface KeySetStore {
  get(id: string): StoredKeySet | undefined;
  put(id: string, stored: StoredKeySet): void;
  remove(id: string): void;
}

export interface JwksKeeperOptions {
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly log: Log;
  readonly store: KeySetStore;
  readonly onChange: (change: Change) => void;
  /** `ok`, `unchanged` or `failed` of each fetch, for metrics. */
  readonly onFetch?: (outcome: string) => void;
}

export interface JwksKeeper {
  update(add: readonly JwksSource[], remove: readonly string[]): void;
  /** How many sources have not been reported at all yet. */
  pending(): number;
  stop(): Promise<void>;
}

const REFRESH_MS = 300_000;
const RETRIES = 3;
const FIRST_RETRY_MS = 500;
/** After all retries failed: soon again while there is no key at all, calmer while an old set is in use. */
const AGAIN_WITHOUT_KEYS_MS = 10_000;
const AGAIN_WITH_KEYS_MS = 60_000;
export const MAX_STALE_MS = 24 * 3_600_000;

type Attempt =
  | { readonly type: "keys"; readonly text: string; readonly etag: string | undefined; readonly from: string }
  | { readonly type: "unchanged" }
  | { readonly type: "failed"; readonly message: string };

interface GoodSet {
  readonly text: string;
  readonly fetchedAtMs: number;
}

interface Entry {
  readonly source: JwksSource;
  readonly stopping: AbortController;
  good: GoodSet | undefined;
  /** Of the set's own URL: another URL from discovery makes it void. */
  etag: { readonly url: string; readonly value: string } | undefined;
  told: string | undefined;
  running: Promise<void>;
}

export function createJwksKeeper(options: JwksKeeperOptions): JwksKeeper {
  const { fetch, clock, log, store, onChange } = options;
  const entries = new Map<string, Entry>();
  const ending = new Set<Promise<void>>();
  let stopped = false;

  const isFresh = (good: GoodSet | undefined): good is GoodSet =>
    good !== undefined && clock.now() - good.fetchedAtMs <= MAX_STALE_MS;

  const tell = (entry: Entry, error: string | undefined): void => {
    if (entries.get(entry.source.id) !== entry) return; // removed meanwhile
    const { good } = entry;
    const usable = isFresh(good) ? good : undefined;
    // The time of a fetch that brought the same set is no news: it would make work for nothing.
    const news = JSON.stringify([usable?.text, error]);
    if (entry.told === news) return;
    entry.told = news;
    const state: JwksState = {
      ...(usable === undefined ? {} : { jwks: usable.text, fetchedAt: new Date(usable.fetchedAtMs).toISOString() }),
      ...(error === undefined ? {} : { error }),
    };
    const object: KubeObject = { kind: "Jwks", metadata: { name: entry.source.id }, spec: state };
    onChange({ key: { kind: "Jwks", namespace: "", name: entry.source.id }, object });
  };

  const attempt = async (entry: Entry): Promise<Attempt> => {
    const { source } = entry;
    const signal = entry.stopping.signal;
    const located = await locate(source, fetch, signal);
    if (!located.ok) return { type: "failed", message: located.message };
    const url = located.request.url.href;
    const etag = entry.good !== undefined && entry.etag?.url === url ? entry.etag.value : undefined;
    const result = await fetch({ ...located.request, ...(etag === undefined ? {} : { etag }) }, signal);
    if (result.type !== "body") return result;
    const set = publicKeySet(result.text);
    return set.ok
      ? { type: "keys", text: set.text, etag: result.etag, from: url }
      : { type: "failed", message: set.message };
  };

  const refresh = async (entry: Entry): Promise<boolean> => {
    let message = "";
    for (let retry = 0; retry <= RETRIES; retry += 1) {
      if (retry > 0)
        await sleep(clock, FIRST_RETRY_MS * 2 ** (retry - 1) * (0.5 + clock.random()), entry.stopping.signal);
      if (entry.stopping.signal.aborted) return false;
      const result = await attempt(entry);
      if (entry.stopping.signal.aborted) return false;
      options.onFetch?.(result.type);
      if (result.type === "failed") {
        message = result.message;
        continue;
      }
      if (result.type === "keys") {
        entry.good = { text: result.text, fetchedAtMs: clock.now() };
        entry.etag = result.etag === undefined ? undefined : { url: result.from, value: result.etag };
      } else if (entry.good !== undefined) entry.good = { ...entry.good, fetchedAtMs: clock.now() };
      if (entry.good !== undefined)
        store.put(entry.source.id, {
          jwks: entry.good.text,
          fetchedAt: new Date(entry.good.fetchedAtMs).toISOString(),
        });
      tell(entry, undefined);
      return true;
    }
    log.warn("a key set cannot be fetched", { uri: entry.source.uri, error: message });
    tell(entry, message);
    return false;
  };

  const run = async (entry: Entry): Promise<void> => {
    const { signal } = entry.stopping;
    while (!signal.aborted) {
      const good = await refresh(entry);
      const pauseMs = good ? REFRESH_MS : entry.good === undefined ? AGAIN_WITHOUT_KEYS_MS : AGAIN_WITH_KEYS_MS;
      await sleep(clock, pauseMs * (0.8 + clock.random() * 0.4), signal);
    }
  };

  const start = (source: JwksSource): void => {
    const stored = store.get(source.id);
    const entry: Entry = {
      source,
      stopping: new AbortController(),
      good: stored === undefined ? undefined : { text: stored.jwks, fetchedAtMs: Date.parse(stored.fetchedAt) },
      etag: undefined,
      told: undefined,
      running: Promise.resolve(),
    };
    entries.set(source.id, entry);
    // A restart uses what the process before it knew, at once; the fetch then confirms or replaces it.
    if (isFresh(entry.good)) tell(entry, undefined);
    entry.running = run(entry);
  };

  const end = (entry: Entry): void => {
    entry.stopping.abort(new Error("stopped"));
    ending.add(entry.running);
    void entry.running.finally(() => ending.delete(entry.running));
  };

  return {
    update(add, remove) {
      for (const id of remove) {
        const entry = entries.get(id);
        if (entry === undefined) continue;
        entries.delete(id);
        store.remove(id);
        end(entry);
      }
      for (const source of add) if (!entries.has(source.id) && !stopped) start(source);
    },
    pending: () => [...entries.values()].filter((entry) => entry.told === undefined).length,
    async stop() {
      stopped = true;
      for (const entry of entries.values()) end(entry);
      await Promise.all(ending);
    },
  };
}

/** Where the set itself lies: the source's URI, or what the issuer's discovery document says (OpenID Connect Discovery 1.0 §4). */
async function locate(
  source: JwksSource,
  fetch: Fetch,
  signal: AbortSignal,
): Promise<{ readonly ok: true; readonly request: FetchRequest } | { readonly ok: false; readonly message: string }> {
  const url = URL.parse(source.uri);
  if (url === null) return { ok: false, message: "not a URL" };
  const how = {
    ...(source.backend === undefined ? {} : { backend: source.backend }),
    ...(source.caPem === undefined ? {} : { caPem: source.caPem }),
  };
  if (source.type === "URI") return { ok: true, request: { url, ...how } };
  const discovery = new URL(url);
  discovery.pathname = `${url.pathname.replace(/\/+$/, "")}/.well-known/openid-configuration`;
  const answer = await fetch({ url: discovery, ...how }, signal);
  if (answer.type !== "body")
    return { ok: false, message: `discovery: ${answer.type === "failed" ? answer.message : "no answer"}` };
  const document = parseDiscovery(answer.text);
  if (document === undefined) return { ok: false, message: "discovery: the answer is not a JSON object" };
  if (document.issuer !== source.uri) return { ok: false, message: "discovery: the document is of another issuer" };
  const keys = typeof document.jwksUri === "string" ? URL.parse(document.jwksUri) : null;
  if (keys === null) return { ok: false, message: "discovery: no jwks_uri" };
  // The backend stands for the issuer's own host; a set elsewhere is fetched from there, under the same checks as any URI.
  const sameHost = keys.host === url.host;
  return {
    ok: true,
    request: {
      url: keys,
      ...(sameHost && source.backend !== undefined ? { backend: source.backend } : {}),
      ...(source.caPem === undefined ? {} : { caPem: source.caPem }),
    },
  };
}

function parseDiscovery(text: string): { readonly issuer: unknown; readonly jwksUri: unknown } | undefined {
  try {
    const parsed = JSON.parse(text) as { issuer?: unknown; jwks_uri?: unknown } | null;
    return parsed === null || typeof parsed !== "object"
      ? undefined
      : { issuer: parsed.issuer, jwksUri: parsed.jwks_uri };
  } catch {
    return undefined;
  }
}
