/**
 * An upstream that says what reached it: HTTP/1.1 and HTTP/2 on one port, in clear or with TLS, one JSON object per answer.
 * Query parameters choose the answer: `echo-status=503`, `echo-delay-ms=200`, `echo-header=name:value` (may repeat),
 * `echo-bytes=1000` (a body of that many bytes), `echo-stream-ms=100` (a body without end, one line each 100 ms). An
 * Upgrade is accepted, and every byte that follows comes back.
 */
import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from "node:http";
import {
  createSecureServer,
  createServer as createHttp2,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import { type AddressInfo, createServer as createTcp, type Server, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

export interface EchoOptions {
  /** Told in every answer. */
  readonly name: string;
  readonly address: string;
  /** Default: a free one. */
  readonly port?: number;
  readonly tls?: EchoTls;
}

export interface EchoTls {
  readonly certificate: string;
  readonly privateKey: string;
  /** Ask for a client certificate of this authority and refuse the handshake without one. */
  readonly clientAuthority?: string;
  /** Default: TLS 1.2 and 1.3. */
  readonly minVersion?: "TLSv1.3";
}

/** The body of an answer. */
export interface Echo {
  readonly upstream: string;
  readonly method: string;
  /** As it was sent, query included. */
  readonly path: string;
  readonly httpVersion: string;
  /** Names and values in order, duplicates kept; HTTP/2 pseudo headers included. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  readonly tls?: { readonly serverName: string; readonly clientSubject?: string; readonly clientNames?: string };
  /** Counts the connections of this upstream from 1. */
  readonly connection: number;
}

export interface EchoUpstream {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Everything that arrived, oldest first; the last 10,000. */
  readonly received: () => readonly Echo[];
  /** Closes every connection and stops listening. */
  readonly stop: () => Promise<void>;
}

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

const KEPT = 10_000;
const HTTP2_PREFACE = "PRI";

/** Starts the upstream; resolves when it listens. */
export async function startEcho(options: EchoOptions): Promise<EchoUpstream> {
  const received: Echo[] = [];
  const sockets = new Set<Socket>();
  /** By the client's end, because HTTP/2 and TLS hand out other objects than the socket that was accepted. */
  const numbers = new Map<string, number>();
  const answer = (request: Request, response: Response): void => {
    void respond(request, response).catch(() => request.socket.destroy());
  };
  const respond = async (request: Request, response: Response): Promise<void> => {
    const echo = await read(request, options.name, numbers.get(clientEnd(request.socket)) ?? 0);
    received.push(echo);
    if (received.length > KEPT) received.shift();
    await write(response, echo);
  };
  const server = listener(options.tls, answer);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    numbers.set(clientEnd(socket), numbers.size + 1);
    socket.on("error", () => socket.destroy()).once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(options.port ?? 0, options.address, () => resolve());
  });
  return {
    name: options.name,
    address: options.address,
    port: (server.address() as AddressInfo).port,
    received: () => received,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function listener(tls: EchoTls | undefined, answer: (request: Request, response: Response) => void): Server {
  if (tls !== undefined) {
    const mutual = tls.clientAuthority === undefined ? {} : { ca: tls.clientAuthority, requestCert: true };
    const versions = tls.minVersion === undefined ? {} : { minVersion: tls.minVersion };
    const options = { cert: tls.certificate, key: tls.privateKey, allowHTTP1: true, ...mutual, ...versions };
    return createSecureServer(options, answer)
      .on("upgrade", upgrade)
      .on("secureConnection", (socket: TLSSocket) => socket.on("error", () => socket.destroy()));
  }
  const http1 = createHttp1(answer).on("upgrade", upgrade);
  // Node closes idle connections after 5 s, sometimes just when a proxy sends the next request on one: an upstream's fault, not the tests' subject.
  http1.keepAliveTimeout = 0;
  const http2 = createHttp2(answer);
  return createTcp((socket) => {
    socket.once("data", (first: Buffer) => {
      socket.pause();
      socket.unshift(first);
      // HTTP/2 takes what is in the buffer of a paused socket and reads on by itself; HTTP/1 wants it flowing.
      if (first.toString("latin1").startsWith(HTTP2_PREFACE)) http2.emit("connection", socket);
      else http1.emit("connection", socket.resume());
    });
  });
}

async function read(request: Request, upstream: string, connection: number): Promise<Echo> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const headers: (readonly [string, string])[] = [];
  const raw = request.rawHeaders;
  for (let index = 0; index + 1 < raw.length; index += 2) headers.push([raw[index] ?? "", raw[index + 1] ?? ""]);
  const { method = "", url: path = "", httpVersion } = request;
  const body = Buffer.concat(chunks).toString("utf8");
  const tls = tlsOf(rawTls(request));
  return { upstream, method, path, httpVersion, headers, body, ...(tls === undefined ? {} : { tls }), connection };
}

async function write(response: Response, echo: Echo): Promise<void> {
  const query = new URLSearchParams(echo.path.split("?")[1] ?? "");
  const delayMs = Number(query.get("echo-delay-ms") ?? 0);
  if (delayMs > 0) await wait(delayMs);
  response.statusCode = Number(query.get("echo-status") ?? 200);
  response.setHeader("content-type", "application/json");
  response.setHeader("x-echo-upstream", echo.upstream);
  for (const header of query.getAll("echo-header")) {
    const [name = "", value = ""] = header.split(/:(.*)/s);
    response.setHeader(name, value);
  }
  const everyMs = Number(query.get("echo-stream-ms") ?? 0);
  if (everyMs > 0) return stream(response, everyMs);
  const size = query.get("echo-bytes");
  (response as ServerResponse).end(size === null ? `${JSON.stringify(echo)}\n` : "x".repeat(Number(size)));
}

function stream(response: Response, everyMs: number): void {
  const send = (): unknown => (response as ServerResponse).write("tick\n");
  send();
  const timer = setInterval(send, everyMs);
  response.once("close", () => clearInterval(timer));
}

function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
  socket.on("error", () => socket.destroy());
  const protocol = request.headers.upgrade ?? "";
  const accept = `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${protocol}\r\n\r\n`;
  socket.write(accept);
  socket.write(head);
  socket.pipe(socket);
}

function clientEnd({ remoteAddress, remotePort }: Pick<Socket, "remoteAddress" | "remotePort">): string {
  return `${String(remoteAddress)} ${String(remotePort)}`;
}

function rawTls(request: Request): TLSSocket | undefined {
  const socket = request.socket;
  return "getPeerCertificate" in socket ? socket : undefined;
}

function tlsOf(socket: TLSSocket | undefined): Echo["tls"] {
  if (socket === undefined) return undefined;
  const serverName = typeof socket.servername === "string" ? socket.servername : "";
  const peer = socket.getPeerX509Certificate();
  if (peer === undefined) return { serverName };
  return { serverName, clientSubject: peer.subject, clientNames: peer.subjectAltName ?? "" };
}
