/** Everything that a new proxy of one gateway would get, as bytes that outlive the process. The bytes hold keys and certificates. */
import { setImmediate as turn } from "node:timers/promises";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { type Content, DELTA_FIELDS, restoredContent } from "./server/content.ts";
import type { Packer } from "./server/pack.ts";
import { RESOURCE_TYPES, type ResourceType } from "./types.ts";

/** One resource of a snapshot. */
export type Kept = readonly [type: ResourceType, name: string, content: Content];

/** Contents may be packed: between slices of unpacking proxies are answered. */
const SLICE_MS = 5;

/** The format's own version: what another one wrote is not read. */
const MAGIC = Buffer.from("gatewarden last good 1\n");

/** Per resource: a byte for its type, and the field that a delta response carries it in, which says its own length. */
export async function encodeSnapshot(kept: Iterable<Kept>): Promise<Buffer> {
  const parts: Uint8Array[] = [MAGIC];
  let began = performance.now();
  for (const [type, , content] of kept) {
    parts.push(Uint8Array.of(RESOURCE_TYPES.indexOf(type)), content.delta);
    if (performance.now() - began < SLICE_MS) continue;
    await turn();
    began = performance.now();
  }
  return Buffer.concat(parts);
}

/**
 * Throws where the bytes are no snapshot of this version.
 * @param packer for the resources of which there are thousands
 */
export function decodeSnapshot(bytes: Uint8Array, packer?: Packer): readonly Kept[] {
  if (Buffer.compare(bytes.subarray(0, MAGIC.length), MAGIC) !== 0) throw new Error("not a snapshot of this version");
  const reader = new BinaryReader(bytes.subarray(MAGIC.length));
  const kept: Kept[] = [];
  while (reader.pos < reader.len) {
    const type = RESOURCE_TYPES[reader.uint32()]; // one byte: there are few types
    const [field] = reader.tag();
    if (type === undefined || field !== DELTA_FIELDS.resources) throw new Error("a broken snapshot");
    const { name, any } = parseResource(reader.bytes());
    kept.push([type, name, restoredContent(name, any, type === "scope" ? packer : undefined)]);
  }
  return kept;
}

function parseResource(bytes: Uint8Array): { readonly name: string; readonly any: Uint8Array } {
  const reader = new BinaryReader(bytes);
  let name = "";
  let any: Uint8Array | undefined;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === DELTA_FIELDS.name) name = reader.string();
    else if (field === DELTA_FIELDS.resource) any = reader.bytes();
    else reader.skip(type);
  }
  if (name === "" || any === undefined) throw new Error("a broken snapshot");
  return { name, any };
}
