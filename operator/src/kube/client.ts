/** The few verbs of the Kubernetes API that the operator uses, on raw JSON. Bodies are never logged: they may hold Secrets. */
import type { KubeObject } from "@gatewarden/core/world.ts";
import type { Clock } from "../clock.ts";
import { errorText } from "../log.ts";
import { readAll, readLines } from "./body.ts";
import type { Credentials } from "./credentials.ts";
import { createTransport, type Transport, type TransportResponse } from "./transport.ts";

/** Why a call did not succeed. `status` 0: no answer at all (connection, deadline, abort). */
export interface ApiFailure {
  readonly status: number;
  readonly reason: string; // Kubernetes' reason (NotFound, Conflict, Expired…) or "NoAnswer"
  readonly message: string;
  readonly retryAfterMs?: number;
  /** Of a server-side apply: the fields that other managers own. */
  readonly conflicts?: readonly string[];
}

export type ApiResult<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: ApiFailure };

export interface ListPage {
  readonly items: readonly KubeObject[];
  readonly resourceVersion: string;
  readonly next: string | undefined; // continue token
}

export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: KubeObject;
}

export type Query = Readonly<Record<string, string | undefined>>;

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly query?: Query;
}

export interface KubeClient {
  get(path: string, options?: CallOptions): Promise<ApiResult<KubeObject>>;
  /** One page of a collection. */
  list(path: string, options?: CallOptions): Promise<ApiResult<ListPage>>;
  /**
   * Reads a watch until it ends. `onEvent` is called for each event, `onBytes` for each piece that arrives. Ends ok when the server closed it
   * cleanly; a line that is no JSON is a failure, never skipped.
   */
  watch(
    path: string,
    query: Query,
    signal: AbortSignal,
    onEvent: (event: WatchEvent) => void,
    onBytes: () => void,
  ): Promise<ApiResult<undefined>>;
  create(path: string, body: object, options?: CallOptions): Promise<ApiResult<KubeObject>>;
  replace(path: string, body: object, options?: CallOptions): Promise<ApiResult<KubeObject>>;
  /** Server-side apply; a field that another manager owns is a 409, except with `force` (for objects that are ours alone). */
  apply(path: string, body: object, force: boolean, options?: CallOptions): Promise<ApiResult<KubeObject>>;
  /** JSON merge patch (RFC 7386). */
  merge(path: string, body: object, options?: CallOptions): Promise<ApiResult<KubeObject>>;
  remove(path: string, options?: CallOptions): Promise<ApiResult<KubeObject>>;
  close(): void;
}

export const FIELD_MANAGER = "gatewarden";

/** A call that is not a watch is given up after that long. */
const DEADLINE_MS = 30_000;
const LONGEST_RETRY_AFTER_MS = 120_000;

/** @param onRequest called with verb and status of each finished request, for metrics */
export function createKubeClient(
  credentials: Credentials,
  clock: Clock,
  onRequest: (verb: string, status: number) => void = () => undefined,
): KubeClient {
  const transport = createTransport(credentials.server, credentials.material, clock);
  const call = async <T>(
    method: string,
    path: string,
    body: object | undefined,
    contentType: string,
    options: CallOptions,
    read: (text: string) => T,
  ): Promise<ApiResult<T>> => {
    const deadline = new AbortController();
    const cancelDeadline = clock.after(DEADLINE_MS, () => deadline.abort(new Error("no answer within 30 s")));
    const abort = (): void => deadline.abort(options.signal?.reason);
    options.signal?.addEventListener("abort", abort);
    if (options.signal?.aborted === true) abort();
    try {
      const target = withQuery(path, options.query);
      const text = body === undefined ? undefined : JSON.stringify(body);
      const response = await authorized(credentials, transport, method, target, text, contentType, deadline.signal);
      const answer = await readAll(response.body);
      onRequest(method, response.status);
      if (response.status >= 400) return { ok: false, failure: failureOf(response, answer) };
      return { ok: true, value: read(answer) };
    } catch (error) {
      onRequest(method, 0);
      return { ok: false, failure: { status: 0, reason: "NoAnswer", message: errorText(error) } };
    } finally {
      cancelDeadline();
      options.signal?.removeEventListener("abort", abort);
    }
  };
  const asObject = (text: string): KubeObject => JSON.parse(text) as KubeObject;
  return {
    get: (path, options = {}) => call("GET", path, undefined, JSON_TYPE, options, asObject),
    list: (path, options = {}) => call("GET", path, undefined, JSON_TYPE, options, asPage),
    create: (path, body, options = {}) => call("POST", path, body, JSON_TYPE, withManager(options), asObject),
    replace: (path, body, options = {}) => call("PUT", path, body, JSON_TYPE, withManager(options), asObject),
    merge: (path, body, options = {}) =>
      call("PATCH", path, body, "application/merge-patch+json", withManager(options), asObject),
    // JSON is YAML, so the apply type takes it on every server version.
    apply: (path, body, force, options = {}) =>
      call(
        "PATCH",
        path,
        body,
        "application/apply-patch+yaml",
        withManager({ ...options, query: { ...options.query, force: String(force) } }),
        asObject,
      ),
    remove: (path, options = {}) => call("DELETE", path, undefined, JSON_TYPE, options, asObject),
    async watch(path, query, signal, onEvent, onBytes) {
      try {
        const target = withQuery(path, { ...query, watch: "true" });
        const response = await authorized(credentials, transport, "GET", target, undefined, JSON_TYPE, signal);
        onRequest("WATCH", response.status);
        if (response.status >= 400) return { ok: false, failure: failureOf(response, await readAll(response.body)) };
        await readLines(response.body, onBytes, (line) => onEvent(JSON.parse(line) as WatchEvent));
        return { ok: true, value: undefined };
      } catch (error) {
        return { ok: false, failure: { status: 0, reason: "NoAnswer", message: errorText(error) } };
      }
    },
    close: () => transport.close(),
  };
}

