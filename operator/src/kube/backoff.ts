/** How long to wait after the n-th failure in a row. */
import type { Clock } from "../clock.ts";
import type { ApiFailure } from "./client.ts";

export interface Backoff {
  /** The next delay in ms: doubled each time up to the cap, jittered ±50 %, never below what Retry-After asked for. */
  next(failure?: ApiFailure): number;
  reset(): void;
}

export function createBackoff(clock: Clock, firstMs: number, capMs: number): Backoff {
  let step = 0;
  return {
    next(failure) {
      const base = Math.min(capMs, firstMs * 2 ** step);
      step = Math.min(step + 1, 20);
      const jittered = base * (0.5 + clock.random());
      const asked = failure?.retryAfterMs;
      // A little more than what was asked for: everybody was given the same second.
      return asked === undefined ? jittered : Math.max(jittered, asked * (1 + clock.random() * 0.2));
    },
    reset() {
      step = 0;
    },
  };
}
