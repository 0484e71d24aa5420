/** What is packed comes out again, whatever it is. */
import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { createPacker, unpack, type Packed } from "../src/server/pack.ts";

function unpacked(packed: Packed): Buffer {
  const bytes = Buffer.alloc(packed.length + 6, 0xee);
  unpack(packed, bytes, 3);
  expect([bytes.subarray(0, 3), bytes.subarray(-3)]).toEqual([Buffer.alloc(3, 0xee), Buffer.alloc(3, 0xee)]);
  return bytes.subarray(3, -3);
}

test("any bytes in any order", () => {
  const word = fc.constantFrom(
    "scope",
    "http-8080|",
    ".bench.test",
    "type.googleapis.com/envoy.",
    "\u0000",
    "é",
    "aaaaaaaaaaaaaaaa",
  );
  const similar = fc.array(word, { maxLength: 60 }).map((words) => Buffer.from(words.join("")));
  const any = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.array(fc.oneof(similar, any), { maxLength: 12 }), (list) => {
      const packer = createPacker();
      const packed = list.map((bytes) => packer.pack(bytes));
      for (const [at, bytes] of list.entries()) expect(unpacked(packed[at] as Packed).equals(bytes)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test("similar ones shrink, two kinds of them too, and large ones stay as they are", () => {
  const packer = createPacker();
  const text = (kind: string, at: number): Buffer =>
    Buffer.from(`${kind} h${at}.bench.test ${Array.from({ length: 60 }, (_, n) => `${kind}-${n}`).join(" ")} r${at}`);
  const sizes = (kind: string): number[] =>
    Array.from({ length: 50 }, (_, at) => {
      const packed = packer.pack(text(kind, at));
      expect(unpacked(packed).toString()).toBe(text(kind, at).toString());
      return packed.text.length / packed.length;
    });
  for (const kind of ["jwt", "key", "jwt"]) expect(Math.max(...sizes(kind).slice(1))).toBeLessThan(0.2);
  const large = Buffer.alloc(200_000, "a large one ");
  expect(unpacked(packer.pack(large)).equals(large)).toBe(true);
});
