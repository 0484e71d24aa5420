/** Owners of what several objects share. */
import type { Source } from "../slice.ts";
import type { Owner } from "../world.ts";
import { isKeyPart } from "./chain.ts";

/** Generation of such owners: naming the true one would make every edit of one a change of the whole. */
export const SHARED = 0;

/** Sorts and tells apart. */
export function ownerText({ key }: Owner): string {
  return `${key.kind}/${key.namespace}/${key.name}`;
}

/** The policy behind a piece of something shared. */
export function policyOwner({ namespace, name, uid }: Source): Owner {
  return { key: { kind: "ApiPolicy", namespace, name }, uid, generation: SHARED };
}

/** Extensions whose entries are namespaces, and whose content is what the consumers there are known by. */
export function isOfConsumers(slot: string): boolean {
  return isKeyPart(slot) || slot === "names" || slot === "recognise";
}
