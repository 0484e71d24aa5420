/**
 * Deployments, Services and what belongs to them, as the core wants them: made and kept by server-side apply, by the leader only. What
 * somebody changed or deleted is found by comparing now and then; what nobody wants any more goes. Objects that are not ours are left alone.
 */
import { hash } from "node:crypto";
import { MANAGED_BY, OPERATOR_LABEL } from "@gatewarden/core/infrastructure/names.ts";
import type { InfrastructureChange, KubeObject } from "@gatewarden/core/world.ts";
import type { Clock } from "../clock.ts";
import type { ApiFailure, KubeClient } from "../kube/client.ts";
import { errorText, type Log } from "../log.ts";
import { createWriteLoop } from "../write-loop.ts";
import { collectionPathOf, identityText, INFRASTRUCTURE_KINDS, pathOf } from "./kinds.ts";
import { keepReplicas } from "./replicas.ts";

export interface InfrastructureWriter {
  update(changes: readonly InfrastructureChange[]): void;
  /** Everything is known and this process may write: everything is applied and compared once more. */
  resume(): void;
  stop(): Promise<void>;
}

export interface InfrastructureWriterOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  /** The operator's. */
  readonly namespace: string;
  readonly leads: () => boolean;
  /** `applied`, `deleted`, `foreign`, `failed`, for metrics. */
  readonly onWrite?: (outcome: string) => void;
}

/** How often what is there is compared with what is wanted: six lists. */
const COMPARE_EVERY_MS = 30_000;
const PAGE = "500";

export function createInfrastructureWriter(options: InfrastructureWriterOptions): InfrastructureWriter {
  const { client, clock, log } = options;
  const wanted = new Map<string, readonly KubeObject[] | "keep">(); // by gateway
  const written = new Map<string, string>(); // fingerprint of what the server has since our last write, by identity
  const stopping = new AbortController();
  const { signal } = stopping;
  let started = false;
  let compareNext = false;
  let cancelCompare: (() => void) | undefined;

  const mayWrite = (): boolean => !signal.aborted && options.leads();
  const note = (outcome: string): void => options.onWrite?.(outcome);

  const apply = async (object: KubeObject): Promise<ApiFailure | undefined> => {
    const path = pathOf(object);
    const got = await client.get(path, { signal });
    if (!got.ok && got.failure.status !== 404) return got.failure;
    if (got.ok && isForeign(got.value)) {
      note("foreign");
      log.warn("an object that a Gateway's proxies need is somebody else's and stays as it is", {
        object: identityText(object),
      });
      return undefined;
    }
    if (!mayWrite()) return undefined;
    if (got.ok && object.kind === "Deployment") {
      const failure = await keepReplicas(client, path, object, got.value, signal);
      if (failure !== undefined) return failure;
    }
    const result = await client.apply(path, object, true, { signal });
    if (!result.ok) return result.failure;
    note("applied");
    written.set(identityText(object), fingerprint(result.value, object));
    return undefined;
  };

  const remove = async (object: KubeObject): Promise<ApiFailure | undefined> => {
    if (!mayWrite()) return undefined;
    const result = await client.remove(pathOf(object), { signal, query: { propagationPolicy: "Background" } });
    written.delete(identityText(object));
    if (!result.ok) return result.failure.status === 404 ? undefined : result.failure;
    note("deleted");
    log.info("deleted what nobody needs any more", { object: identityText(object) });
    return undefined;
  };

  /** What carries our label and what is wanted, side by side. */
  const compare = async (): Promise<void> => {
    const found = new Set<string>();
    for (const kind of INFRASTRUCTURE_KINDS.toReversed()) {
      const items = await listOurs(kind);
      if (items === undefined) return; // said already; what was seen says nothing about what is not there
      for (const object of items) {
        const gateway = gatewayOf(object);
        const objects = wanted.get(gateway);
        const id = identityText(object);
        found.add(id);
        if (objects === "keep" || object.metadata.deletionTimestamp !== undefined) continue;
        const want = objects?.find((one) => identityText(one) === id);
        if (want === undefined) report(id, await remove(object));
        else if (written.get(id) !== fingerprint(object, want)) loop.due.add(gateway);
      }
    }
    for (const [gateway, objects] of wanted)
      if (objects !== "keep" && objects.some((object) => !found.has(identityText(object)))) loop.due.add(gateway);
  };

  const listOurs = async (kind: string): Promise<readonly KubeObject[] | undefined> => {
    const items: KubeObject[] = [];
    let next: string | undefined;
    do {
      const query = { labelSelector: `${OPERATOR_LABEL}=${options.namespace}`, limit: PAGE, continue: next };
      const page: Awaited<ReturnType<KubeClient["list"]>> = await client.list(collectionPathOf(kind), {
        signal,
        query,
      });
      if (!page.ok) {
        report(kind, page.failure);
        return undefined;
      }
      items.push(...page.value.items.map((item) => ({ ...item, kind })));
      next = page.value.next;
    } while (next !== undefined);
    return items;
  };

  const report = (object: string, failure: ApiFailure | undefined): void => {
    if (failure === undefined || signal.aborted) return;
    note("failed");
    log.warn("what a Gateway's proxies need could not be read or written", {
      object,
      status: failure.status,
      error: failure.message,
    });
  };

  const run = async (): Promise<void> => {
    if (compareNext) {
      compareNext = false;
      await compare();
    }
    for (const gateway of loop.due) {
      if (!mayWrite()) return;
      loop.due.delete(gateway);
      const objects = wanted.get(gateway);
      if (objects === undefined || objects === "keep") continue;
      for (const object of objects) {
        if (!mayWrite()) return;
        const failure = await apply(object);
        if (failure === undefined) continue;
        report(identityText(object), failure);
        loop.retryLater(gateway, failure);
        break;
      }
    }
  };

  /** By gateway. */
  const loop = createWriteLoop({
    clock,
    run,
    mayRun: () => started && mayWrite(),
    asked: () => compareNext,
    onFault: (error) => log.error("the proxies' objects were not kept", { error: errorText(error) }),
  });

  const compareLater = (): void => {
    cancelCompare?.();
    cancelCompare = clock.after(COMPARE_EVERY_MS, () => {
      compareNext = true;
      loop.wake();
      compareLater();
    });
  };

  return {
    update(changes) {
      for (const { gateway, objects } of changes) {
        const old = wanted.get(gateway);
        if (objects === undefined) wanted.delete(gateway);
        else wanted.set(gateway, objects);
        if (objects !== undefined && objects !== "keep") loop.due.add(gateway);
        // Objects that are not wanted any more are found among those with our label.
        if (old !== undefined && old !== "keep" && !isSuperset(objects, old)) compareNext = true;
      }
      loop.wake();
    },
    resume() {
      if (!started) compareLater();
      started = true;
      compareNext = true;
      for (const gateway of wanted.keys()) loop.due.add(gateway);
      loop.wake();
    },
    async stop() {
      stopping.abort(new Error("stopped"));
      cancelCompare?.();
      await loop.stop();
    },
  };
}

