/**
 * A small API server for tests: collections with list (paged), watch (bookmarks, resume, 410) and writes, on HTTP/1.1 or on TLS with HTTP/2;
 * faults are switched on by the test. It keeps the contract of https://kubernetes.io/docs/reference/using-api/api-concepts/.
 */
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { KubeObject } from "@gatewarden/core/world.ts";

// HTTP/2 requests come through Node's compatibility layer, which has the same methods.
type Request = http.IncomingMessage;
type Response = http.ServerResponse;

/** A fault for the next requests that match; answers true when it has dealt with the request itself. */
export type Fault = (context: {
  readonly watch: boolean;
  readonly path: string;
  readonly request: Request;
  readonly response: Response;
  /** Resets every connection. */
  readonly cut: () => void;
}) => boolean;

interface Event {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: KubeObject;
}

interface Watcher {
  readonly path: string;
  readonly name: string | undefined;
  readonly response: Response;
  silent: boolean;
}

export interface FakeApiServer {
  readonly url: URL;
  readonly requests: {
    readonly watch: boolean;
    readonly path: string;
    readonly at: number;
    readonly authorization: string | undefined;
  }[];
  /** Puts an object into the collection of that path ("/api/v1/configmaps"); the namespace is read from the object. */
  put(collection: string, object: KubeObject): void;
  remove(collection: string, namespace: string, name: string): void;
  objects(collection: string): ReadonlyMap<string, KubeObject>;
  setFault(fault: Fault | undefined): void;
  /** Tokens that are accepted; undefined = anything. */
  setTokens(tokens: readonly string[] | undefined): void;
  watchers(): number;
  /** Ends all watches: `close` cleanly, `reset` with RST, `silent` keeps the connection and sends nothing any more. */
  endWatches(how: "close" | "reset" | "silent"): void;
  /** Writes raw bytes to every watch. */
  writeRaw(text: string): void;
  bookmark(): void;
  /** Forgets history: resuming from before now is answered 410. */
  compact(): void;
  /** Sends every event that is kept of that collection again to its watches. */
  replay(collection: string): void;
  close(): Promise<void>;
}

