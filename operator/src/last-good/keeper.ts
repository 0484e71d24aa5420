/**
 * Keeps what proxies have acknowledged in Secrets, so that new proxies can start while no operator runs (fallback.ts) and what was good
 * outlives a restart. Written by the leader, some seconds after a change and no more often than each shard's pause allows.
 */
import { hash } from "node:crypto";
import type { KubeObject } from "@gatewarden/core/world.ts";
import { MANAGED_BY_LABEL } from "../certificates.ts";
import { sleep, type Clock } from "../clock.ts";
import { FIELD_MANAGER, type KubeClient } from "../kube/client.ts";
import { objectPath, REFERENCED_KINDS } from "../kube/kinds.ts";
import { errorText, type Log } from "../log.ts";
import {
  entryKey,
  LARGEST_SHARD_BYTES,
  packSnapshot,
  readShard,
  SHARD_NAMES,
  shardOf,
  type StoredSnapshot,
} from "./shards.ts";

export interface LastGoodOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  /** The operator's. */
  readonly namespace: string;
  readonly leads: () => boolean;
  readonly gateways: () => readonly string[];
  readonly snapshot: (gateway: string) => Promise<Buffer | undefined>;
  /** `written`, `failed`, `too_large`, for metrics. */
  readonly onWrite?: (outcome: string) => void;
}

export interface LastGood {
  /** What an earlier process kept. */
  load(): Promise<readonly StoredSnapshot[]>;
  /** Something of the gateway was published or acknowledged. */
  changed(gateway: string): void;
  /** Everything is published and this process may write. */
  resume(): void;
  /** Writes what waits for its pause: what was taken away moments ago (a revoked key) must not come back by a proxy that starts meanwhile. */
  stop(): Promise<void>;
}

function digestOf(data: unknown): string {
  return hash("sha1", JSON.stringify(Object.entries(data as object).sort()), "base64");
}

/** Acknowledgements follow a change within moments, and changes come together. */
const WRITE_AFTER_MS = 5_000;
/** Endpoints change all the time in a large cluster. */
const PAUSE_MS = 15_000;
const LAST_WRITE_MS = 3_000;

export function createLastGood(options: LastGoodOptions): LastGood {
  const { client, clock, log, namespace } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const dirty = new Set<string>(); // shards
  const written = new Map<string, string>(); // digests, by shard: what would be the same is not written
  const tasks = new Map<string, Promise<void>>();
  let started = false;

  const pathOf = (shard: string): string => objectPath(REFERENCED_KINDS.Secret, namespace, shard);

  const write = async (shard: string, until = signal): Promise<void> => {
    const data: Record<string, string> = {};
    let size = 0;
    for (const gateway of [...options.gateways()].sort()) {
      if (shardOf(gateway) !== shard) continue;
      const snapshot = await options.snapshot(gateway);
      if (snapshot === undefined) continue;
      const packed = await packSnapshot({ gateway, snapshot });
      if (size + packed.length > LARGEST_SHARD_BYTES) {
        options.onWrite?.("too_large");
        log.warn("the last good configuration of a Gateway is too large to be kept", { gateway, bytes: packed.length });
        continue;
      }
      size += packed.length;
      data[entryKey(gateway)] = packed.toString("base64");
    }
    const content = digestOf(data);
    if (written.get(shard) === content || (size === 0 && !written.has(shard))) return;
    if (!options.leads() || until.aborted) return;
    const object: KubeObject = {
      apiVersion: "v1",
      kind: "Secret",
      type: "gatewarden.io/last-good",
      metadata: { name: shard, namespace, labels: { [MANAGED_BY_LABEL]: FIELD_MANAGER } },
      data,
    };
    const result = await client.apply(pathOf(shard), object, true, { signal: until });
    options.onWrite?.(result.ok ? "written" : "failed");
    if (result.ok) written.set(shard, content);
    else {
      dirty.add(shard);
      log.warn("the last good configuration could not be kept", {
        object: shard,
        status: result.failure.status,
        error: result.failure.message,
      });
    }
  };

  const unmade =
    (shard: string) =>
    (error: unknown): void =>
      log.error("the last good configuration could not be made", { object: shard, error: errorText(error) });

  const work = async (shard: string): Promise<void> => {
    await sleep(clock, WRITE_AFTER_MS, signal);
    while (!signal.aborted && options.leads() && dirty.delete(shard)) {
      await write(shard).catch(unmade(shard));
      await sleep(clock, PAUSE_MS, signal);
    }
  };

  const wake = (shard: string): void => {
    if (!started || signal.aborted || !options.leads() || tasks.has(shard)) return;
    const task = work(shard).finally(() => {
      tasks.delete(shard);
      if (dirty.has(shard)) wake(shard);
    });
    tasks.set(shard, task);
  };

  return {
    async load() {
      const all = await Promise.all(
        SHARD_NAMES.map(async (shard) => {
          const got = await client.get(pathOf(shard), { signal });
          if (!got.ok && got.failure.status !== 404)
            log.warn("a last good configuration cannot be read", { object: shard, error: got.failure.message });
          if (!got.ok) return [];
          written.set(shard, digestOf(got.value["data"] ?? {}));
          return readShard(got.value, (error) =>
            log.warn("a last good configuration is not understood", { object: shard, error: errorText(error) }),
          );
        }),
      );
      return all.flat();
    },
    changed(gateway) {
      const shard = shardOf(gateway);
      dirty.add(shard);
      wake(shard);
    },
    resume() {
      started = true;
      // Also what nobody has any more: its shard is written without it.
      for (const shard of SHARD_NAMES) {
        dirty.add(shard);
        wake(shard);
      }
    },
    async stop() {
      stopping.abort(new Error("stopped"));
      await Promise.all(tasks.values());
      if (!started || !options.leads()) return;
      // Bounded: the process ends whether or not the API server answers.
      const last = AbortSignal.timeout(LAST_WRITE_MS);
      await Promise.all([...dirty].map((shard) => write(shard, last).catch(unmade(shard))));
    },
  };
}
