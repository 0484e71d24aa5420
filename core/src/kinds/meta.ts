/** Identity and age of an object: what conflicts are settled by and what statuses refer to. */
import type { Kind, KubeObject, Owner } from "../world.ts";

export interface Meta {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly createdMs: number;
}

export function metaOf(object: KubeObject): Meta {
  const { name, namespace, uid, generation, creationTimestamp } = object.metadata;
  const createdMs = creationTimestamp === undefined ? 0 : Date.parse(creationTimestamp);
  return {
    namespace: namespace ?? "",
    name,
    uid: uid ?? "",
    generation: generation ?? 0,
    createdMs: Number.isNaN(createdMs) ? 0 : createdMs,
  };
}

/** `namespace/name`: how objects are named in keys of the graph, resource names and messages. */
export function idOf(meta: { readonly namespace: string; readonly name: string }): string {
  return `${meta.namespace}/${meta.name}`;
}

export function splitId(id: string): { readonly namespace: string; readonly name: string } {
  const slash = id.indexOf("/");
  return { namespace: id.slice(0, slash), name: id.slice(slash + 1) };
}

/** The older first; then by name. */
export function byAge(a: Meta, b: Meta): number {
  return a.createdMs - b.createdMs || compareText(idOf(a), idOf(b));
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function ownerOf(kind: Kind, meta: Meta): Owner {
  return { key: { kind, namespace: meta.namespace, name: meta.name }, uid: meta.uid, generation: meta.generation };
}