function isSuperset(objects: InfrastructureChange["objects"], old: readonly KubeObject[]): boolean {
  if (objects === "keep") return true;
  const now = new Set(objects?.map(identityText));
  return old.every((object) => now.has(identityText(object)));
}

/** Somebody else's by its label. An account may be made by hand beforehand, and has nothing that could be lost. */
function isForeign(object: KubeObject): boolean {
  return object.kind !== "ServiceAccount" && object.metadata.labels?.[MANAGED_BY.label] !== MANAGED_BY.value;
}

function gatewayOf({ metadata }: KubeObject): string {
  const owner = metadata.ownerReferences?.find(({ kind, controller }) => kind === "Gateway" && controller === true);
  return `${metadata.namespace ?? ""}/${owner?.name ?? ""}`;
}

/** What a write of somebody else would change. What others are to decide (an autoscaler the number of replicas) is left out. */
function fingerprint(object: KubeObject, want: KubeObject): string {
  const { metadata, spec, data } = object as KubeObject & { readonly data?: unknown };
  const { "deployment.kubernetes.io/revision": _revision, ...annotations } = metadata.annotations ?? {};
  const { labels, ownerReferences } = metadata;
  const { replicas, ...rest } = (spec ?? {}) as Readonly<Record<string, unknown>>;
  const ours = (want.spec as { readonly replicas?: unknown } | undefined)?.replicas !== undefined;
  return hash(
    "sha1",
    JSON.stringify([labels, annotations, ownerReferences, rest, ours ? replicas : null, data]),
    "base64",
  );
}
