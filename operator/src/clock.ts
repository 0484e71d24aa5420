/** Time and chance as inputs, so that tests own them. Nothing else in this package calls Date.now, setTimeout or Math.random. */

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds since some moment: never set back or forward, and it goes on while the process is stopped. */
  elapsed(): number;
  /** Runs `task` once after `delayMs`; the answer cancels it. */
  after(delayMs: number, task: () => void): () => void;
  /** Uniform in [0, 1). */
  random(): number;
}

/** The longest delay that setTimeout takes without wrapping to 1 ms. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

/** The machine's clock. Timers do not keep the process alive: `main` decides how long it lives. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, Math.max(0, Math.min(delayMs, LONGEST_DELAY_MS)));
    timer.unref();
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};

/** Resolves after `delayMs`, or at once when `signal` is aborted: never rejects, so a stopped loop just reads its signal. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = (): void => {
      cancel();
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const cancel = clock.after(delayMs, finish);
    signal.addEventListener("abort", finish);
  });
}
