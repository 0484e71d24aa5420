/**
 * Changes in, outputs out: the one caller of the engine. Until {@link Loop.start} changes are only collected; from then on they are taken in
 * at once when nothing happens, and together when much happens, in pieces that leave the event loop free for the streams of the proxies.
 */
import { inStartOrder } from "@gatewarden/core/start-order.ts";
import type { Change, Engine, Kind, ObjectKey, Output } from "@gatewarden/core/world.ts";
import type { Clock } from "./clock.ts";
import { keyText } from "./kube/kinds.ts";
import { errorText, type Log } from "./log.ts";
import type { Registry } from "./metrics.ts";

export interface Loop {
  /** Notes a change; a newer one of the same object takes its place. */
  put(change: Change): void;
  /** Takes in everything that waits, for the time before anybody is connected; of `later` nothing. Resolves when nothing else waits any more. */
  catchUp(later?: ReadonlySet<Kind>): Promise<void>;
  /** From here on changes are taken in by themselves. */
  start(): void;
  /** How many changes wait. */
  waiting(): number;
  /** Whether a change of this object does. */
  waitsFor(key: ObjectKey): boolean;
  /** How many evaluations there were: a test that waits for "the next one" compares. */
  sequence(): number;
  stop(): void;
}

export interface LoopOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Registry;
  readonly carryOut: (output: Output) => void;
  /** Runs a task as soon as the event loop is free; for tests. */
  readonly soon?: (task: () => void) => void;
  /** Whether work that began at `since` (of `performance.now`) is to be interrupted; for tests. */
  readonly isSpent?: (since: number) => boolean;
}

/** Under churn evaluations begin no closer together than that: each has a fixed cost that a few ms of waiting share out. */
const WINDOW_MS = 5;
/** One piece of work between two looks at the event loop; 20 ms would delay keepalives. An evaluation that takes longer is interrupted. */
const PIECE_MS = 10;
const FIRST_PIECE = 64;
const LARGEST_PIECE = 4_096;
/** Of a first evaluation: the outputs of smaller pieces become garbage early, and memory never returned to the system stays small. */
const CATCH_UP_PIECE = 256;
/** Taken in also while an evaluation is interrupted: what comes of them need not wait for its end (Engine.apply). */
const URGENT: ReadonlySet<Kind> = new Set<Kind>(["Secret", "ApiConsumer", "EndpointSlice"]);
/** Such changes are work, too: an evaluation comes to its end however many there are. */
const LONGEST_OPEN_MS = 10_000;

/** An evaluation that was interrupted. */
interface Open {
  readonly changes: readonly Change[];
  readonly beganMs: number;
  readonly workedMs: number;
}

