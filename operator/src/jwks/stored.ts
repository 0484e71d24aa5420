/**
 * Last good key sets in ConfigMap `gatewarden-jwks`, so that a restart serves what was served before although an issuer is away (rules R8,
 * R32). They are public keys; who may write in the operator's namespace could change the operator itself.
 */
import { sleep, type Clock } from "../clock.ts";
import { createBackoff } from "../kube/backoff.ts";
import type { KubeClient } from "../kube/client.ts";
import { objectPath, REFERENCED_KINDS } from "../kube/kinds.ts";
import type { Log } from "../log.ts";
import { MANAGED_BY_LABEL } from "../certificates.ts";
import { FIELD_MANAGER } from "../kube/client.ts";
import { publicKeySet } from "./key-set.ts";
import type { KeySetStore, StoredKeySet } from "./keeper.ts";

export const STORED_CONFIG_MAP = "gatewarden-jwks";

/** Writes follow news after that long: many sets come together at a start. */
const WRITE_AFTER_MS = 2_000;
/** A confirmed set is written again with its new time only when the stored one is that old: each write is a write of them all. */
const REFRESH_AGE_MS = 3_600_000;
/** The API server takes 1 MiB; beyond this the sets that were confirmed longest ago are left out. */
const LARGEST_BYTES = 900_000;

export interface StoredKeySets extends KeySetStore {
  stop(): Promise<void>;
}

/** Reads what there is; where that fails it begins empty, and says so. */
export async function openStoredKeySets(
  client: KubeClient,
  clock: Clock,
  log: Log,
  namespace: string,
  leads: () => boolean,
): Promise<StoredKeySets> {
  const path = objectPath(REFERENCED_KINDS.ConfigMap, namespace, STORED_CONFIG_MAP);
  const sets = new Map<string, StoredKeySet>();
  const got = await client.get(path);
  if (got.ok) {
    for (const [id, text] of Object.entries((got.value["data"] ?? {}) as Readonly<Record<string, string>>)) {
      const stored = parseStored(text);
      if (stored !== undefined) sets.set(id, stored);
    }
  } else if (got.failure.status !== 404)
    log.warn("the stored key sets cannot be read", { status: got.failure.status, error: got.failure.message });

  const stopping = new AbortController();
  const backoff = createBackoff(clock, 2_000, 60_000);
  let dirty = false;
  let running: Promise<void> | undefined;

  const write = async (): Promise<boolean> => {
    if (!leads()) return false;
    dirty = false;
    const data: Record<string, string> = {};
    let size = 0;
    for (const [id, stored] of [...sets].sort(([, a], [, b]) => (a.fetchedAt < b.fetchedAt ? 1 : -1))) {
      const text = JSON.stringify(stored);
      size += text.length + id.length;
      if (size <= LARGEST_BYTES) data[id] = text;
    }
    const object = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: STORED_CONFIG_MAP, namespace, labels: { [MANAGED_BY_LABEL]: FIELD_MANAGER } },
      data,
    };
    const result = await client.apply(path, object, true, { signal: stopping.signal });
    if (!result.ok) dirty = true;
    return result.ok;
  };
  const run = async (): Promise<void> => {
    let pauseMs = WRITE_AFTER_MS;
    while (dirty && !stopping.signal.aborted) {
      await sleep(clock, pauseMs, stopping.signal);
      if (stopping.signal.aborted) break;
      pauseMs = (await write()) ? WRITE_AFTER_MS : backoff.next();
    }
    backoff.reset();
  };
  const changed = (): void => {
    dirty = true;
    running ??= run().finally(() => (running = undefined));
  };

  return {
    get: (id) => sets.get(id),
    put(id, stored) {
      const old = sets.get(id);
      if (old?.jwks === stored.jwks && Date.parse(stored.fetchedAt) - Date.parse(old.fetchedAt) < REFRESH_AGE_MS)
        return;
      sets.set(id, stored);
      changed();
    },
    remove(id) {
      if (sets.delete(id)) changed();
    },
    async stop() {
      stopping.abort(new Error("stopped"));
      await running;
    },
  };
}

function parseStored(text: string): StoredKeySet | undefined {
  try {
    const parsed = JSON.parse(text) as Partial<StoredKeySet> | null;
    if (typeof parsed?.jwks !== "string" || Number.isNaN(Date.parse(parsed.fetchedAt ?? ""))) return undefined;
    const set = publicKeySet(parsed.jwks);
    return set.ok ? { jwks: set.text, fetchedAt: parsed.fetchedAt as string } : undefined;
  } catch {
    return undefined;
  }
}
