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

  return {
    update(changes) {
      for (const { gateway, type, name, json, owners } of changes) {
        const before = [...parts.owners(gateway, type, name), ...former.owners(gateway, type, name)];
        const now = new Set(json === undefined ? NONE : owners.map((owner) => keyText(owner.key)));
        parts.set({ gateway, type, name, owners: [...now] });
        former.set({ gateway, type, name, owners: before.filter((owner) => !now.has(owner)) });
      }
    },
    resources: (owner, gateway) => parts.entries(owner, gateway),
    left: (owner, gateway) => former.entries(owner, gateway),
    owners(gateway, { type, name }) {
      const left = former.owners(gateway, type, name);
      return left.length === 0 ? parts.owners(gateway, type, name) : [...parts.owners(gateway, type, name), ...left];
    },
    leaving: (gateway) => former.all().filter((entry) => entry.gateway === gateway),
    gone(gateway, { type, name }) {
      former.set({ type, name, gateway, owners: NONE });
    },
  };
}

/** Resources of one object: most have one or two, and a Set for each would cost more than everything else here. */
interface Part {
  /** The text that all its entries share. */
  readonly owner: string;
  entries: readonly Entry[] | Set<Entry>;
}

/** Above this a list becomes a set. */
const FEW = 8;

/** Who belongs to what, both ways. */
function createRelation() {
  const entries = new Map<string, Map<string, Entry>>(); // by gateway and type, then by name
  const byOwner = new Map<string, Part>();

  const drop = (entry: Entry): void => {
    for (const owner of entry.owners) {
      const part = byOwner.get(owner);
      if (part === undefined) continue;
      if (part.entries instanceof Set) part.entries.delete(entry);
      else part.entries = part.entries.filter((one) => one !== entry);
      if (sizeOf(part.entries) === 0) byOwner.delete(owner);
    }
  };
  const partOf = (owner: string): Part => {
    let part = byOwner.get(owner);
    if (part === undefined) byOwner.set(owner, (part = { owner, entries: NONE }));
    return part;
  };
  return {
    set({ gateway, type, name, owners }: Entry): void {
      const place = `${gateway} ${type}`;
      const named = entries.get(place) ?? new Map<string, Entry>();
      const old = named.get(name);
      if (owners.length === 0) named.delete(name);
      else {
        const theirs = owners.map(partOf);
        const entry: Entry = { gateway, type, name, owners: theirs.map(({ owner }) => owner) };
        for (const part of theirs) {
          if (part.entries instanceof Set) part.entries.add(entry);
          else if (part.entries.length < FEW) part.entries = part.entries.concat([entry]);
          else part.entries = new Set([...part.entries, entry]);
        }
        named.set(name, entry);
      }
      if (old !== undefined) drop(old);
      if (named.size === 0) entries.delete(place);
      else entries.set(place, named);
    },
    owners: (gateway: string, type: ResourceType, name: string): readonly string[] =>
      entries.get(`${gateway} ${type}`)?.get(name)?.owners ?? NONE,
    entries(owner: string, gateway: string): readonly Entry[] {
      const part = byOwner.get(owner);
      return part === undefined ? NONE : [...part.entries].filter((entry) => entry.gateway === gateway);
    },
    all: (): readonly Entry[] => [...entries.values()].flatMap((named) => [...named.values()]),
  };
}

function sizeOf(entries: Part["entries"]): number {
  return entries instanceof Set ? entries.size : entries.length;
}
