/** What one stream asked for of one type, what it is still to be told, and the one response that it has not answered yet. */
import type { ResourceType } from "../types.ts";
import type { Content } from "./content.ts";
import type { Entry, Position } from "./entry.ts";
import { isNamed } from "./kept.ts";

/** The response that waits for its answer. */
export interface InFlight {
  readonly nonce: string;
  /** Undefined content: the entry's removal. */
  readonly sent: ReadonlyMap<Entry, Content | undefined>;
  readonly gone: readonly string[];
  readonly stopTimer: () => void;
}

/** A bound for what one client can make the server remember; a gateway has fewer resources of one type. */
export const MOST_NAMES = 50_000;

export class Subscription {
  readonly type: ResourceType;
  /** The client has asked for this type. */
  opened = false;
  wildcard = false;
  /** Names asked for one by one. */
  readonly names = new Set<string>();
  /** Entries whose newest state is to be sent. */
  readonly pending = new Set<Entry>();
  /** Names that were asked for and do not exist: said at once, or the client would wait for them. */
  readonly missing = new Set<string>();
  /** Names that the client still has from an earlier stream and that do not exist any more. */
  readonly gone = new Set<string>();
  /** Parts of a refused response, each to be sent apart. */
  groups: readonly (readonly Entry[])[] = [];
  inFlight: InFlight | undefined = undefined;
  /** A first answer is due even if it is empty: an Envoy waits for it. */
  mustAnswer = false;
  /** Waited for other types for too long. */
  impatient = false;
  stopWaiting: (() => void) | undefined = undefined;

  /** Entries of which the client has no version. */
  readonly #without = new WeakSet<Entry>();
  readonly #refused = new WeakMap<Entry, Set<string>>();

  /** Scopes whose bytes the client may have noted without applying them: see disguiseScope. */
  readonly #shaken = new WeakSet<Entry>();

  constructor(type: ResourceType) {
    this.type = type;
  }

  covers(name: string): boolean {
    return this.wildcard || this.names.has(name);
  }

  position(entry: Entry): Position {
    return { holds: !this.#without.has(entry), refused: this.#refused.get(entry) };
  }

  noteHolds(entry: Entry, holds: boolean): void {
    if (holds) this.#without.delete(entry);
    else this.#without.add(entry);
  }

  noteRefused(entry: Entry, version: string): void {
    const versions = this.#refused.get(entry) ?? new Set<string>();
    this.#refused.set(entry, versions.add(version));
  }

  noteShaken(entry: Entry, shaken: boolean): void {
    if (this.type !== "scope") return;
    if (shaken) this.#shaken.add(entry);
    else this.#shaken.delete(entry);
  }

  isShaken(entry: Entry): boolean {
    return this.#shaken.has(entry);
  }

  owes(entry: Entry): boolean {
    return this.pending.has(entry) || this.inFlight?.sent.has(entry) === true;
  }

  hasAdditions(): boolean {
    if (this.mustAnswer || this.missing.size > 0) return true;
    for (const entry of this.pending) if (entry.present) return true;
    return false;
  }

  /** Removals of scopes, too, take their turn behind additions of other types, however long those last (order.ts). */
  isDue(): boolean {
    return this.hasAdditions() || (this.type === "scope" && this.hasRemovals());
  }

  hasRemovals(): boolean {
    if (this.gone.size > 0) return true;
    for (const entry of this.pending) if (!entry.present) return true;
    return false;
  }

  /** What is gone and may be named by others goes last, or stays for now (kept.ts). */
  isIdle(): boolean {
    const gone = isNamed(this.type) ? 0 : this.gone.size;
    return this.inFlight === undefined && !this.mustAnswer && this.pending.size + this.missing.size + gone === 0;
  }

  /** The entries that the next response is about: those of the next group of a refused one, else all of the phase. */
  next(phase: "additions" | "removals"): readonly Entry[] {
    const belongs = (entry: Entry): boolean => entry.present === (phase === "additions");
    while (this.groups.length > 0) {
      const [group = [], ...rest] = this.groups;
      const left = group.filter((entry) => this.pending.has(entry) && belongs(entry));
      if (left.length > 0) return left;
      this.groups = rest;
    }
    return [...this.pending].filter(belongs);
  }
}
