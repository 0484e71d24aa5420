/** HTTP/2 connections that a test holds open, with streams that it may hold open too. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from "node:http2";
import { type Answer, answerOf, type HeaderList } from "./answer.ts";
import { headerList, type RequestSpec } from "./http1.ts";
import { dial, type Target } from "./target.ts";

export interface Http2Connection {
  /** One request on a new stream of this connection. `host` becomes `:authority`. */
  readonly request: (spec: RequestSpec) => Promise<Answer>;
  /** The same, handed back as soon as the headers of the answer are here; the stream stays open. */
  readonly open: (spec: RequestSpec) => Promise<HeldStream>;
  /** Whether the connection is gone or the other side has announced its end (GOAWAY). */
  readonly closed: () => boolean;
  readonly close: () => void;
}

export interface HeldStream {
  readonly status: number;
  /** The body so far. */
  readonly body: () => string;
  /** Whether the other side has ended or reset the stream. */
  readonly ended: () => boolean;
  readonly close: () => void;
}

interface StartedStream {
  readonly stream: ClientHttp2Stream;
  readonly held: HeldStream;
  readonly headers: HeaderList;
}

const ANSWER_LIMIT_MS = 20_000;

/** Opens a connection that stays open until `close`. */
export async function connectHttp2(target: Target): Promise<Http2Connection> {
  const socket = await dial(target, "h2");
  const scheme = target.tls === undefined ? "http" : "https";
  const session = connect(`${scheme}://${target.address}:${String(target.port)}`, { createConnection: () => socket });
  let going = false;
  const gone = (): void => {
    going = true;
  };
  session.on("goaway", gone).on("close", gone).on("error", gone);
  return {
    request: async (spec) => {
      const { stream, held, headers } = await start(session, spec, scheme);
      if (!held.ended()) await new Promise((resolve) => stream.once("close", resolve));
      return answerOf(held.status, headers, held.body());
    },
    open: async (spec) => (await start(session, spec, scheme)).held,
    closed: () => going || session.closed || session.destroyed,
    close: () => session.destroy(),
  };
}

function start(session: ClientHttp2Session, spec: RequestSpec, scheme: string): Promise<StartedStream> {
  const stream = session.request(headersOf(spec, scheme), { endStream: spec.body === undefined });
  if (spec.body !== undefined) stream.end(spec.body);
  const chunks: Buffer[] = [];
  let ended = false;
  const end = (): void => {
    ended = true;
  };
  stream.on("data", (chunk: Buffer) => chunks.push(chunk)).on("close", end);
  return new Promise((resolve, reject) => {
    const late = (): void => void stream.destroy(new Error(`no answer within ${String(ANSWER_LIMIT_MS)} ms`));
    const timer = setTimeout(late, ANSWER_LIMIT_MS);
    stream.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    stream.once("close", () => {
      clearTimeout(timer);
      reject(new Error("the stream was closed before an answer"));
    });
    stream.once("response", (received, _flags, raw: readonly string[]) => {
      clearTimeout(timer);
      // From here on an error only ends the stream, which `ended` tells.
      stream.on("error", end);
      const headers: (readonly [string, string])[] = [];
      for (let index = 0; index + 1 < raw.length; index += 2) headers.push([raw[index] ?? "", raw[index + 1] ?? ""]);
      const held: HeldStream = {
        status: Number(received[":status"]),
        body: () => Buffer.concat(chunks).toString("utf8"),
        ended: () => ended,
        close: () => stream.close(),
      };
      resolve({ stream, held, headers });
    });
  });
}

function headersOf(spec: RequestSpec, scheme: string): OutgoingHttpHeaders {
  const given = headerList(spec.headers);
  const headers: Record<string, string | string[]> = {
    ":method": spec.method ?? "GET",
    ":path": spec.path ?? "/",
    ":scheme": scheme,
    ...(spec.host === undefined ? {} : { ":authority": spec.host }),
  };
  for (const [name, value] of given) {
    const before = headers[name];
    headers[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
  }
  return headers;
}
