/** What the graph does to stay small changes no result: values that fade, gifts that are kept without their values, equal parts as one. */
import { expect, test } from "@jest/globals";
import { createShared } from "../src/kinds/shared.ts";
import { createGraph } from "../src/memo.ts";

function unexpected(stage: string, key: string, error: unknown): never {
  throw new Error(`${stage} ${key}`, { cause: error });
}

/** More than are held after a flush. */
const MANY = 3_000;

/** As many values as that, each read by one effect. */
function manyValues() {
  const graph = createGraph(unexpected);
  const input = graph.input<number>("in");
  const other = graph.input<number>("other");
  let runs = 0;
  const large = graph.fading(
    "large",
    (key) => {
      runs += 1;
      return { odd: (input.get(key) ?? 0) % 2 === 1, key };
    },
    { odd: false, key: "" },
  );
  const seen: string[] = [];
  const watch = graph.effects("watch", 1, (key) => {
    seen.push(`${key} ${String(large.get(key).odd)} ${String(other.get(key) ?? "")}`);
  });
  for (let at = 0; at < MANY; at += 1) {
    input.set(`k${at}`, at);
    watch.add(`k${at}`);
  }
  graph.flush();
  return { graph, input, other, seen: (): readonly string[] => seen.splice(0), runs: () => runs };
}

test("a value that faded is computed again when its reader runs for another reason, and counted apart", () => {
  const { graph, other, seen, runs } = manyValues();
  seen();
  other.set("k1", 7);
  expect(graph.flush()).toEqual({ watch: 1, restored: 1 });
  expect(seen()).toEqual(["k1 true 7"]);
  other.set("k1", 8); // held by now
  expect(graph.flush()).toEqual({ watch: 1 });
  expect(runs()).toBe(MANY + 1);
});

test("a faded value that comes out equal stops the change, another one does not, and both are followed by changes of what they read", () => {
  const { graph, input, seen } = manyValues();
  seen();
  input.set("k1", 3);
  expect([graph.flush(), seen()]).toEqual([{ large: 1 }, []]);
  input.set("k2", 3);
  expect([graph.flush(), seen()]).toEqual([{ large: 1, watch: 1 }, ["k2 true "]]);
  input.set("k2", 4);
  expect([graph.flush(), seen()]).toEqual([{ large: 1, watch: 1 }, ["k2 false "]]);
});

test("many gifts of one owner: each cell and member once, the last value counts, and what is not given again goes", () => {
  const graph = createGraph(unexpected);
  const relation = graph.relation<number>("rel");
  const members = Array.from({ length: 40 }, (_, at) => `m${at}`);
  graph.give("owner", (give) => {
    for (const value of [1, 2]) for (const member of members) give(relation, "k", member, value);
  });
  expect([...relation.get("k")]).toEqual(members.map((member) => [member, 2]));
  graph.give("owner", (give) => give(relation, "k", "m7", 3));
  expect([...relation.get("k")]).toEqual([["m7", 3]]);
  graph.give("owner", () => undefined);
  expect(relation.size("k")).toBe(0);
});

test("a cell with one member is a map like any other", () => {
  const graph = createGraph(unexpected);
  const relation = graph.relation<number>("rel");
  graph.give("a", (give) => give(relation, "k", "x", 1));
  const one = relation.get("k");
  expect([one.size, one.get("x"), one.get("y"), one.has("x"), one.has("y")]).toEqual([1, 1, undefined, true, false]);
  expect([[...one], [...one.keys()], [...one.values()], [...one.entries()]]).toEqual([
    [["x", 1]],
    ["x"],
    [1],
    [["x", 1]],
  ]);
  const visited: unknown[] = [];
  one.forEach((value, member) => visited.push([member, value]));
  expect(visited).toEqual([["x", 1]]);
  graph.give("b", (give) => give(relation, "k", "y", 2));
  expect([...relation.get("k")]).toEqual([
    ["x", 1],
    ["y", 2],
  ]);
});

test("equal JSON is made once; other JSON, other kinds and what JSON cannot tell apart are not mixed up", () => {
  const shared = createShared();
  const make = (what: string, written: unknown): object => shared.once(what, written, () => ({ what, written }));
  expect(make("a", { x: 1 })).toBe(make("a", { x: 1 }));
  expect(make("a", { x: 1 })).not.toBe(make("b", { x: 1 }));
  expect(make("a", { x: 1 })).not.toBe(make("a", { x: 2 }));
  expect(make("a", { x: Number.NaN })).not.toBe(make("a", { x: null }));
  expect(make("a", undefined)).not.toBe(make("a", undefined));
  const first = make("a", { x: "kept" });
  for (let at = 0; at < 5_000; at += 1) make("many", at);
  expect(make("a", { x: "kept" })).not.toBe(first); // bounded
});
