/** A collector for tests: OTLP logs over gRPC in clear (opentelemetry/proto/collector/logs/v1), with just enough Protobuf to read them. */
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";

export interface LogRecord {
  readonly body: string;
  /** Also those of the resource that sent it. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface OtlpReceiver {
  readonly address: string;
  readonly port: number;
  /** Everything that came, oldest first. */
  readonly records: () => readonly LogRecord[];
  readonly stop: () => Promise<void>;
}

const EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const EMPTY_ANSWER = Buffer.alloc(5); // not compressed, length 0

export async function startOtlpReceiver(address: string): Promise<OtlpReceiver> {
  const records: LogRecord[] = [];
  const server = createServer();
  server.on("stream", (stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on("error", () => undefined);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("end", () => {
      if (headers[":path"] === EXPORT) records.push(...recordsOf(Buffer.concat(chunks).subarray(5)));
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.once("wantTrailers", () =>
        stream.sendTrailers({ "grpc-status": headers[":path"] === EXPORT ? "0" : "12" }),
      );
      stream.end(EMPTY_ANSWER);
    });
  });
  const sessions = new Set<{ readonly destroy: () => void }>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, address, () => resolve());
  });
  return {
    address,
    port: (server.address() as AddressInfo).port,
    records: () => records,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const session of sessions) session.destroy();
      }),
  };
}

/** ExportLogsServiceRequest → ResourceLogs → ScopeLogs → LogRecord. */
function recordsOf(request: Buffer): readonly LogRecord[] {
  return messages(request, 1).flatMap((resourceLogs) => {
    const ofResource = messages(resourceLogs, 1).flatMap((resource) => messages(resource, 1).map(keyValue));
    return messages(resourceLogs, 2)
      .flatMap((scopeLogs) => messages(scopeLogs, 2))
      .map((record) => ({
        body: messages(record, 5).map(text).join(""),
        attributes: Object.fromEntries([...ofResource, ...messages(record, 6).map(keyValue)]),
      }));
  });
}

function keyValue(message: Buffer): readonly [string, string] {
  return [messages(message, 1).join(""), messages(message, 2).map(text).join("")];
}

/** AnyValue.string_value. */
function text(value: Buffer): string {
  return messages(value, 1).join("");
}

/** The length-delimited fields of this number. */
function messages(bytes: Buffer, wanted: number): readonly Buffer[] {
  const found: Buffer[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const [field, wire] = [tag >>> 3, tag & 7];
    if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else {
      const length = varint();
      if (field === wanted) found.push(bytes.subarray(at, at + length));
      at += length;
    }
  }
  return found;
}
