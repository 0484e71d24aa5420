/** The same engine as the operator's, fed from manifests. Secrets and ConfigMaps reach it only when it asks for them, as in a cluster. */
import type {
  CertificateChange,
  Change,
  Engine,
  JwksSource,
  ObjectKey,
  ObjectStatus,
  Output,
  ResourceChange,
} from "@gatewarden/core/world.ts";
import { keyText } from "@gatewarden/operator/kube/kinds.ts";
import type { Manifest } from "./manifests.ts";

export interface OfflineWorld {
  /** Makes these the objects of the world; answers what changed by it. */
  set(objects: ReadonlyMap<string, Manifest>, nowMs: number): readonly Output[];
  /** Takes in other changes: key sets that came, or time that went on. */
  apply(changes: readonly Change[], nowMs: number): readonly Output[];
  /** Everything that holds now, in order of gateway, type and name. */
  resources(): readonly ResourceChange[];
  statuses(): ReadonlyMap<string, { readonly key: ObjectKey; readonly status: ObjectStatus }>;
  object(key: ObjectKey): Manifest | undefined;
  jwks(): ReadonlyMap<string, JwksSource>;
  /** cert-manager Certificates that policies ask for. */
  certificates(): readonly CertificateChange[];
  /** Secrets and ConfigMaps that something refers to. */
  referenced(): readonly ObjectKey[];
}

/** Each round can make the engine ask for more; references do not refer any further than that. */
const MOST_ROUNDS = 16;

export function createOfflineWorld(engine: Engine): OfflineWorld {
  let objects: ReadonlyMap<string, Manifest> = new Map();
  const watched = new Map<string, ObjectKey>();
  const resources = new Map<string, ResourceChange>();
  const statuses = new Map<string, { readonly key: ObjectKey; readonly status: ObjectStatus }>();
  const sources = new Map<string, JwksSource>();
  const certificates = new Map<string, CertificateChange>();

  const keep = (output: Output): void => {
    for (const change of output.resources) {
      const id = `${change.gateway} ${change.type} ${change.name}`;
      if (change.json === undefined) resources.delete(id);
      else resources.set(id, change);
    }
    for (const { key, status } of output.statuses) {
      if (status === undefined) statuses.delete(keyText(key));
      else statuses.set(keyText(key), { key, status });
    }
    for (const change of output.certificates) {
      const id = `${change.namespace}/${change.name}`;
      if (change.object === undefined) certificates.delete(id);
      else certificates.set(id, change);
    }
    for (const source of output.jwks.add) sources.set(source.id, source);
    for (const id of output.jwks.remove) sources.delete(id);
    for (const key of output.watch.remove) watched.delete(keyText(key));
    for (const key of output.watch.add) watched.set(keyText(key), key);
  };

  const apply = (changes: readonly Change[], nowMs: number): readonly Output[] => {
    const outputs: Output[] = [];
    let next = changes;
    for (let round = 0; round < MOST_ROUNDS; round += 1) {
      const output = engine.apply(next, nowMs);
      keep(output);
      outputs.push(output);
      if (output.watch.add.length === 0) break;
      next = output.watch.add.map((key) => changeOf(key, objects.get(keyText(key))));
    }
    return outputs;
  };

  return {
    set(next, nowMs) {
      const old = objects;
      objects = next;
      const changes: Change[] = [];
      const note = (key: ObjectKey, manifest: Manifest | undefined): void => {
        const byReference = key.kind === "Secret" || key.kind === "ConfigMap";
        if (!byReference || watched.has(keyText(key))) changes.push(changeOf(key, manifest));
      };
      for (const [id, { key }] of old) if (!next.has(id)) note(key, undefined);
      for (const [id, manifest] of next)
        if (old.get(id)?.object.metadata.resourceVersion !== manifest.object.metadata.resourceVersion)
          note(manifest.key, manifest);
      return apply(changes, nowMs);
    },
    apply,
    resources: () => [...resources].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, change]) => change),
    statuses: () => statuses,
    object: (key) => objects.get(keyText(key)),
    jwks: () => sources,
    certificates: () => [...certificates.values()],
    referenced: () => [...watched.values()],
  };
}

function changeOf(key: ObjectKey, manifest: Manifest | undefined): Change {
  if (manifest?.denied === true) return { key, object: undefined, denied: true };
  return { key, object: manifest?.object };
}
