/** Requests without a break, over connections that are held as long as the other side lets them and over new ones. */
import { setTimeout as wait } from "node:timers/promises";
import type { Answer } from "../client/answer.ts";
import { connectHttp1, type Http1Connection, type RequestSpec, send } from "../client/http1.ts";
import type { Target } from "../client/target.ts";

export interface LoadResult {
  readonly sent: number;
  readonly perSecond: number;
  /** What was answered other than with 200, or why nothing was; a hundred at most. */
  readonly failures: readonly string[];
  /** How often a held connection was given up because the other side had said that it ends. */
  readonly reconnected: number;
}

export interface Load {
  readonly stop: () => Promise<LoadResult>;
}

const HELD = 6;
const FRESH = 2;
const MOST_FAILURES = 100;

/** `ratePerSecond` in all. A request that gets no answer is a failure, also where a connection ended under it. */
export function startLoad(target: Target, request: RequestSpec, ratePerSecond: number): Load {
  const begin = performance.now();
  const failures: string[] = [];
  let sent = 0;
  let reconnected = 0;
  let stopped = false;
  const pauseMs = (1000 * (HELD + FRESH)) / ratePerSecond;
  const count = async (ask: () => Promise<Answer>): Promise<void> => {
    sent += 1;
    const at = performance.now();
    const said = await ask().then(
      ({ status, body }) => (status === 200 ? "" : `${String(status)} ${body.slice(0, 200)}`),
      String,
    );
    if (said === "" || failures.length >= MOST_FAILURES) return;
    const [after, took] = [at - begin, performance.now() - at].map((ms) => String(Math.round(ms)));
    failures.push(`${String(after)} ms after the start, within ${String(took)} ms: ${said}`);
  };
  const paced = async (once: () => Promise<void>): Promise<void> => {
    let next = performance.now() + Math.random() * pauseMs;
    while (!stopped) {
      await once();
      next = Math.max(next + pauseMs, performance.now() - pauseMs);
      await wait(Math.max(0, next - performance.now()));
    }
  };
  const held = async (): Promise<void> => {
    let connection: Http1Connection | undefined;
    await paced(() =>
      count(async () => {
        if (connection?.closed() === true) {
          connection.close();
          connection = undefined;
          reconnected += 1;
        }
        connection ??= await connectHttp1(target);
        return connection.request(request);
      }),
    );
    connection?.close();
  };
  const fresh = (): Promise<void> => paced(() => count(() => send(target, request)));
  const loops = [...Array.from({ length: HELD }, held), ...Array.from({ length: FRESH }, fresh)];
  return {
    stop: async () => {
      stopped = true;
      await Promise.all(loops);
      const seconds = (performance.now() - begin) / 1000;
      return { sent, perSecond: Math.round(sent / seconds), failures, reconnected };
    },
  };
}
