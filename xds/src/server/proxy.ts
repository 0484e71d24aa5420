/** A proxy as the acknowledgement book sees it: it outlives one stream, so that a reconnect is no change of status. */
import type { Entry } from "./entry.ts";

/** What the book asks of a stream. */
export interface Subscriber {
  /** The entry has new content, was removed, or is to be served in another version. `isNew`: no client can have it yet. */
  changed(entry: Entry, isNew: boolean): void;
  /** Sends what may be sent now. */
  flush(): void;
  /** Whether the stream still has to tell its client about the entry, or waits for the answer. */
  owes(entry: Entry): boolean;
}

/** A set of proxies that is empty nearly always, and costs next to nothing then: there are two for each resource. */
export class ProxySet {
  #proxies: Set<Proxy> | undefined;

  get size(): number {
    return this.#proxies?.size ?? 0;
  }
  add(proxy: Proxy): void {
    this.#proxies = (this.#proxies ?? new Set()).add(proxy);
  }
  /** Whether it was in it. */
  delete(proxy: Proxy): boolean {
    const was = this.#proxies?.delete(proxy) === true;
    if (this.#proxies?.size === 0) this.#proxies = undefined;
    return was;
  }
  clear(): void {
    this.#proxies = undefined;
  }
}

export interface Proxy {
  readonly node: string;
  /** Undefined between two streams. */
  stream: Subscriber | undefined;
  /** It has acknowledged a first complete configuration: from then on it counts. */
  complete: boolean;
  /** Cancels the end of its grace between two streams. */
  stopGrace: (() => void) | undefined;
}
