/** Answers over a real HTTP/2 connection, read as late as a busy event loop reads them. */
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { readAll, readLines } from "../src/kube/body.ts";

const LINES = '{"a":1}\n{"b":2}\n{"c":';
let server: http2.Http2Server;
let client: http2.ClientHttp2Session;

beforeAll(async () => {
  server = http2.createServer((request, response) => {
    if (request.url === "/cut") {
      response.write("a part");
      setImmediate(() => response.stream.close(http2.constants.NGHTTP2_CANCEL));
    } else response.end(LINES);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
afterAll(() => {
  client.destroy();
  server.close();
});

async function answer(path: string): Promise<http2.ClientHttp2Stream> {
  const stream = client.request({ ":path": path }, { endStream: true });
  await once(stream, "response");
  return stream;
}

/** The last frame is there, and nobody has read anything. */
async function complete(): Promise<http2.ClientHttp2Stream> {
  const stream = await answer("/");
  while (!stream.closed) await turn();
  return stream;
}

test("an answer that is complete before it is read is read", async () => {
  expect(await readAll(await complete())).toBe(LINES);
  const lines: string[] = [];
  await readLines(
    await complete(),
    () => undefined,
    (line) => void lines.push(line),
  );
  expect(lines).toEqual(['{"a":1}', '{"b":2}']);
});

test("an answer that is cut off is a failure, also when that was before it is read", async () => {
  const early = await answer("/cut");
  await expect(readAll(early)).rejects.toThrow("cut off");
  const late = await answer("/cut");
  late.resume();
  await once(late, "close");
  await expect(readAll(late)).rejects.toThrow("cut off");
});

test("what a line's reader throws ends the reading, and the stream", async () => {
  const stream = await answer("/");
  const reading = readLines(
    stream,
    () => undefined,
    () => {
      throw new Error("no JSON");
    },
  );
  await expect(reading).rejects.toThrow("no JSON");
  expect(stream.destroyed).toBe(true);
});
