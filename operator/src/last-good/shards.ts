/**
 * Snapshots of all gateways in a fixed set of Secrets of the operator's namespace, so that the right to them can be given by name. A shard
 * holds several gateways, each gzipped under the hash of its name.
 */
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import type { KubeObject } from "@gatewarden/core/world.ts";

export const SHARDS = 16;
/** The API server takes 1 MiB of data in a Secret. */
export const LARGEST_SHARD_BYTES = 1_000_000;
/** What may come out of a gzipped entry. */
const LARGEST_SNAPSHOT_BYTES = 64 * 1024 * 1024;

export const SHARD_NAMES: readonly string[] = Array.from(
  { length: SHARDS },
  (_, n) => `gatewarden-last-good-${String(n)}`,
);

export function shardOf(gateway: string): string {
  const [first = 0] = createHash("sha256").update(gateway).digest();
  return SHARD_NAMES[first % SHARDS] ?? "";
}

export interface StoredSnapshot {
  readonly gateway: string;
  readonly snapshot: Buffer;
}

const zip = promisify(gzip);
const unzip = promisify(gunzip);

/** The entry of one gateway: its name on the first line. */
export async function packSnapshot({ gateway, snapshot }: StoredSnapshot): Promise<Buffer> {
  return zip(Buffer.concat([Buffer.from(`${gateway}\n`), snapshot]));
}

/** Rejects where the bytes are none. */
export async function unpackSnapshot(packed: Buffer): Promise<StoredSnapshot> {
  const bytes = await unzip(packed, { maxOutputLength: LARGEST_SNAPSHOT_BYTES });
  const end = bytes.indexOf("\n");
  const gateway = bytes.subarray(0, Math.max(0, end)).toString("utf8");
  if (!/^[^/\s]+\/[^/\s]+$/.test(gateway)) throw new Error("not the snapshot of a gateway");
  return { gateway, snapshot: bytes.subarray(end + 1) };
}

export function entryKey(gateway: string): string {
  return createHash("sha256").update(gateway).digest("hex").slice(0, 32);
}

/** Every entry of a shard's Secret that can be read; `onFault` hears of the others. */
export async function readShard(
  secret: KubeObject | undefined,
  onFault: (error: unknown) => void,
): Promise<readonly StoredSnapshot[]> {
  const data = (secret?.["data"] ?? {}) as Readonly<Record<string, string>>;
  const all = await Promise.all(
    Object.values(data).map((text) =>
      unpackSnapshot(Buffer.from(text, "base64")).catch((error: unknown) => {
        onFault(error);
        return undefined;
      }),
    ),
  );
  return all.filter((one) => one !== undefined);
}
