/** A clock that a test moves. */
import type { Clock } from "../src/clock.ts";

export interface ManualClock extends Clock {
  /** Moves time on, runs what became due in order, and lets promises settle in between. */
  advance(ms: number): Promise<void>;
  /** Sets the machine's date wrong by so much; timers and `elapsed` do not notice. */
  setWall(ms: number): void;
  /** How many timers wait. */
  timers(): number;
}

interface Timer {
  readonly due: number;
  readonly task: () => void;
}

export function createManualClock(startMs = Date.parse("2026-11-24T12:00:00Z"), random = 0.5): ManualClock {
  let now = startMs;
  let wallMs = 0;
  const timers = new Set<Timer>();
  const settle = async (): Promise<void> => {
    // Several turns: a chain of promises may pass through I/O-free microtasks and setImmediate.
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    now: () => now + wallMs,
    elapsed: () => now,
    setWall: (ms) => (wallMs = ms),
    random: () => random,
    after(delayMs, task) {
      const timer: Timer = { due: now + Math.max(0, delayMs), task };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async advance(ms) {
      const end = now + ms;
      await settle();
      for (;;) {
        const next = [...timers].filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0];
        if (next === undefined) break;
        timers.delete(next);
        now = Math.max(now, next.due);
        next.task();
        await settle();
      }
      now = end;
      await settle();
    },
    timers: () => timers.size,
  };
}
