/**
 * Entries of a shared extension that no route names any more stay in it for a while. An extension reaches a proxy before the scopes that
 * change over to its new entries (make before break), and until they do, routes name the old ones: without those, good credentials would
 * be refused in between. The one place in the core where an output depends on what was before, and only until the grace is over.
 */
import { isOfConsumers } from "./owner.ts";

/**
 * Not the limits of a Gateway: an edit changes their entries in place, and every change of such an extension fills its buckets again.
 * API keys and consumers are looked up by namespace whenever the extension is made: a revoked one goes at once, also from an entry that stays.
 */
function stays(slot: string): boolean {
  return slot === "jwt" || isOfConsumers(slot);
}
/** Longer than a stream holds scopes back for what they wait for (3 s). */
const GRACE_MS = 5_000;
/** They go together: under churn the extension is not put out for each of them. */
const TOGETHER_MS = 1_000;

export interface Retirement<E> {
  /** What has left less than a grace ago; `until` hears when the answer becomes another one. */
  left(
    place: { readonly key: string; readonly slot: string },
    entries: ReadonlyMap<string, E>,
    nowMs: number,
    until: (epochMs: number) => void,
  ): ReadonlyMap<string, E>;
  forget(key: string): void;
  /** The evaluation ends, maybe long after it began: what left in its course is to stay from now on, since proxies hear of it only now. */
  ended(nowMs: number): void;
}

interface Leaving<E> {
  readonly entry: E;
  untilMs: number;
}

export function createRetirement<E>(): Retirement<E> {
  const entriesOf = new Map<string, ReadonlyMap<string, E>>();
  const leavingOf = new Map<string, ReadonlyMap<string, Leaving<E>>>();
  let newest: Leaving<E>[] = []; // in this evaluation
  const graceFrom = (nowMs: number): number => Math.ceil((nowMs + GRACE_MS) / TOGETHER_MS) * TOGETHER_MS;
  return {
    left({ key, slot }, entries, nowMs, until) {
      if (!stays(slot)) return new Map();
      const untilMs = graceFrom(nowMs);
      const leaving = new Map<string, Leaving<E>>(
        [...(leavingOf.get(key) ?? [])].filter(([name, one]) => !entries.has(name) && one.untilMs > nowMs),
      );
      for (const [name, entry] of entriesOf.get(key) ?? []) {
        if (entries.has(name)) continue;
        const one: Leaving<E> = { entry, untilMs };
        leaving.set(name, one);
        newest.push(one);
      }
      entriesOf.set(key, new Map(entries));
      leavingOf.set(key, leaving);
      for (const one of leaving.values()) until(one.untilMs);
      return new Map([...leaving].map(([name, { entry }]) => [name, entry]));
    },
    forget(key) {
      entriesOf.delete(key);
      leavingOf.delete(key);
    },
    ended(nowMs) {
      for (const one of newest) one.untilMs = Math.max(one.untilMs, graceFrom(nowMs));
      newest = [];
    },
  };
}
