/**
 * A lean HTTP/1.1 client: one request at a time on a connection, no parsing beyond the status, one header and the end of
 * the body, because the client shares the processors with what it measures.
 */
import { connect, type Socket } from "node:net";

export interface Reply {
  /** 0: the connection broke before an answer. */
  readonly status: number;
  readonly head: string;
}

export interface Connection {
  readonly request: (bytes: string) => Promise<Reply>;
  readonly closed: () => boolean;
  readonly close: () => void;
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

const BROKEN: Reply = { status: 0, head: "" };

export function get(host: string, path: string, headers: Readonly<Record<string, string>> = {}): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n${lines.join("")}\r\n`;
}

export function open({ address, port }: Endpoint): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, noDelay: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(connectionOn(socket));
    });
  });
}

/** One request on a connection of its own. */
export async function once(endpoint: Endpoint, bytes: string): Promise<Reply> {
  let connection: Connection;
  try {
    connection = await open(endpoint);
  } catch {
    return BROKEN;
  }
  const reply = await connection.request(bytes);
  connection.close();
  return reply;
}

function connectionOn(socket: Socket): Connection {
  let received = "";
  let answer: ((reply: Reply) => void) | undefined;
  let over = false;
  const settle = (reply: Reply): void => {
    const waiting = answer;
    answer = undefined;
    waiting?.(reply);
  };
  const end = (): void => {
    over = true;
    settle(BROKEN);
  };
  socket.setEncoding("latin1");
  socket.on("error", end).on("close", end);
  socket.on("data", (chunk: string) => {
    received = received === "" ? chunk : received + chunk;
    const reply = complete(received);
    if (reply === undefined) return;
    received = "";
    settle(reply);
  });
  return {
    request: (bytes) =>
      new Promise((resolve) => {
        if (over) return resolve(BROKEN);
        answer = resolve;
        socket.write(bytes, "latin1");
      }),
    closed: () => over,
    close: () => void socket.destroy(),
  };
}

function complete(text: string): Reply | undefined {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd === -1) return undefined;
  const head = text.slice(0, headEnd);
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
  const chunked = /\r\ntransfer-encoding: chunked/i.test(head);
  const whole = chunked ? text.endsWith("0\r\n\r\n") : text.length >= headEnd + 4 + length;
  return whole ? { status: Number(head.slice(9, 12)), head } : undefined;
}
