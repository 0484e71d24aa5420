/** Requests without a break, from a process of its own (load-process.ts): what a test does beside them does not slow them down. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { RequestSpec } from "../client/http1.ts";
import type { Target } from "../client/target.ts";

export interface LoadPlan {
  readonly target: Target;
  readonly request: RequestSpec;
  /** In all. Less where the machine does not manage it. */
  readonly ratePerSecond: number;
}

export interface LoadResult {
  readonly sent: number;
  readonly perSecond: number;
  readonly failed: number;
  /** What was answered other than with 200, or why nothing was, also where a connection ended under a request; a hundred at most. */
  readonly failures: readonly string[];
  /** How often a held connection was given up because the other side had said that it ends. */
  readonly reconnected: number;
  readonly p99Ms: number;
  readonly slowestMs: number;
}

export interface Load {
  readonly stop: () => Promise<LoadResult>;
}

const STOP_LIMIT_MS = 60_000;

/** Resolves when requests are being sent. */
export async function startLoad(plan: LoadPlan): Promise<Load> {
  const execArgv = ["--conditions=source", "--disable-warning=ExperimentalWarning"];
  const child = fork(join(import.meta.dirname, "load-process.ts"), { execArgv });
  const ended = once(child, "exit").then(([status]) => {
    throw new Error(`the load's process ended with status ${String(status)}`);
  });
  // Looked at by whoever waits; until then it is no fault of anybody.
  ended.catch(() => undefined);
  const answer = async (message: LoadPlan | "stop"): Promise<unknown> => {
    const said = once(child, "message", { signal: AbortSignal.timeout(STOP_LIMIT_MS) });
    child.send(message);
    const [first] = (await Promise.race([said, ended])) as readonly unknown[];
    return first;
  };
  try {
    await answer(plan);
  } catch (error) {
    child.kill();
    throw error;
  }
  return {
    stop: async () => {
      try {
        return (await answer("stop")) as LoadResult;
      } finally {
        child.kill();
      }
    },
  };
}
