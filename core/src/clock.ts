/** Time as an input: whoever says "until then" is computed again then, and the earliest such time is when the engine wants to be called. */
import type { Graph, Input } from "./memo.ts";

export interface Clock {
  readonly nowMs: () => number;
  /** Records that the result of the running computation holds only until then. */
  until(epochMs: number): void;
  /** Moves on; what held until now or earlier is due. */
  advance(nowMs: number): void;
  next(): number | undefined;
}

export function createClock(graph: Graph): Clock {
  let now = 0;
  const waiting = new Set<number>();
  const passed: Input<true> = graph.input("clock", (key, read) => {
    if (read) {
      waiting.add(Number(key));
      return;
    }
    waiting.delete(Number(key));
    passed.set(key, undefined);
  });
  return {
    nowMs: () => now,
    until(epochMs) {
      if (epochMs > now) passed.get(String(epochMs));
    },
    advance(nowMs) {
      now = nowMs;
      for (const at of waiting) {
        if (at > now) continue;
        waiting.delete(at);
        passed.set(String(at), true);
      }
    },
    next: () => (waiting.size === 0 ? undefined : Math.min(...waiting)),
  };
}
