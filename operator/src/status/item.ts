/** What the status writer (writer.ts) remembers of one object. There are as many as objects with a status, so it is kept small. */
import type { Shared } from "@gatewarden/core/kinds/shared.ts";
import type { ObjectStatus } from "@gatewarden/core/world.ts";
import type { CurrentStatus } from "./own-part.ts";

export interface Item {
  wanted: ObjectStatus | undefined;
  /** Since when something has been waited for. */
  since: number;
  failures: number;
  /** Digest of what was written last, and of what the server made of it: it may fill in defaults. */
  sent: string | undefined;
  got: string | undefined;
  /** Digest of our part as the server has it; undefined where there is no status of ours yet. */
  seen: string | undefined;
  /**
   * The standings with which nothing was left to do for what is wanted and seen: most proxies that come and go change nothing. Forgotten with
   * either of those.
   */
  settled: string | undefined;
  /** {@link timesOf} the status as the server had it last; undefined where it is to be read again before it is written. */
  times: string | undefined;
}

export function newItem(): Item {
  const nothing = { wanted: undefined, sent: undefined, got: undefined, seen: undefined };
  return { since: 0, failures: 0, ...nothing, settled: undefined, times: undefined };
}

export function setSeen(item: Item, digest: string | undefined): void {
  if (digest === item.seen) return;
  item.seen = digest === item.got ? item.got : digest;
  item.settled = undefined;
}

/** Most objects of a kind say the same of the same Gateway. */
export function compact(status: ObjectStatus, shared: Shared): ObjectStatus {
  const once = <T>(part: T): T => shared.once("", part, () => part);
  switch (status.kind) {
    case "ApiPolicy":
    case "BackendTLSPolicy":
      return { ...status, ancestors: once(status.ancestors) };
    case "HTTPRoute":
      return { ...status, parents: once(status.parents) };
    default:
      return status;
  }
}

/** Kinds of which one change writes many statuses (the consumers of a namespace), and whose new status needs nothing of the old one but times. */
export function keepsTimes(kind: string): boolean {
  return kind === "ApiConsumer" || kind === "ApiGrant";
}

/** What a new status needs to know of the old one. As text, since most are equal. */
export function timesOf(status: unknown): string | undefined {
  const { conditions } = (status ?? {}) as CurrentStatus;
  if (conditions === undefined) return undefined;
  return JSON.stringify(
    conditions.map(({ type, status: state, lastTransitionTime }) => ({ type, status: state, lastTransitionTime })),
  );
}

export function fromTimes(times: string): CurrentStatus {
  return { conditions: JSON.parse(times) as CurrentStatus["conditions"] & object };
}

/** The text that came before, where it is the same again, as in rows of equal objects: one copy of it is kept. */
export function repeated(): (text: string) => string {
  let last = "";
  return (text) => {
    if (text !== last) last = text;
    return last;
  };
}
