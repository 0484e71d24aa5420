/**
 * The process of load.ts: requests without a break, over connections that are held as long as the other side lets them and over new ones. Gets
 * a plan by message, stops when it is told to (or its parent is gone) and answers with a result.
 */
import { setTimeout as wait } from "node:timers/promises";
import type { Answer } from "../client/answer.ts";
import { connectHttp1, type Http1Connection, send } from "../client/http1.ts";
import type { LoadPlan, LoadResult } from "./load.ts";

/**
 * One request in ten has a connection of its own: many more, and the ports of one address run out in TIME_WAIT. Each connection waits for its
 * answer, so what is asked for is sent as long as answers take less than 50 ms.
 */
const HELD = 45;
const FRESH = 5;
const MOST_FAILURES = 100;

function startLoad({ target, request, ratePerSecond }: LoadPlan): () => Promise<LoadResult> {
  const begin = performance.now();
  const failures: string[] = [];
  const tookMs: number[] = [];
  let sent = 0;
  let failed = 0;
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
    tookMs.push(performance.now() - at);
    if (said === "") return;
    failed += 1;
    if (failures.length >= MOST_FAILURES) return;
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
  return async () => {
    stopped = true;
    await Promise.all(loops);
    const seconds = (performance.now() - begin) / 1000;
    tookMs.sort((a, b) => a - b);
    const atMost = (share: number): number => Math.round(tookMs[Math.ceil(tookMs.length * share) - 1] ?? 0);
    const [p99Ms, slowestMs] = [atMost(0.99), atMost(1)];
    return { sent, failed, failures, reconnected, perSecond: Math.round(sent / seconds), p99Ms, slowestMs };
  };
}

let finish: (() => Promise<LoadResult>) | undefined;
process.on("message", (message: LoadPlan | "stop") => {
  if (message !== "stop") {
    finish = startLoad(message);
    process.send?.("started");
    return;
  }
  void finish?.().then((result) => process.send?.(result, () => process.exit(0)));
});
process.on("disconnect", () => process.exit(1));
