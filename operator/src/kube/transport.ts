/**
 * HTTP to the API server: HTTP/2 where the server offers it, so that thousands of single-object watches share a few connections;
 * HTTP/1.1 otherwise. Node's own modules: the fetch libraries cost 30 MB of memory and hide the connections.
 */
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import tls from "node:tls";
import type { Readable } from "node:stream";
import type { Clock } from "../clock.ts";

export interface TransportRequest {
  readonly method: string;
  readonly path: string; // with query
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface TransportResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Readable;
}

/** Key material for new connections; read again for each, so that renewed client certificates are picked up. */
export interface TlsMaterial {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

export interface Transport {
  /** Resolves with the response's head; rejects on connection errors and with the signal's reason when aborted. */
  send(request: TransportRequest): Promise<TransportResponse>;
  /** Ends every connection. */
  close(): void;
}

/** The API server allows 250 streams or more a connection; fewer keep one slow connection from stalling everything. */
const STREAMS_PER_CONNECTION = 100;
/** A connection that answers no ping for that long is dead (half-open): all its watches are cut and begin again. */
const PING_EVERY_MS = 15_000;
const PING_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** Default windows of 64 KiB would make lists of large objects wait for round trips. */
const WINDOW_BYTES = 1024 * 1024;

/**
 * @param server base URL; a path prefix is kept
 * @param material key material for a new connection
 */
export function createTransport(server: URL, material: () => Promise<TlsMaterial>, clock: Clock): Transport {
  const prefix = server.pathname.replace(/\/+$/, "");
  const prefixed = (request: TransportRequest): TransportRequest => ({ ...request, path: `${prefix}${request.path}` });
  if (server.protocol === "http:") {
    const agent = new http.Agent({ keepAlive: true });
    return {
      send: (request) => sendHttp1(http.request, server, agent, {}, prefixed(request)),
      close: () => agent.destroy(),
    };
  }
  const pool = createPool(server, material, clock);
  const agent = new https.Agent({ keepAlive: true });
  return {
    async send(request) {
      const session = await pool.acquire(request.signal);
      if (session !== undefined) return sendHttp2(session, server, prefixed(request));
      return sendHttp1(https.request, server, agent, await material(), prefixed(request));
    },
    close() {
      pool.close();
      agent.destroy();
    },
  };
}

type Http1Request = (url: URL, options: https.RequestOptions) => http.ClientRequest;

function sendHttp1(
  start: Http1Request,
  server: URL,
  agent: http.Agent,
  material: TlsMaterial,
  request: TransportRequest,
): Promise<TransportResponse> {
  return new Promise((resolve, reject) => {
    const call = start(new URL(request.path, server), {
      method: request.method,
      headers: {
        ...request.headers,
        ...(request.body === undefined ? {} : { "content-length": Buffer.byteLength(request.body) }),
      },
      agent,
      ...material,
    });
    let answer: http.IncomingMessage | undefined;
    // Not Node's own `signal`: an abort between the last byte and the end would be an error of a socket that nobody listens to any more.
    const abort = (): void => {
      if (answer === undefined) call.destroy(asError(request.signal.reason));
      else answer.destroy();
    };
    request.signal.addEventListener("abort", abort);
    if (request.signal.aborted) abort();
    call.on("error", reject);
    call.on("close", () => request.signal.removeEventListener("abort", abort));
    call.on("response", (response) => {
      answer = response;
      const headers: Record<string, string | undefined> = {};
      for (const [name, value] of Object.entries(response.headers))
        headers[name] = Array.isArray(value) ? value[0] : value;
      resolve({ status: response.statusCode ?? 0, headers, body: response });
    });
    call.end(request.body);
  });
}

type Session = Pick<http2.ClientHttp2Session, "request">;

function sendHttp2(session: Session, server: URL, request: TransportRequest): Promise<TransportResponse> {
  return new Promise((resolve, reject) => {
    if (request.signal.aborted) {
      reject(asError(request.signal.reason));
      return;
    }
    const stream = session.request(
      {
        ":method": request.method,
        ":path": request.path,
        ":authority": server.host,
        ":scheme": "https",
        ...request.headers,
      },
      { endStream: request.body === undefined },
    );
    const abort = (): void => {
      stream.destroy(asError(request.signal.reason));
    };
    request.signal.addEventListener("abort", abort);
    stream.on("error", reject); // also keeps a late error from being unhandled
    stream.on("close", () => {
      request.signal.removeEventListener("abort", abort);
      reject(new Error("the connection ended before an answer")); // nothing after "response"
    });
    stream.on("response", (headers) => {
      const plain: Record<string, string | undefined> = {};
      for (const [name, value] of Object.entries(headers)) plain[name] = Array.isArray(value) ? value[0] : value;
      resolve({ status: headers[":status"] ?? 0, headers: plain, body: stream });
    });
    if (request.body !== undefined) stream.end(request.body);
  });
}

interface Pool {
  /** A session with room, or undefined where the server speaks HTTP/1.1 only. */
  acquire(signal: AbortSignal): Promise<Session | undefined>;
  close(): void;
}

interface Connection {
  readonly session: http2.ClientHttp2Session;
  streams: number;
}

function createPool(server: URL, material: () => Promise<TlsMaterial>, clock: Clock): Pool {
  const connections = new Set<Connection>();
  let connecting: Promise<"h2" | "h1"> | undefined;
  let http1Only = false;
  let closed = false;

  const connect = async (): Promise<"h2" | "h1"> => {
    const socket = await openSocket(server, await material());
    if (socket.alpnProtocol !== "h2") {
      socket.destroy();
      http1Only = true;
      return "h1";
    }
    const session = http2.connect(server, {
      createConnection: () => socket,
      settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
    });
    const connection: Connection = { session, streams: 0 };
    session.on("error", () => undefined); // each stream reports it
    session.once("connect", () => session.setLocalWindowSize(16 * WINDOW_BYTES));
    const cancelPing = keepAlive(session, clock);
    session.once("close", () => {
      cancelPing();
      connections.delete(connection);
    });
    if (closed) session.destroy();
    else connections.add(connection);
    return "h2";
  };

  return {
    async acquire(signal) {
      for (;;) {
        if (signal.aborted) throw asError(signal.reason);
        if (closed) throw new Error("the client is closed");
        if (http1Only) return undefined;
        for (const connection of connections) {
          const { session } = connection;
          const room = Math.min(
            STREAMS_PER_CONNECTION,
            session.remoteSettings.maxConcurrentStreams ?? STREAMS_PER_CONNECTION,
          );
          if (session.closed || session.destroyed || connection.streams >= room) continue;
          connection.streams += 1;
          return counted(connection);
        }
        connecting ??= connect().finally(() => {
          connecting = undefined;
        });
        await connecting;
      }
    },
    close() {
      closed = true;
      for (const { session } of connections) session.destroy();
    },
  };
}

/** The session, whose next request gives its place back when it closes. */
function counted(connection: Connection): Session {
  const { session } = connection;
  return {
    request(headers, options) {
      try {
        const stream = session.request(headers, options);
        stream.once("close", () => (connection.streams -= 1));
        return stream;
      } catch (error) {
        connection.streams -= 1;
        throw error;
      }
    },
  };
}

function openSocket(server: URL, material: TlsMaterial): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const host = server.hostname.replace(/^\[|\]$/g, "");
    const socket = tls.connect({
      host,
      port: server.port === "" ? 443 : Number(server.port),
      ALPNProtocols: ["h2", "http/1.1"],
      ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
      ...material,
    });
    socket.setKeepAlive(true, 30_000);
    socket.setNoDelay(true);
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error("no TLS connection within 10 s")));
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      socket.setTimeout(0);
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

function keepAlive(session: http2.ClientHttp2Session, clock: Clock): () => void {
  let cancel = (): void => undefined;
  const next = (): void => {
    cancel = clock.after(PING_EVERY_MS, () => {
      if (session.destroyed) return;
      const cancelTimeout = clock.after(PING_TIMEOUT_MS, () =>
        session.destroy(new Error("the API server answers no ping")),
      );
      cancel = cancelTimeout;
      const sent = session.ping((error) => {
        cancelTimeout();
        if (error === null) next();
      });
      if (!sent) cancelTimeout();
    });
  };
  next();
  return () => cancel();
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(typeof reason === "string" ? reason : "aborted");
}
