/**
 * HTTP/1.1 by hand: the request goes out exactly as it is given (path, header case, duplicates), and the connection is in
 * the test's own hands. `send` for one request, `connectHttp1` for a connection that stays open.
 */
import type { Socket } from "node:net";
import { type Answer, answerOf, type HeaderList } from "./answer.ts";
import { dial, type Target } from "./target.ts";

export interface RequestSpec {
  /** Default GET. */
  readonly method?: string;
  /** As it is to be sent, query included. Default `/`. */
  readonly path?: string;
  /** The Host header; left out when undefined. */
  readonly host?: string;
  readonly headers?: HeaderList | Readonly<Record<string, string>>;
  readonly body?: string;
  /** Send the body in chunks of this size instead of with a Content-Length. */
  readonly chunkSize?: number;
}

export interface Http1Connection {
  /** Sends one request and reads its answer; requests take turns. */
  readonly request: (spec: RequestSpec) => Promise<Answer>;
  /** Writes bytes as they are and reads one answer. */
  readonly raw: (bytes: string) => Promise<Answer>;
  /** Whether the other side has closed the connection, or announced it (`connection: close`). */
  readonly closed: () => boolean;
  readonly socket: Socket;
  readonly close: () => void;
}

const ANSWER_LIMIT_MS = 20_000;

/** One request on a connection of its own. */
export async function send(target: Target, spec: RequestSpec = {}): Promise<Answer> {
  const connection = await connectHttp1(target);
  try {
    return await connection.request(spec);
  } finally {
    connection.close();
  }
}

/** Opens a connection that stays open until `close`. */
export async function connectHttp1(target: Target): Promise<Http1Connection> {
  const socket = await dial(target, "http/1.1");
  let received = Buffer.alloc(0);
  let over = false;
  let announced = false;
  let wake: () => void = () => undefined;
  const end = (): void => {
    over = true;
    wake();
  };
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    wake();
  });
  socket.on("error", end).on("end", end).on("close", end);

  const exchange = async (bytes: string, withoutBody: boolean): Promise<Answer> => {
    if (over) throw new Error("the connection was closed before the request");
    socket.write(bytes, "latin1");
    const limit = Date.now() + ANSWER_LIMIT_MS;
    for (;;) {
      const parsed = parseAnswer(received, over, withoutBody);
      if (parsed !== undefined) {
        received = received.subarray(parsed.length);
        if (parsed.answer.header("connection")?.toLowerCase() === "close") announced = true;
        return parsed.answer;
      }
      if (over)
        throw new Error(
          `the connection was closed before an answer; so far: ${JSON.stringify(received.toString("latin1"))}`,
        );
      if (Date.now() > limit) throw new Error(`no answer within ${String(ANSWER_LIMIT_MS)} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 250);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  };
  let turn: Promise<unknown> = Promise.resolve();
  const queued = (bytes: string, withoutBody: boolean): Promise<Answer> => {
    const mine = turn.then(() => exchange(bytes, withoutBody));
    turn = mine.catch(() => undefined);
    return mine;
  };
  return {
    request: (spec) => queued(requestBytes(spec), spec.method === "HEAD"),
    raw: (bytes) => queued(bytes, false),
    closed: () => over || announced,
    socket,
    close: () => socket.destroy(),
  };
}

/** The headers of a request as a list. */
export function headerList(headers: RequestSpec["headers"] = []): HeaderList {
  return Array.isArray(headers) ? (headers as HeaderList) : Object.entries(headers as Readonly<Record<string, string>>);
}

function requestBytes(spec: RequestSpec): string {
  const lines = [`${spec.method ?? "GET"} ${spec.path ?? "/"} HTTP/1.1`];
  if (spec.host !== undefined) lines.push(`host: ${spec.host}`);
  for (const [name, value] of headerList(spec.headers)) lines.push(`${name}: ${value}`);
  const body = Buffer.from(spec.body ?? "", "utf8").toString("latin1");
  if (spec.body !== undefined && spec.chunkSize !== undefined) {
    lines.push("transfer-encoding: chunked");
    return `${lines.join("\r\n")}\r\n\r\n${chunked(body, spec.chunkSize)}`;
  }
  if (spec.body !== undefined) lines.push(`content-length: ${String(body.length)}`);
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

function chunked(body: string, size: number): string {
  let text = "";
  for (let at = 0; at < body.length; at += size) {
    const part = body.slice(at, at + size);
    text += `${part.length.toString(16)}\r\n${part}\r\n`;
  }
  return `${text}0\r\n\r\n`;
}

/** The first complete answer in `bytes` and how long it is; undefined while more must come. */
function parseAnswer(
  bytes: Buffer,
  over: boolean,
  withoutBody: boolean,
): { readonly answer: Answer; readonly length: number } | undefined {
  const text = bytes.toString("latin1");
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd === -1) return undefined;
  const [statusLine = "", ...lines] = text.slice(0, headEnd).split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1]);
  if (Number.isNaN(status)) throw new Error(`not an HTTP/1 answer: ${statusLine.slice(0, 200)}`);
  const headers: HeaderList = lines.map((line) => {
    const [name = "", value = ""] = line.split(/: ?(.*)/s);
    return [name, value] as const;
  });
  const bodyStart = headEnd + 4;
  const done = (body: string, length: number) => ({
    answer: answerOf(status, headers, Buffer.from(body, "latin1").toString("utf8")),
    length,
  });
  const interim = status >= 100 && status < 200 && status !== 101;
  if (interim) {
    const next = parseAnswer(bytes.subarray(bodyStart), over, withoutBody);
    return next === undefined ? undefined : { answer: next.answer, length: bodyStart + next.length };
  }
  if (withoutBody || status === 101 || status === 204 || status === 304) return done("", bodyStart);
  const { header } = answerOf(status, headers, "");
  if (header("transfer-encoding")?.includes("chunked") === true) {
    const body = parseChunks(text, bodyStart);
    return body === undefined ? undefined : done(body.text, body.end);
  }
  const length = header("content-length");
  if (length === undefined) return over ? done(text.slice(bodyStart), bytes.length) : undefined;
  const end = bodyStart + Number(length);
  return bytes.length < end ? undefined : done(text.slice(bodyStart, end), end);
}

function parseChunks(text: string, start: number): { readonly text: string; readonly end: number } | undefined {
  let body = "";
  let at = start;
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd === -1) return undefined;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    const dataEnd = lineEnd + 2 + size;
    if (text.length < dataEnd + 2) return undefined;
    if (size === 0) return { text: body, end: dataEnd + 2 };
    body += text.slice(lineEnd + 2, dataEnd);
    at = dataEnd + 2;
  }
}
