/** How long to wait after the n-th failure in a row. */
import type { Clock } from "../clock.ts";
import type { ApiFailure } from "./client.ts";

export interface Backoff {
  /** The next delay in ms: doubled each time up to the cap, jittered ±50 %, never below what Retry-After asked for. */
  next(failure?: ApiFailure): number;
  reset(): void;
  /**
   * For that long each delay is as short as a first one, whatever Retry-After says, except where we are too many (429): an API server that starts
   * says 5 s for every path that it does not have yet (503) and has it within one or two.
   */
  hurry(forMs: number): void;
}

export function createBackoff(clock: Clock, firstMs: number, capMs: number): Backoff {
  let step = 0;
  let hurriedUntil = Number.NEGATIVE_INFINITY;
  return {
    next(failure) {
      const hurried = clock.elapsed() < hurriedUntil && failure?.status !== 429;
      const base = hurried ? firstMs : Math.min(capMs, firstMs * 2 ** step);
      step = Math.min(step + 1, 20);
      const jittered = base * (0.5 + clock.random());
      const asked = hurried ? undefined : failure?.retryAfterMs;
      // A little more than what was asked for: everybody was given the same second.
      return asked === undefined ? jittered : Math.max(jittered, asked * (1 + clock.random() * 0.2));
    },
    reset() {
      step = 0;
    },
    hurry(forMs) {
      hurriedUntil = clock.elapsed() + forMs;
    },
  };
}
