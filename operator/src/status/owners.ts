/**
 * Which resources an object is part of, and back: so that an acknowledgement touches only the objects that it concerns. A resource that an
 * object has left still counts for it until proxies no longer have the version that it was part of.
 */
import type { Owner, ResourceChange, ResourceType } from "@gatewarden/core/world.ts";
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
  owners: readonly string[];
  /** Where there are many, what they were made of: next time most are the same objects. */
  given?: readonly Owner[];
}

const NONE: readonly never[] = [];

export function createOwners(): Owners {
  const parts = createRelation();
  const former = createRelation();

  return {
    update(changes) {
      for (const { gateway, type, name, json, owners } of changes) {
        const place = { gateway, type, name };
        const now = json === undefined ? NONE : owners;
        const { came, left } = differenceOf(parts.entry(place), now);
        parts.change(place, came, left, now);
        const before = former.owners(gateway, type, name);
        if (before.length === 0 && left.length === 0) continue;
        const back = new Set(before.length === 0 ? NONE : parts.owners(gateway, type, name));
        former.change(
          place,
          left,
          before.filter((owner) => back.has(owner)),
        );
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
      former.change({ type, name, gateway }, NONE, former.owners(gateway, type, name));
    },
  };
}

/** An extension can have thousands of owners, and one comes or goes: those that are the same object as before are not looked at. */
function differenceOf(
  entry: Entry | undefined,
  now: readonly Owner[],
): { readonly came: readonly string[]; readonly left: readonly string[] } {
  const { given, owners: before = NONE } = entry ?? {};
  if (given === undefined) {
    const texts = new Set(now.map(({ key }) => keyText(key)));
    const left = before.filter((owner) => !texts.has(owner));
    for (const owner of before) texts.delete(owner);
    return { came: [...texts], left };
  }
  const old = new Set(given);
  const came = new Set<string>();
  for (const owner of now) if (!old.delete(owner)) came.add(keyText(owner.key));
  const left = [...old].map(({ key }) => keyText(key));
  // Another object of the same name: neither.
  return { came: [...came].filter((owner) => !left.includes(owner)), left: left.filter((owner) => !came.has(owner)) };
}

/** Resources of one object: most have one or two, and a Set for each would cost more than everything else here. */
interface Part {
  /** The text that all its entries share. */
  readonly owner: string;
  entries: readonly Entry[] | Set<Entry>;
}

/** Above this a list becomes a set. */
const FEW = 8;
/** Above this it is remembered what the owners were made of. */
const MANY = 64;

/** Who belongs to what, both ways. */
function createRelation() {
  const entries = new Map<string, Map<string, Entry>>(); // by gateway and type, then by name
  const byOwner = new Map<string, Part>();

  const entryOf = ({ gateway, type, name }: Place): Entry | undefined => entries.get(`${gateway} ${type}`)?.get(name);
  const drop = (owner: string, entry: Entry): void => {
    const part = byOwner.get(owner);
    if (part === undefined) return;
    if (part.entries instanceof Set) part.entries.delete(entry);
    else part.entries = part.entries.filter((one) => one !== entry);
    if (sizeOf(part.entries) === 0) byOwner.delete(owner);
  };
  const add = (owner: string, entry: Entry): string => {
    let part = byOwner.get(owner);
    if (part === undefined) byOwner.set(owner, (part = { owner, entries: NONE }));
    if (part.entries instanceof Set) part.entries.add(entry);
    else if (part.entries.length < FEW) part.entries = part.entries.concat([entry]);
    else part.entries = new Set([...part.entries, entry]);
    return part.owner;
  };
  return {
    entry: entryOf,
    /** `came` are no owners yet, `left` are. */
    change(place: Place, came: readonly string[], left: readonly string[], given?: readonly Owner[]): void {
      const entry: Entry = entryOf(place) ?? { ...place, owners: NONE };
      for (const owner of left) drop(owner, entry);
      const gone = new Set(left);
      const stay = left.length === 0 ? entry.owners : entry.owners.filter((owner) => !gone.has(owner));
      if (came.length > 0 || left.length > 0) entry.owners = [...stay, ...came.map((owner) => add(owner, entry))];
      if (given !== undefined && given.length > MANY) entry.given = given;
      else delete entry.given;
      const shelf = `${place.gateway} ${place.type}`;
      const named = entries.get(shelf) ?? new Map<string, Entry>();
      if (entry.owners.length === 0) named.delete(place.name);
      else named.set(place.name, entry);
      if (named.size === 0) entries.delete(shelf);
      else entries.set(shelf, named);
    },
    owners: (gateway: string, type: ResourceType, name: string): readonly string[] =>
      entryOf({ gateway, type, name })?.owners ?? NONE,
    entries(owner: string, gateway: string): readonly Entry[] {
      const part = byOwner.get(owner);
      return part === undefined ? NONE : [...part.entries].filter((entry) => entry.gateway === gateway);
    },
    all: (): readonly Entry[] => [...entries.values()].flatMap((named) => [...named.values()]),
  };
}

type Place = Pick<Entry, "gateway" | "type" | "name">;

function sizeOf(entries: Part["entries"]): number {
  return entries instanceof Set ? entries.size : entries.length;
}
