/**
 * A Gateway's status counts the routes of each listener: with every route that comes or goes it is another one. While routes come and go it is
 * written once a second for all of them; a condition that changes is written at once.
 */
import type { ListEntry, StatusJson } from "./own-part.ts";

const COUNTS_EVERY_MS = 1_000;

export interface Counts {
  /** How long a status has to wait of which nothing but counts differs from what was written last. 0: not at all. */
  restMs(gateway: string, status: StatusJson, nowMs: number): number;
  written(gateway: string, status: StatusJson, nowMs: number): void;
}

export function createCounts(): Counts {
  const last = new Map<string, { readonly text: string; readonly atMs: number }>();
  return {
    restMs(gateway, status, nowMs) {
      const before = last.get(gateway);
      if (before === undefined) return 0;
      const restMs = before.atMs + COUNTS_EVERY_MS - nowMs;
      if (restMs <= 0) last.delete(gateway);
      return restMs > 0 && before.text === withoutCounts(status) ? restMs : 0;
    },
    written: (gateway, status, atMs) => void last.set(gateway, { text: withoutCounts(status), atMs }),
  };
}

/** Nor times: they follow from the rest. */
function withoutCounts(status: StatusJson): string {
  const { conditions, listeners, addresses } = status as StatusJson & ListEntry & { listeners?: readonly ListEntry[] };
  const said = (entry: ListEntry): unknown =>
    entry.conditions?.map(({ type, status: is, reason, message, observedGeneration }) => [
      ...[type, is, reason, message, observedGeneration],
    ]);
  return JSON.stringify([
    said({ conditions: conditions ?? [] }),
    addresses,
    listeners?.map((one) => [one.name, said(one)]),
  ]);
}
