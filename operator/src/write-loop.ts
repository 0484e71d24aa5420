/** The loop of a writer: what is due is written by one run at a time, and what failed is due again after a pause that grows while anything fails. */
import type { Clock } from "./clock.ts";
import { createBackoff } from "./kube/backoff.ts";
import type { ApiFailure } from "./kube/client.ts";

export interface WriteLoop {
  /** Ids; a run takes out what it takes on. */
  readonly due: Set<string>;
  /** Begins a run where there is a reason and none is under way; after each run it looks again. */
  wake(): void;
  retryLater(id: string, failure: ApiFailure): void;
  stop(): Promise<void>;
}

export interface WriteLoopOptions {
  readonly clock: Clock;
  readonly run: () => Promise<void>;
  /** Whether this process may write. */
  readonly mayRun: () => boolean;
  /** A reason to run beside what is due. */
  readonly asked?: () => boolean;
  /** A run that ends by a fault of ours. */
  readonly onFault: (error: unknown) => void;
}

export function createWriteLoop({ clock, run, mayRun, asked, onFault }: WriteLoopOptions): WriteLoop {
  const due = new Set<string>();
  const failed = new Set<string>();
  const backoff = createBackoff(clock, 1_000, 60_000);
  let running: Promise<void> | undefined;
  let cancelRetry: (() => void) | undefined;

  const wake = (): void => {
    if (running !== undefined || !mayRun() || (due.size === 0 && asked?.() !== true)) return;
    running = run()
      .then(() => {
        if (failed.size === 0) backoff.reset();
      }, onFault)
      .finally(() => {
        running = undefined;
        wake();
      });
  };

  return {
    due,
    wake,
    retryLater(id, failure) {
      failed.add(id);
      cancelRetry ??= clock.after(backoff.next(failure), () => {
        cancelRetry = undefined;
        for (const again of failed) due.add(again);
        failed.clear();
        wake();
      });
    },
    async stop() {
      cancelRetry?.();
      await running;
    },
  };
}