/** @param tls key pair for HTTP/2 (and HTTP/1.1 by ALPN); without it plain HTTP/1.1 */
export async function startFakeApiServer(tls?: {
  readonly key: string;
  readonly cert: string;
}): Promise<FakeApiServer> {
  const collections = new Map<string, Map<string, KubeObject>>();
  const history: (Event & { readonly collection: string })[] = [];
  const watchers = new Set<Watcher>();
  const requests: FakeApiServer["requests"] = [];
  let version = 100;
  let oldest = 0;
  let fault: Fault | undefined;
  let tokens: readonly string[] | undefined;
  const sockets = new Set<Socket>();

  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const collection = (path: string): Map<string, KubeObject> => {
    const found = collections.get(path) ?? new Map<string, KubeObject>();
    collections.set(path, found);
    return found;
  };
  const write = (response: Response, text: string): void => {
    response.write(text);
  };
  const tell = (watcher: Watcher, event: Event, path: string): void => {
    if (watcher.silent || !matches(watcher, event.object, path)) return;
    write(watcher.response, `${JSON.stringify({ type: event.type, object: event.object })}\n`);
  };
  const publish = (path: string, type: Event["type"], object: KubeObject): void => {
    const event = { version, type, object, collection: path };
    history.push(event);
    for (const watcher of watchers) tell(watcher, event, path);
  };
  const fail = (response: Response, code: number, reason: string): void => {
    response.writeHead(code, { "content-type": "application/json" });
    response.end(JSON.stringify({ kind: "Status", code, reason, message: reason }));
  };

  const handle = (request: Request, response: Response): void => {
    const url = new URL(request.url ?? "/", "http://fake");
    const watch = url.searchParams.get("watch") === "true";
    const authorization = request.headers.authorization;
    requests.push({ watch, path: url.pathname, at: performance.now(), authorization });
    response.on("error", () => undefined);
    if (tokens !== undefined && !tokens.includes((authorization ?? "").replace("Bearer ", "")))
      return fail(response, 401, "Unauthorized");
    if (fault?.({ watch, path: url.pathname, request, response, cut }) === true) return;
    const name = url.searchParams.get("fieldSelector")?.replace("metadata.name=", "");
    if (watch) return startWatch(url, name, response);
    const all = [...collectionOf(url.pathname, collections)]
      .filter((object) => name === undefined || object.metadata.name === name)
      .sort((a, b) => (id(a) < id(b) ? -1 : 1));
    const start = Number(url.searchParams.get("continue") ?? 0);
    const limit = Number(url.searchParams.get("limit") ?? all.length + 1);
    const metadata = {
      resourceVersion: String(version),
      ...(start + limit < all.length ? { continue: String(start + limit) } : {}),
    };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ kind: "List", metadata, items: all.slice(start, start + limit) }));
  };

  const startWatch = (url: URL, name: string | undefined, response: Response): void => {
    const from = Number(url.searchParams.get("resourceVersion"));
    response.writeHead(200, { "content-type": "application/json" });
    if (from < oldest) {
      write(
        response,
        `${JSON.stringify({ type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired", message: "too old" } })}\n`,
      );
      response.end();
      return;
    }
    const watcher: Watcher = { path: url.pathname, name, response, silent: false };
    response.flushHeaders();
    for (const event of history) if (event.version > from) tell(watcher, event, event.collection);
    watchers.add(watcher);
    response.on("close", () => watchers.delete(watcher));
  };

  const server =
    tls === undefined
      ? http.createServer(handle)
      : http2.createSecureServer(
          { ...tls, allowHTTP1: true },
          handle as unknown as (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void,
        );
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  });
  if (tls !== undefined) server.on("sessionError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;

  return {
    url: new URL(`${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`),
    requests,
    put(path, object) {
      version += 1;
      const known = collection(path).has(id(object));
      const stored = {
        ...object,
        metadata: { ...object.metadata, resourceVersion: String(version), uid: `uid-${id(object)}` },
      };
      collection(path).set(id(object), stored);
      publish(path, known ? "MODIFIED" : "ADDED", stored);
    },
    remove(path, namespace, name) {
      const old = collection(path).get(`${namespace}/${name}`);
      if (old === undefined) return;
      version += 1;
      collection(path).delete(`${namespace}/${name}`);
      publish(path, "DELETED", { ...old, metadata: { ...old.metadata, resourceVersion: String(version) } });
    },
    objects: collection,
    setFault: (next) => (fault = next),
    setTokens: (next) => (tokens = next),
    watchers: () => watchers.size,
    endWatches(how) {
      for (const watcher of [...watchers]) {
        if (how === "close") watcher.response.end();
        else if (how === "silent") watcher.silent = true;
        if (how !== "silent") watchers.delete(watcher);
      }
      if (how === "reset") cut();
    },
    writeRaw(text) {
      for (const watcher of watchers) write(watcher.response, text);
    },
    bookmark() {
      for (const watcher of watchers) {
        if (!watcher.silent)
          write(
            watcher.response,
            `${JSON.stringify({ type: "BOOKMARK", object: { metadata: { resourceVersion: String(version) } } })}\n`,
          );
      }
    },
    compact() {
      oldest = version + 1;
      version += 1;
      history.length = 0;
    },
    replay(path) {
      for (const event of history)
        if (event.collection === path) for (const watcher of watchers) tell(watcher, event, path);
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function id(object: KubeObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

/** "/api/v1/namespaces/shop/secrets" is the part of "/api/v1/secrets" in that namespace. */
function split(path: string): { readonly collection: string; readonly namespace: string | undefined } {
  const match = /^(.*)\/namespaces\/([^/]+)(\/[^/]+)$/.exec(path);
  return match === null
    ? { collection: path, namespace: undefined }
    : { collection: `${match[1]}${match[3]}`, namespace: match[2] };
}

function collectionOf(path: string, collections: ReadonlyMap<string, Map<string, KubeObject>>): KubeObject[] {
  const { collection, namespace } = split(path);
  return [...(collections.get(collection)?.values() ?? [])].filter(
    (object) => namespace === undefined || object.metadata.namespace === namespace,
  );
}

function matches(watcher: Watcher, object: KubeObject, path: string): boolean {
  const { collection, namespace } = split(watcher.path);
  return (
    collection === path &&
    (namespace === undefined || object.metadata.namespace === namespace) &&
    (watcher.name === undefined || object.metadata.name === watcher.name)
  );
}
