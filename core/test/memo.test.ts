import { expect, test } from "@jest/globals";
import { createGraph, type Derived } from "../src/memo.ts";

function unexpected(stage: string, key: string, error: unknown): never {
  throw new Error(`${stage} ${key}`, { cause: error });
}

test("a derived value is computed once, and again only when what it read changes", () => {
  const graph = createGraph(unexpected);
  const input = graph.input<number>("in");
  let runs = 0;
  const double = graph.derived(
    "double",
    (key) => {
      runs++;
      return (input.get(key) ?? 0) * 2;
    },
    0,
  );
  const seen: number[] = [];
  const watch = graph.effects("watch", 1, (key) => void seen.push(double.get(key)));
  watch.add("a");
  input.set("a", 1);
  input.set("b", 7);
  expect(graph.flush()).toEqual({ watch: 1, double: 1 });
  input.set("b", 8); // nobody reads it
  expect(graph.flush()).toEqual({});
  input.set("a", 2);
  graph.flush();
  expect([seen, runs]).toEqual([[2, 4], 2]);
});

test("a value that comes out equal stops the change", () => {
  const graph = createGraph(unexpected);
  const input = graph.input<number>("in");
  const parity = graph.derived("parity", () => ({ odd: (input.get("n") ?? 0) % 2 === 1 }), { odd: false });
  const seen: boolean[] = [];
  graph.effects("watch", 1, () => void seen.push(parity.get("").odd)).add("");
  for (const n of [1, 3, 5, 6]) {
    input.set("n", n);
    graph.flush();
  }
  expect(seen).toEqual([true, false]);
});

test("equal input is no change", () => {
  const graph = createGraph(unexpected);
  const input = graph.input<{ readonly list: readonly number[] }>("in");
  graph.effects("watch", 1, () => void input.get("a")).add("");
  input.set("a", { list: [1] });
  graph.flush();
  input.set("a", { list: [1] });
  expect(graph.flush()).toEqual({});
});

test("a cell of a relation wakes its readers when a member comes, changes or goes, and not for a second giver", () => {
  const graph = createGraph(unexpected);
  const relation = graph.relation<number>("rel");
  const seen: string[] = [];
  graph.effects("watch", 1, () => void seen.push([...relation.get("k")].sort().join(" "))).add("");
  const give = (owner: string, member: string | undefined, value = 1): void => {
    graph.give(owner, (to) => {
      if (member !== undefined) to(relation, "k", member, value);
    });
    graph.flush();
  };
  graph.flush();
  give("x", "a");
  give("y", "a"); // the second giver
  give("x", undefined); // y still gives it
  give("y", "a", 2);
  give("y", "b", 2);
  give("y", undefined);
  expect(seen).toEqual(["", "a,1", "a,2", "b,2", ""]);
});

test("effects follow the members of a relation and take back what they gave", () => {
  const graph = createGraph(unexpected);
  const source = graph.relation<number>("source");
  const target = graph.relation<number>("target");
  const gone: string[] = [];
  const made: string[] = [];
  graph.follow(
    source,
    graph.effects(
      "middle",
      1,
      (key, give) => give(target, key, "", [...source.get(key).values()][0] ?? 0),
      (key) => void gone.push(key),
    ),
  );
  graph.follow(
    target,
    graph.effects(
      "last",
      2,
      (key) => void made.push(`${key}=${[...target.get(key).values()].join()}`),
      (key) => void gone.push(`last ${key}`),
    ),
  );
  graph.give("o", (give) => {
    give(source, "p", "m", 1);
    give(source, "q", "m", 2);
  });
  graph.flush();
  graph.give("o", (give) => give(source, "q", "m", 3));
  graph.flush();
  expect([made, gone]).toEqual([
    ["p=1", "q=2", "q=3"],
    ["last p", "p"],
  ]);
});

test("a value that asks for itself is the cycle's value", () => {
  const graph = createGraph(unexpected);
  const loop: Derived<readonly string[]> = graph.derived<readonly string[]>(
    "loop",
    (key) => [key, ...loop.get(key === "a" ? "b" : "a")],
    ["cycle"],
  );
  const seen: (readonly string[])[] = [];
  graph.effects("watch", 1, () => void seen.push(loop.get("a"))).add("");
  graph.flush();
  expect(seen).toEqual([["a", "b", "cycle"]]);
});

test("what nobody reads any more is forgotten, and the input hears of it", () => {
  const graph = createGraph(unexpected);
  const heard: string[] = [];
  const input = graph.input<string>("in", (key, read) => void heard.push(`${key} ${String(read)}`));
  const selector = graph.input<string>("selector");
  const through = graph.derived("through", (key) => input.get(key) ?? "none", "");
  const seen: string[] = [];
  graph.effects("watch", 1, () => void seen.push(through.get(selector.get("s") ?? "x"))).add("");
  graph.flush();
  selector.set("s", "y");
  input.set("y", "value");
  graph.flush();
  expect([seen, heard]).toEqual([
    ["none", "value"],
    ["x true", "y true", "x false"],
  ]);
});

test("a computation that throws leaves the graph usable", () => {
  const failures: string[] = [];
  const graph = createGraph((stage, key) => void failures.push(`${stage} ${key}`));
  const input = graph.input<number>("in");
  const fragile = graph.derived(
    "fragile",
    () => {
      if (input.get("n") === 1) throw new Error("one");
      return input.get("n") ?? 0;
    },
    0,
  );
  const seen: number[] = [];
  graph.effects("watch", 1, () => void seen.push(fragile.get(""))).add("");
  input.set("n", 1);
  graph.flush();
  input.set("n", 2);
  graph.flush();
  expect([seen, failures]).toEqual([[2], ["watch "]]);
});
