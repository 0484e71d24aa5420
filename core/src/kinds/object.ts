/** Identity of one of our own objects, whatever JSON it turns out to be (files are checked by nobody before us). */
import type { Kind, KubeObject, ObjectKey } from "../world.ts";
import { fields, integer, text } from "./json.ts";

export interface ObjectIdentity {
  readonly key: ObjectKey;
  readonly uid: string;
  readonly generation: number;
  readonly creationTimestamp: string; // "" where there is none: objects from files
}

export function identityOf<K extends Kind>(
  kind: K,
  object: KubeObject,
): ObjectIdentity & { readonly key: ObjectKey & { readonly kind: K } } {
  const metadata = fields(object.metadata);
  return {
    key: { kind, namespace: text(metadata["namespace"]) ?? "", name: text(metadata["name"]) ?? "" },
    uid: text(metadata["uid"]) ?? "",
    generation: integer(metadata["generation"]) ?? 0,
    creationTimestamp: text(metadata["creationTimestamp"]) ?? "",
  };
}
