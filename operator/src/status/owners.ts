/** Which resources an object is part of, and back: so that an acknowledgement touches only the objects that it concerns. */
import type { ResourceChange, ResourceType } from "@gatewarden/core/world.ts";
import { keyText } from "../kube/kinds.ts";

export interface ResourceName {
  readonly type: ResourceType;
  readonly name: string;
}

export interface Owners {
  update(changes: readonly ResourceChange[]): void;
  /** The resources of one gateway that the object has a part in. */
  resources(owner: string, gateway: string): readonly ResourceName[];
  /** The objects (as keyText) that have a part in a resource. */
  owners(gateway: string, resource: ResourceName): readonly string[];
}

interface Entry extends ResourceName {
  readonly gateway: string;
  readonly owners: readonly string[];
}

const NONE: readonly never[] = [];

export function createOwners(): Owners {
  const entries = new Map<string, Entry>();
  const byOwner = new Map<string, Map<string, Entry>>(); // owner → resource id → entry

  const idOf = (gateway: string, { type, name }: ResourceName): string => `${gateway} ${type} ${name}`;

  const drop = (id: string): void => {
    const old = entries.get(id);
    if (old === undefined) return;
    entries.delete(id);
    for (const owner of old.owners) {
      const own = byOwner.get(owner);
      own?.delete(id);
      if (own?.size === 0) byOwner.delete(owner);
    }
  };

  return {
    update(changes) {
      for (const change of changes) {
        const id = idOf(change.gateway, change);
        drop(id);
        if (change.json === undefined) continue;
        const owners = [...new Set(change.owners.map((owner) => keyText(owner.key)))];
        const entry: Entry = { gateway: change.gateway, type: change.type, name: change.name, owners };
        entries.set(id, entry);
        for (const owner of owners) {
          const own = byOwner.get(owner);
          if (own === undefined) byOwner.set(owner, new Map([[id, entry]]));
          else own.set(id, entry);
        }
      }
    },
    resources(owner, gateway) {
      const own = byOwner.get(owner);
      return own === undefined ? NONE : [...own.values()].filter((entry) => entry.gateway === gateway);
    },
    owners: (gateway, resource) => entries.get(idOf(gateway, resource))?.owners ?? NONE,
  };
}