const JSON_TYPE = "application/json";

function withManager(options: CallOptions): CallOptions {
  return { ...options, query: { fieldManager: FIELD_MANAGER, ...options.query } };
}

function withQuery(path: string, query: Query = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as [string, string]],
  );
  return pairs.length === 0 ? path : `${path}?${new URLSearchParams(pairs).toString()}`;
}

/** Sends with credentials; after a 401 once more with a token that is read again (tokens rotate). */
async function authorized(
  credentials: Credentials,
  transport: Transport,
  method: string,
  path: string,
  body: string | undefined,
  contentType: string,
  signal: AbortSignal,
): Promise<TransportResponse> {
  const send = async (fresh: boolean): Promise<TransportResponse> =>
    transport.send({
      method,
      path,
      headers: {
        accept: JSON_TYPE,
        "user-agent": "gatewarden",
        ...(body === undefined ? {} : { "content-type": contentType }),
        ...(await credentials.headers(fresh)),
      },
      ...(body === undefined ? {} : { body }),
      signal,
    });
  const first = await send(false);
  if (first.status !== 401) return first;
  first.body.resume();
  return send(true);
}

function asPage(text: string): ListPage {
  const list = JSON.parse(text) as {
    kind?: string;
    apiVersion?: string;
    items?: KubeObject[];
    metadata?: { resourceVersion?: string; continue?: string };
  };
  const next = list.metadata?.continue;
  return {
    items: list.items ?? [],
    resourceVersion: list.metadata?.resourceVersion ?? "",
    next: next === undefined || next === "" ? undefined : next,
  };
}

function failureOf(response: TransportResponse, text: string): ApiFailure {
  let status: { reason?: unknown; message?: unknown; details?: { retryAfterSeconds?: unknown; causes?: unknown } } = {};
  try {
    status = JSON.parse(text) as typeof status;
  } catch {
    // Proxies in front of the API server answer in HTML; the status code says enough.
  }
  const header = Number(response.headers["retry-after"]);
  const conflicts = conflictsOf(status.details?.causes);
  const seconds = Number.isFinite(header) && header > 0 ? header : Number(status.details?.retryAfterSeconds ?? NaN);
  return {
    status: response.status,
    reason: typeof status.reason === "string" ? status.reason : `HTTP ${response.status}`,
    message: typeof status.message === "string" ? status.message : `HTTP ${response.status}`,
    ...(conflicts.length === 0 ? {} : { conflicts }),
    ...(Number.isFinite(seconds) && seconds > 0
      ? { retryAfterMs: Math.min(seconds * 1000, LONGEST_RETRY_AFTER_MS) }
      : {}),
  };
}

function conflictsOf(causes: unknown): readonly string[] {
  if (!Array.isArray(causes)) return [];
  return (causes as readonly { readonly reason?: unknown; readonly field?: unknown }[]).flatMap(({ reason, field }) =>
    reason === "FieldManagerConflict" && typeof field === "string" ? [field] : [],
  );
}
