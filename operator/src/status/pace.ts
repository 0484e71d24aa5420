/** How fast statuses are written. */
import { sleep, type Clock } from "../clock.ts";

/** So many writes may follow one another at once; beyond that they keep a pace that leaves the API server to others. */
const BURST = 200;
const WRITES_PER_SECOND = 100;

export interface Pace {
  /** Resolves when the next write may begin, or at once when the signal is aborted. */
  take(signal: AbortSignal): Promise<void>;
}

export function createPace(clock: Clock): Pace {
  let tokens = BURST;
  let at = clock.now();
  return {
    async take(signal) {
      const now = clock.now();
      tokens = Math.min(BURST, tokens + ((now - at) / 1000) * WRITES_PER_SECOND) - 1;
      at = now;
      if (tokens < 0) await sleep(clock, (-tokens / WRITES_PER_SECOND) * 1000, signal);
    },
  };
}
