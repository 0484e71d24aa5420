/**
 * cert-manager Certificates that the core wants: made and kept by server-side apply under our field manager, deleted only where they carry
 * our label. TLS Secrets are never touched (rules R30).
 */
import type { CertificateChange, KubeObject } from "@gatewarden/core/world.ts";
import type { Clock } from "./clock.ts";
import { FIELD_MANAGER, type ApiFailure, type KubeClient } from "./kube/client.ts";
import { kindInfo, objectPath } from "./kube/kinds.ts";
import { errorText, type Log } from "./log.ts";
import { createWriteLoop } from "./write-loop.ts";

export interface CertificateWriter {
  update(changes: readonly CertificateChange[]): void;
  /** Called when this process becomes the one that writes: everything is applied once more. */
  resume(): void;
  stop(): Promise<void>;
}

export interface CertificateWriterOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly leads: () => boolean;
  readonly onWrite?: (outcome: string) => void;
}

export const MANAGED_BY_LABEL = "app.kubernetes.io/managed-by";

/** One write at a time: there are few, and cert-manager has to follow. */
export function createCertificateWriter(options: CertificateWriterOptions): CertificateWriter {
  const { client, clock, log } = options;
  const wanted = new Map<string, CertificateChange>(); // what stands, by "namespace/name"; deletions until they are done
  const stopping = new AbortController();
  const mayWrite = (): boolean => !stopping.signal.aborted && options.leads();

  const note = (outcome: string): void => options.onWrite?.(outcome);

  const write = async (change: CertificateChange): Promise<ApiFailure | undefined> => {
    const path = objectPath(kindInfo("Certificate"), change.namespace, change.name);
    const signal = stopping.signal;
    if (change.object !== undefined) {
      const object: KubeObject = {
        ...change.object,
        metadata: {
          ...change.object.metadata,
          labels: { ...change.object.metadata.labels, [MANAGED_BY_LABEL]: FIELD_MANAGER },
        },
      };
      // Not forced: where somebody else owns a field the Certificate is theirs, and the core says so (Conflicted).
      const result = await client.apply(path, object, false, { signal });
      return result.ok ? undefined : result.failure;
    }
    const got = await client.get(path, { signal });
    if (!got.ok) return got.failure.status === 404 ? undefined : got.failure;
    if (got.value.metadata.labels?.[MANAGED_BY_LABEL] !== FIELD_MANAGER) return undefined;
    const removed = await client.remove(path, { signal });
    return removed.ok || removed.failure.status === 404 ? undefined : removed.failure;
  };

  const run = async (): Promise<void> => {
    for (const id of loop.due) {
      if (!mayWrite()) return;
      loop.due.delete(id);
      const change = wanted.get(id);
      if (change === undefined) continue;
      const failure = await write(change);
      if (failure === undefined) {
        note(change.object === undefined ? "deleted" : "applied");
        if (change.object === undefined && wanted.get(id) === change) wanted.delete(id);
        continue;
      }
      note("failed");
      log.warn("a Certificate could not be written", {
        namespace: change.namespace,
        name: change.name,
        status: failure.status,
        error: failure.message,
      });
      loop.retryLater(id, failure);
    }
  };

  const loop = createWriteLoop({
    clock,
    run,
    mayRun: mayWrite,
    onFault: (error) => log.error("Certificates were not kept", { error: errorText(error) }),
  });

  return {
    update(changes) {
      for (const change of changes) {
        const id = `${change.namespace}/${change.name}`;
        wanted.set(id, change);
        loop.due.add(id);
      }
      loop.wake();
    },
    resume() {
      for (const id of wanted.keys()) loop.due.add(id);
      loop.wake();
    },
    async stop() {
      stopping.abort(new Error("stopped"));
      await loop.stop();
    },
  };
}
