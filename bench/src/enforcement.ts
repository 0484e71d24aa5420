/** From the write to the API server to the first request that obeys it, on a connection that was open before and on new ones. */
import type { Change, Kind } from "./changes.ts";
import { type Connection, type Endpoint, once, open, type Reply } from "./http-client.ts";
import { pause } from "./stage.ts";
import { seededRandom, summarise, type Summary } from "./statistics.ts";

export interface Enforcement {
  /** Of changes that came first in their pair; the second of each pair is in `undone`. */
  readonly open: Summary;
  readonly fresh: Summary;
  /** How long the write itself took to be answered. */
  readonly write: Summary;
  /** Changes that no request obeyed within the limit. */
  readonly missed: number;
  /** Answers 5xx or none at all while changes were on their way. */
  readonly failed: number;
}

const LIMIT_MS = 10_000;
const OPEN_POLL_MS = 1;
const FRESH_POLL_MS = 3;
const LEAST_PAUSE_MS = 10;
const MORE_PAUSE_MS = 40;

interface Tally {
  readonly open: number[];
  readonly fresh: number[];
  readonly write: number[];
  missed: number;
  failed: number;
}

export async function measureEnforcement(endpoint: Endpoint, kind: Kind, samples: number): Promise<Enforcement> {
  const tally: Tally = { open: [], fresh: [], write: [], missed: 0, failed: 0 };
  const held = await open(endpoint);
  const random = seededRandom(samples);
  for (let taken = 0; taken < samples; taken += 2) {
    for (const change of kind.pair()) {
      await sample(endpoint, held, change, tally);
      // At no fixed distance, so that the samples do not run in step with anything.
      await pause(LEAST_PAUSE_MS + random() * MORE_PAUSE_MS);
    }
  }
  if (held.closed()) tally.failed += 1;
  held.close();
  const { missed, failed } = tally;
  return { open: summarise(tally.open), fresh: summarise(tally.fresh), write: summarise(tally.write), missed, failed };
}

async function sample(endpoint: Endpoint, held: Connection, change: Change, tally: Tally): Promise<void> {
  await change.before?.();
  const began = performance.now();
  const written = change.apply().then(() => void tally.write.push(performance.now() - began));
  const until = async (ask: () => Promise<Reply>, pollMs: number, into: number[]): Promise<void> => {
    for (;;) {
      const reply = await ask();
      const tookMs = performance.now() - began;
      if (reply.status === 0 || reply.status >= 500) tally.failed += 1;
      if (change.obeys(reply)) return void into.push(tookMs);
      if (tookMs > LIMIT_MS) return void (tally.missed += 1);
      await pause(pollMs);
    }
  };
  await Promise.all([
    written,
    until(() => held.request(change.request), OPEN_POLL_MS, tally.open),
    until(() => once(endpoint, change.request), FRESH_POLL_MS, tally.fresh),
  ]);
  await change.after?.();
}
