/**
 * Which resources an object is part of, and back: so that an acknowledgement touches only the objects that it concerns. A resource that an
 * object has left still counts for it until proxies no longer have the version that it was part of.
 */
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
  /** Those that it had a part in before, until {@link Owners.gone}. */
  left(owner: string, gateway: string): readonly ResourceName[];
  /** The objects (as keyText) that have, or had, a part in a resource. */
  owners(gateway: string, resource: ResourceName): readonly string[];
  /** Resources that somebody has left. */
  leaving(gateway: string): readonly ResourceName[];
  /** No proxy has an older version of the resource any more. */
  gone(gateway: string, resource: ResourceName): void;
}

interface Entry extends ResourceName {
  readonly gateway: string;
  readonly owners: readonly string[];
}

const NONE: readonly never[] = [];

export function createOwners(): Owners {
  const parts = createRelation();
  const former = createRelation();
  const idOf = (gateway: string, { type, name }: ResourceName): string => `${gateway} ${type} ${name}`;

  return {
    update(changes) {
      for (const { gateway, type, name, json, owners } of changes) {
        const id = idOf(gateway, { type, name });
        const before = [...parts.owners(id), ...former.owners(id)];
        const now = new Set(json === undefined ? NONE : owners.map((owner) => keyText(owner.key)));
        const left = new Set(before.filter((owner) => !now.has(owner)));
        parts.set(id, { gateway, type, name, owners: [...now] });
        former.set(id, { gateway, type, name, owners: [...left] });
      }
    },
    resources: (owner, gateway) => parts.entries(owner, gateway),
    left: (owner, gateway) => former.entries(owner, gateway),
    owners(gateway, resource) {
      const id = idOf(gateway, resource);
      const left = former.owners(id);
      return left.length === 0 ? parts.owners(id) : [...parts.owners(id), ...left];
    },
    leaving: (gateway) => former.all().filter((entry) => entry.gateway === gateway),
    gone(gateway, resource) {
      former.set(idOf(gateway, resource), { ...resource, gateway, owners: NONE });
    },
  };
}

/** Who belongs to what, both ways. */
function createRelation() {
  const entries = new Map<string, Entry>();
  const byOwner = new Map<string, Map<string, Entry>>(); // owner → resource id → entry

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
    set(id: string, entry: Entry): void {
      drop(id);
      if (entry.owners.length === 0) return;
      entries.set(id, entry);
      for (const owner of entry.owners) {
        const own = byOwner.get(owner);
        if (own === undefined) byOwner.set(owner, new Map([[id, entry]]));
        else own.set(id, entry);
      }
    },
    owners: (id: string): readonly string[] => entries.get(id)?.owners ?? NONE,
    entries(owner: string, gateway: string): readonly Entry[] {
      const own = byOwner.get(owner);
      return own === undefined ? NONE : [...own.values()].filter((entry) => entry.gateway === gateway);
    },
    all: (): readonly Entry[] => [...entries.values()],
  };
}
