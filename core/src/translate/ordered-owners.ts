/**
 * The owners of an extension that a whole Gateway shares, in order. There can be thousands, and a route that comes or goes is one of them:
 * what came out last is kept, the difference is worked in, and where there is none the same list comes out again.
 */
import { compareText } from "../kinds/meta.ts";
import type { Owner } from "../world.ts";

interface Ordered {
  readonly members: ReadonlyMap<string, Owner>;
  readonly owners: readonly Owner[];
}

export interface OrderedOwners {
  /** `members` by a text that sorts; a cell of a relation, so it may be another thing at the next call. */
  of(key: string, members: ReadonlyMap<string, Owner>): readonly Owner[];
  forget(key: string): void;
}

const nobody: Ordered = { members: new Map(), owners: [] };

export function createOrderedOwners(): OrderedOwners {
  const known = new Map<string, Ordered>();
  return {
    of(key, members) {
      const last = known.get(key) ?? nobody;
      if (sameMembers(last.members, members)) return last.owners;
      const kept = [...last.members.keys()].filter((name) => members.has(name));
      const came = [...members.keys()].filter((name) => !last.members.has(name));
      // A row in order with a few behind it is sorted in one pass.
      const names = [...kept, ...came].sort(compareText);
      const next = new Map(names.map((name) => [name, members.get(name) as Owner]));
      const owners = [...next.values()];
      known.set(key, { members: next, owners });
      return owners;
    },
    forget(key) {
      known.delete(key);
    },
  };
}

function sameMembers(a: ReadonlyMap<string, Owner>, b: ReadonlyMap<string, Owner>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, owner] of b) if (a.get(name) !== owner) return false;
  return true;
}
