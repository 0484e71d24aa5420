/** The objects of a cluster as commands read them: once, with the rights of whoever calls, and without writing anything. */
import { createEngine } from "@gatewarden/core/engine.ts";
import type { KubeObject, ObjectKey } from "@gatewarden/core/world.ts";
import { systemClock } from "@gatewarden/operator/clock.ts";
import { type ApiFailure, createKubeClient, type KubeClient } from "@gatewarden/operator/kube/client.ts";
import { loadCredentials } from "@gatewarden/operator/kube/credentials.ts";
import {
  apiVersion,
  CLUSTER_WIDE_KINDS,
  collectionPath,
  keyText,
  kindInfo,
  type KindInfo,
  objectPath,
  strip,
} from "@gatewarden/operator/kube/kinds.ts";
import type { Manifest, Manifests, ManifestsResult } from "../offline/manifests.ts";
import { createOfflineWorld } from "../offline/world.ts";

const PAGE = "500";
/** Each round reads what the last one referred to; references do not refer any further. */
const MOST_ROUNDS = 4;

/**
 * Reads every kind that gatewarden watches, then the Secrets and ConfigMaps that something refers to.
 * @param kubeconfig a file; undefined: the pod that we run in
 * @returns a message where the API server cannot be reached or does not let us read a kind; a single Secret that may not be read is `denied`
 */
export async function readCluster(
  kubeconfig: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ManifestsResult> {
  return withClient(kubeconfig, env, read);
}

export interface RawObject {
  readonly key: ObjectKey;
  readonly status: unknown;
}

/** The statuses of all objects of the kinds that the operator reports on, as they stand in the cluster. */
export async function readStatuses(
  kubeconfig: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ClusterResult<readonly RawObject[]>> {
  return withClient(kubeconfig, env, async (client) => {
    const found: RawObject[] = [];
    for (const kind of CLUSTER_WIDE_KINDS.filter((info) => REPORTED.has(info.kind))) {
      const failure = await eachItem(client, kind, (key, item) => found.push({ key, status: item.status }));
      if (failure !== undefined && failure.status !== 404)
        return { ok: false, message: `${kind.plural}: ${failure.message}` };
    }
    return { ok: true, value: found };
  });
}

const REPORTED: ReadonlySet<string> = new Set([
  "GatewayClass",
  "Gateway",
  "HTTPRoute",
  "BackendTLSPolicy",
  "ApiPolicy",
  "ApiConsumer",
  "ApiGrant",
]);

type ClusterResult<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string };

async function withClient<T>(
  kubeconfig: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  use: (client: KubeClient) => Promise<ClusterResult<T>>,
): Promise<ClusterResult<T>> {
  let client: KubeClient;
  try {
    client = createKubeClient(await loadCredentials(kubeconfig, env, systemClock), systemClock);
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

async function read(client: KubeClient): Promise<ClusterResult<Manifests>> {
  const objects = new Map<string, Manifest>();
  const notes: string[] = [];
  for (const kind of CLUSTER_WIDE_KINDS) {
    const failure = await readKind(client, kind, objects);
    if (failure === undefined) continue;
    // A cluster without cert-manager, or with older CRDs of ours, has no such kind: there is nothing of it then.
    if (failure.status !== 404) return { ok: false, message: `${kind.plural}: ${failure.message}` };
    notes.push(`the cluster has no ${kind.plural}.${kind.group}`);
  }
  const world = createOfflineWorld(
    createEngine({ controllerName: "gatewarden.io/gateway-controller", requirePolicy: true, logDirectory: "" }),
  );
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    world.set(new Map(objects), Date.now());
    const missing = world.referenced().filter((key) => !objects.has(keyText(key)));
    const found = await Promise.all(missing.map((key) => readReferenced(client, key)));
    const news = found.filter((manifest) => manifest !== undefined);
    for (const manifest of news) objects.set(keyText(manifest.key), manifest);
    if (news.length === 0) break;
  }
  return { ok: true, value: { objects, notes } };
}

function readKind(client: KubeClient, kind: KindInfo, objects: Map<string, Manifest>): Promise<ApiFailure | undefined> {
  return eachItem(client, kind, (key, item) => {
    // Items of a list come without kind and apiVersion.
    const object = { ...strip(kind, item), apiVersion: apiVersion(kind), kind: kind.kind };
    objects.set(keyText(key), { key, object });
  });
}

async function eachItem(
  client: KubeClient,
  kind: KindInfo,
  take: (key: ObjectKey, item: KubeObject) => void,
): Promise<ApiFailure | undefined> {
  let next: string | undefined;
  do {
    const page = await client.list(collectionPath(kind, ""), { query: { limit: PAGE, continue: next } });
    if (!page.ok) return page.failure;
    for (const item of page.value.items)
      take({ kind: kind.kind, namespace: item.metadata.namespace ?? "", name: item.metadata.name }, item);
    next = page.value.next;
  } while (next !== undefined);
  return undefined;
}

/** Undefined: it is not there. */
async function readReferenced(client: KubeClient, key: ObjectKey): Promise<Manifest | undefined> {
  const kind = kindInfo(key.kind);
  const answer = await client.get(objectPath(kind, key.namespace, key.name));
  if (answer.ok) return { key, object: strip(kind, answer.value) };
  if (answer.failure.status === 404) return undefined;
  const stub: KubeObject = { metadata: { name: key.name, namespace: key.namespace } };
  return { key, object: stub, denied: true };
}