export function createLoop(options: LoopOptions): Loop {
  const { engine, clock, log, carryOut } = options;
  const soon = options.soon ?? ((task: () => void): void => void setImmediate(task));
  const isSpent = options.isSpent ?? ((since: number): boolean => performance.now() - since > PIECE_MS);
  const metrics = loopMetrics(options.metrics);
  const waiting = new Map<string, Change>();
  let started = false;
  let stopped = false;
  let scheduled = false;
  let lastEndMs = Number.NEGATIVE_INFINITY;
  let sequence = 0;
  let piece = FIRST_PIECE;
  let cancelTimer = (): void => undefined;
  let timerDue = false;
  let open: Open | undefined;

  /** Begins an evaluation, or goes on with the open one. */
  const evaluate = (changes: readonly Change[]): void => {
    const since = performance.now();
    const { beganMs, workedMs, changes: first } = open ?? { beganMs: clock.now(), workedMs: 0, changes };
    const goesOn = open !== undefined;
    if (!goesOn) sequence += 1;
    open = undefined;
    try {
      const output = engine.apply(changes, clock.now(), () => isSpent(since));
      if (output.unfinished === true)
        open = { changes: first, beganMs, workedMs: workedMs + performance.now() - since };
      carryOut(output);
      if (open === undefined) setTimer(output.nextEvaluationMs);
      for (const [stage, units] of Object.entries(output.recomputed)) metrics.recomputed.add(units, { stage });
      for (const { stage, key, message } of output.faults ?? []) {
        // A bug of ours that the core contained: its rule or section is closed, everything else is served.
        metrics.faults.add();
        log.error("a part of an evaluation failed and is closed", { stage, key, error: message });
      }
    } catch (error) {
      // A bug of ours: what was good before stays in force, and the next change is tried as usual.
      metrics.faults.add();
      log.error("an evaluation failed", {
        changes: changes.length,
        first: changes[0] === undefined ? undefined : keyText(changes[0].key),
        error: errorText(error),
        stack: error instanceof Error ? error.stack : undefined,
      });
      // It may be about what came in between: the rest of the open one is tried without.
      if (goesOn && changes.length > 0) timerDue = true;
    }
    metrics.changes.add(changes.length);
    lastEndMs = clock.now();
    if (open !== undefined) return;
    const tookMs = workedMs + performance.now() - since;
    metrics.seconds.observe(tookMs / 1000);
    if (!started) return;
    if (first.length === piece && tookMs < PIECE_MS / 2) piece = Math.min(LARGEST_PIECE, piece * 2);
    else if (tookMs > PIECE_MS) piece = Math.max(1, Math.floor(piece / 2));
  };

  const setTimer = (atMs: number | undefined): void => {
    cancelTimer();
    cancelTimer = (): void => undefined;
    if (atMs === undefined) return;
    // One ms late rather than early: an expiry at T holds at T.
    cancelTimer = clock.after(Math.max(0, atMs - clock.now()) + 1, () => {
      timerDue = true;
      schedule();
    });
  };

  const take = (most: number, wanted: (kind: Kind) => boolean = () => true): Change[] => {
    const taken: Change[] = [];
    for (const [key, change] of waiting) {
      if (taken.length >= most) break;
      if (!wanted(change.key.kind)) continue;
      waiting.delete(key);
      taken.push(change);
    }
    return taken;
  };

  const run = (): void => {
    scheduled = false;
    if (stopped) return;
    if (open !== undefined) {
      evaluate(clock.now() - open.beganMs < LONGEST_OPEN_MS ? take(piece, (kind) => URGENT.has(kind)) : []);
    } else {
      if (waiting.size === 0 && !timerDue) return;
      timerDue = false;
      evaluate(take(piece));
    }
    if (open !== undefined || timerDue || waiting.size > 0) {
      scheduled = true;
      soon(run);
    }
  };

  const schedule = (): void => {
    if (!started || stopped || scheduled) return;
    scheduled = true;
    const restMs = lastEndMs + WINDOW_MS - clock.now();
    if (restMs > 0) clock.after(restMs, run);
    else soon(run);
  };

  /** Of an evaluation that nobody waits for in between; whether there was anything left. */
  const goOn = (): boolean => {
    if (open === undefined || stopped) return false;
    evaluate([]);
    return true;
  };

  return {
    put(change) {
      const key = keyText(change.key);
      // Last come, last served: an object that changes all the time does not hold back the others.
      waiting.delete(key);
      waiting.set(key, change);
      schedule();
    },
    async catchUp(later = new Set()) {
      timerDue = false;
      let changes: readonly Change[];
      do {
        changes = inStartOrder(take(Number.POSITIVE_INFINITY, (kind) => !later.has(kind)));
        for (let at = 0; at === 0 || at < changes.length; at += CATCH_UP_PIECE) {
          evaluate(changes.slice(at, at + CATCH_UP_PIECE));
          do await new Promise<void>(soon);
          while (goOn());
        }
      } while (changes.length > 0 && waiting.size > 0 && !stopped);
    },
    start() {
      started = true;
      if (waiting.size > 0 || timerDue) schedule();
    },
    waiting: () => waiting.size,
    waitsFor: (key) => waiting.has(keyText(key)),
    sequence: () => sequence,
    stop() {
      stopped = true;
      cancelTimer();
    },
  };
}

function loopMetrics(registry: Registry) {
  return {
    changes: registry.counter("gatewarden_changes_total", "Changes of objects that were taken in."),
    faults: registry.counter(
      "gatewarden_evaluation_faults_total",
      "Evaluations, or parts of one, that ended in a bug of ours.",
    ),
    recomputed: registry.counter("gatewarden_recomputed_units_total", "Units of work of the core, by stage."),
    seconds: registry.histogram(
      "gatewarden_evaluation_seconds",
      "Time of one evaluation, without waiting.",
      [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5],
    ),
  };
}
