/**
 * Reads the bodies of answers. Not by `for await`: Node takes an HTTP/2 stream whose last frame came before the reading began for one that was
 * cut off (ERR_STREAM_PREMATURE_CLOSE), and behind a busy event loop many short answers are complete before they are read.
 */
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";

/** One page of 500 objects of at most 1.5 MiB will not come; a page beyond this is a fault, not a list. */
const LARGEST_BODY_BYTES = 256 * 1024 * 1024;
const LARGEST_EVENT_BYTES = 16 * 1024 * 1024;

/** The whole body as text. Rejects when it is cut off or too large. */
export async function readAll(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  await eachChunk(body, (chunk) => {
    size += chunk.length;
    if (size > LARGEST_BODY_BYTES) throw new Error("the answer is too large");
    chunks.push(chunk);
  });
  return Buffer.concat(chunks).toString("utf8");
}

/** Calls `onLine` for each complete line; a rest without line end is dropped, because its event was never complete. Rejects with what `onLine` throws. */
export async function readLines(body: Readable, onBytes: () => void, onLine: (line: string) => void): Promise<void> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  await eachChunk(body, (chunk) => {
    onBytes();
    rest += decoder.write(chunk);
    if (rest.length > LARGEST_EVENT_BYTES) throw new Error("a watch event is too large");
    let start = 0;
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n", start)) {
      const line = rest.slice(start, end);
      start = end + 1;
      if (line.trim() !== "") onLine(line);
    }
    if (start > 0) rest = rest.slice(start);
  });
}

/** Resolves at the end; rejects with the body's error, with what `take` throws, or when the body ends before its end. */
function eachChunk(body: Readable, take: (chunk: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const cut = (): void => reject(body.errored ?? new Error("the answer was cut off"));
    if (body.destroyed) {
      cut();
      return;
    }
    body.once("end", () => {
      if (wasReset(body)) cut();
      else resolve();
    });
    body.on("error", reject); // stays, so that a late error is heard by somebody
    body.once("close", cut); // nothing after "end" or "error"
    body.on("data", (chunk: Buffer) => {
      try {
        take(chunk);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
        body.destroy();
      }
    });
  });
}

/** HTTP/2 ends a stream that the other side has reset like any other. */
function wasReset(body: Readable & { readonly rstCode?: number | undefined }): boolean {
  return (body.rstCode ?? 0) !== 0;
}
