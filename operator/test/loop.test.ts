import { beforeEach, describe, expect, test } from "@jest/globals";
import type { Change, Engine, Output } from "@gatewarden/core/world.ts";
import { silentLog } from "../src/log.ts";
import { createLoop, type Loop } from "../src/loop.ts";
import { createRegistry } from "../src/metrics.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";

const EMPTY: Output = {
  resources: [],
  statuses: [],
  certificates: [],
  watch: { add: [], remove: [] },
  jwks: { add: [], remove: [] },
  nextEvaluationMs: undefined,
  recomputed: {},
};

const change = (name: string, version = "1"): Change => ({
  key: { kind: "Service", namespace: "a", name },
  object: { metadata: { name, resourceVersion: version } },
});

describe("the loop", () => {
  let clock: ManualClock;
  let seen: { readonly names: readonly string[]; readonly at: number }[];
  let answer: (changes: readonly Change[]) => Output;
  let loop: Loop;
  let start: number;

  beforeEach(() => {
    clock = createManualClock();
    start = clock.now();
    seen = [];
    answer = () => EMPTY;
    const engine: Engine = {
      apply(changes, nowMs) {
        seen.push({
          names: changes.map(({ key, object }) => `${key.name}@${object?.metadata.resourceVersion ?? "gone"}`),
          at: nowMs - start,
        });
        return answer(changes);
      },
    };
    loop = createLoop({ engine, clock, log: silentLog, metrics: createRegistry(), carryOut: () => undefined });
  });

  test("only collects before it is started, and keeps the newest of an object", async () => {
    loop.put(change("a"));
    loop.put(change("b"));
    loop.put(change("a", "2"));
    await clock.advance(1_000);
    expect(seen).toEqual([]);
    await loop.catchUp();
    expect(seen.map(({ names }) => names)).toEqual([["b@1", "a@2"]]);
  });

  test("catches up with everything in pieces, routes last", async () => {
    for (let index = 0; index < 1_000; index += 1) {
      const name = String(index);
      loop.put({
        key: { kind: index % 2 === 0 ? "HTTPRoute" : "Service", namespace: "a", name },
        object: { metadata: { name } },
      });
    }
    await loop.catchUp();
    expect(loop.waiting()).toBe(0);
    const names = seen.flatMap((piece) => piece.names);
    expect(Math.max(...seen.map((piece) => piece.names.length))).toBeLessThan(500);
    expect(new Set(names).size).toBe(1_000);
    expect(names.slice(0, 500).every((text) => Number.parseInt(text) % 2 === 1)).toBe(true);
  });

  test("catches up without the kinds that are to come later, and with them then", async () => {
    const of = (kind: "ApiPolicy" | "HTTPRoute"): Change => ({
      key: { kind, namespace: "a", name: kind },
      object: { metadata: { name: kind } },
    });
    loop.put(of("HTTPRoute"));
    loop.put(of("ApiPolicy"));
    await loop.catchUp(new Set(["HTTPRoute"] as const));
    expect([seen.flatMap(({ names }) => names), loop.waiting()]).toEqual([["ApiPolicy@gone"], 1]);
    await loop.catchUp();
    expect([seen.flatMap(({ names }) => names), loop.waiting()]).toEqual([["ApiPolicy@gone", "HTTPRoute@gone"], 0]);
  });

  test("counts and carries out an evaluation of which a part failed", async () => {
    const registry = createRegistry();
    const carried: Output[] = [];
    const output: Output = { ...EMPTY, faults: [{ stage: "scope", key: "shop/orders", message: "a bug" }] };
    const engine: Engine = { apply: () => output };
    const carryOut = (made: Output): void => void carried.push(made);
    await createLoop({ engine, clock, log: silentLog, metrics: registry, carryOut }).catchUp();
    expect(carried).toEqual([output]);
    expect(registry.render()).toContain("gatewarden_evaluation_faults_total 1\n");
  });

  test("evaluates an empty world, too", async () => {
    await loop.catchUp();
    expect(seen.map(({ names }) => names)).toEqual([[]]);
  });

  test("takes a change in at once when idle, and those of a burst together", async () => {
    loop.start();
    loop.put(change("a"));
    await clock.advance(0);
    expect(seen).toEqual([{ names: ["a@1"], at: 0 }]);
    loop.put(change("b"));
    await clock.advance(1);
    loop.put(change("c"));
    await clock.advance(10);
    expect(seen[1]).toEqual({ names: ["b@1", "c@1"], at: 5 });
  });

  test("takes many changes in pieces and loses none", async () => {
    loop.start();
    for (let index = 0; index < 1_000; index += 1) loop.put(change(`s${index}`));
    while (loop.waiting() > 0) await clock.advance(10);
    expect(seen.length).toBeGreaterThan(1);
    expect(Math.min(...seen.map(({ names }) => names.length))).toBeGreaterThan(0);
    expect(new Set(seen.flatMap(({ names }) => names)).size).toBe(1_000);
  });

  test("evaluates again when something expires, not before", async () => {
    answer = (changes) => ({ ...EMPTY, nextEvaluationMs: changes.length > 0 ? start + 60_000 : undefined });
    loop.start();
    loop.put(change("a"));
    await clock.advance(59_999);
    expect(seen).toHaveLength(1);
    await clock.advance(10);
    expect(seen[1]).toEqual({ names: [], at: 60_001 });
    await clock.advance(600_000);
    expect(seen).toHaveLength(2);
  });

  test("goes on after a fault of the engine", async () => {
    answer = () => {
      throw new Error("a bug");
    };
    loop.start();
    loop.put(change("a"));
    await clock.advance(10);
    answer = () => EMPTY;
    loop.put(change("b"));
    await clock.advance(10);
    expect(seen.map(({ names }) => names)).toEqual([["a@1"], ["b@1"]]);
  });

  test("interrupts a long evaluation: keys, certificates and endpoints get in, everything else waits for its end", () => {
    const steps: (readonly string[])[] = [];
    const carried: Output[] = [];
    let left = 0;
    const engine: Engine = {
      apply(changes, _, spent) {
        steps.push(changes.map(({ key }) => `${key.kind} ${key.name}`));
        if (left === 0) left = 5; // units of work
        do left -= 1;
        while (left > 0 && spent?.() !== true);
        return left > 0 ? { ...EMPTY, unfinished: true } : { ...EMPTY, recomputed: { units: 5 } };
      },
    };
    const registry = createRegistry();
    const carryOut = (output: Output): void => void carried.push(output);
    const turns: (() => void)[] = []; // of the event loop
    const soon = (task: () => void): void => void turns.push(task);
    loop = createLoop({ engine, clock, log: silentLog, metrics: registry, carryOut, soon, isSpent: () => true });
    loop.start();
    loop.put(change("a"));
    turns.shift()?.();
    expect(steps).toEqual([["Service a"]]);
    loop.put(change("b"));
    for (const kind of ["Secret", "ApiConsumer", "EndpointSlice"] as const)
      loop.put({ key: { kind, namespace: "a", name: "c" }, object: undefined });
    turns.shift()?.();
    expect(steps[1]).toEqual(["Secret c", "ApiConsumer c", "EndpointSlice c"]);
    expect([loop.waiting(), turns.length, loop.sequence()]).toEqual([1, 1, 1]);
    for (const turn of [2, 3, 4]) {
      turns.shift()?.();
      expect(steps[turn]).toEqual([]);
    }
    expect(carried.map(({ unfinished }) => unfinished)).toEqual([true, true, true, true, undefined]);
    expect(registry.render()).toContain("gatewarden_evaluation_seconds_count 1\n");
    turns.shift()?.();
    expect([steps[5], loop.waiting(), loop.sequence()]).toEqual([["Service b"], 0, 2]);
  });

  test("an evaluation comes to its end however many keys change meanwhile, and a fault in between does not leave it open", async () => {
    let left = 1_000;
    const taken: number[] = [];
    const engine: Engine = {
      apply(changes) {
        taken.push(changes.length);
        if (changes.some(({ object }) => object?.metadata.name === "bad")) throw new Error("a bug");
        left -= 1;
        return left > 0 ? { ...EMPTY, unfinished: true } : EMPTY;
      },
    };
    const turns: (() => void)[] = [];
    const soon = (task: () => void): void => void turns.push(task);
    const options = { engine, clock, log: silentLog, metrics: createRegistry(), carryOut: () => undefined };
    loop = createLoop({ ...options, soon });
    loop.start();
    const secret = (name: string): Change => ({
      key: { kind: "Secret", namespace: "a", name },
      object: { metadata: { name } },
    });
    loop.put(change("a"));
    turns.shift()?.();
    loop.put(secret("bad"));
    turns.shift()?.();
    for (let turn = 0; turn < 998; turn += 1) {
      loop.put(secret("good"));
      turns.shift()?.();
      await clock.advance(20);
    }
    expect(left).toBe(1);
    expect(taken.at(-1)).toBe(0); // after ten seconds
    turns.shift()?.();
    expect(left).toBe(0);
  });

  test("does nothing after it was stopped", async () => {
    answer = () => ({ ...EMPTY, nextEvaluationMs: start + 100 });
    loop.start();
    loop.put(change("a"));
    await clock.advance(0);
    loop.stop();
    loop.put(change("b"));
    await clock.advance(1_000);
    expect(seen).toHaveLength(1);
  });
});
