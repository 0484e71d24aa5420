/**
 * What the last good version of a refused scope or listener may still name: clusters, their endpoints and secrets that nobody wants any more
 * stay until no such refusal is left, or that version would lead nowhere.
 */
import type { ResourceType } from "../types.ts";
import type { Entry } from "./entry.ts";

/** Types that are named by others. */
const NAMED: readonly ResourceType[] = ["cluster", "endpoint", "secret"];
/** Types that name them. */
const NAMING: readonly ResourceType[] = ["scope", "listener"];

export function isNamed(type: ResourceType): boolean {
  return NAMED.includes(type);
}

export interface Kept {
  /** Whether some client may be using an old version of something. */
  isNeeded(): boolean;
  /** Whether the removal of an entry has to wait; it is then remembered. */
  holds(entry: Entry): boolean;
  /** The entry is wanted again. */
  forget(entry: Entry): void;
  /** Takes back removals that some stream has not sent yet; answers what was taken back. */
  restore(): readonly Entry[];
  /** What may be removed now. */
  take(): readonly Entry[];
}

export function createKept(entriesOf: (type: ResourceType) => ReadonlyMap<string, Entry>): Kept {
  const held = new Set<Entry>();
  const isNeeded = (): boolean =>
    NAMING.some((type) => {
      for (const entry of entriesOf(type).values()) if (entry.present && entry.refusal !== undefined) return true;
      return false;
    });
  return {
    isNeeded,
    holds(entry) {
      if (!isNamed(entry.type) || !entry.present || !isNeeded()) return false;
      held.add(entry);
      return true;
    },
    forget: (entry) => void held.delete(entry),
    restore() {
      const restored: Entry[] = [];
      for (const type of NAMED) {
        for (const entry of entriesOf(type).values()) {
          if (entry.present || entry.wanted === undefined) continue;
          entry.present = true;
          entry.good = entry.wanted;
          held.add(entry);
          restored.push(entry);
        }
      }
      return restored;
    },
    take() {
      if (held.size === 0 || isNeeded()) return [];
      const free = [...held];
      held.clear();
      return free;
    },
  };
}
