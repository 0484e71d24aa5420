/**
 * A small incremental graph: inputs by key, relations (multimaps whose cells are inputs), derived values with recorded reads, and effects
 * that are run when something they read has changed. Work is proportional to the change: a value that comes out equal stops it there.
 * Owner of: who read what. Not here: what the values mean.
 */
import {
  addReader,
  CHECK,
  CLEAN,
  DIRTY,
  type Effects,
  type Family,
  type Gift,
  giftId,
  newNode,
  type Node,
  none,
  readersOf,
  type Relation,
  RelationCells,
  removeReader,
  RUNNING,
} from "./memo-cells.ts";
import { sameJson } from "./same.ts";

export type { Effects, Relation } from "./memo-cells.ts";

export interface Input<V> {
  get(key: string): V | undefined;
  set(key: string, value: V | undefined): void;
  /** Reads without recording. */
  peek(key: string): V | undefined;
}

export interface Derived<V> {
  get(key: string): V;
}

export type Give = <V>(relation: Relation<V>, key: string, member: string, value: V) => void;

export interface Graph {
  /** `observed` hears which keys are read by anything. */
  input<V>(stage: string, observed?: (key: string, read: boolean) => void): Input<V>;
  relation<V>(stage: string): Relation<V>;
  /** `cycle` is the value of a node that asks for itself. */
  derived<V>(stage: string, compute: (key: string) => V, cycle: V, equal?: (a: V, b: V) => boolean): Derived<V>;
  effects(stage: string, rank: number, run: (key: string, give: Give) => void, gone?: (key: string) => void): Effects;
  /** Effects that live exactly as long as their cell of the relation has members. */
  follow(relation: Relation<unknown>, effects: Effects): void;
  /** What an owner outside the graph gives; replaces what it gave before. */
  give(owner: string, gifts: (give: Give) => void): void;
  /** Runs every effect that is due and returns how many units each stage computed. */
  flush(): Record<string, number>;
}

/** What a computation threw, kept as its value: it is thrown again at whoever reads it, until something that it had read changes. */
class Failure {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

function attempt<V>(compute: () => V): V | Failure {
  try {
    return compute();
  } catch (error) {
    return new Failure(error);
  }
}

/** Hears of what threw, where, and why: always a bug of ours. */
export type Failed = (stage: string, key: string, error: unknown) => void;

/** `failed` hears of effects that threw; what they made and gave before stays, and the others run. */
export function createGraph(failed: Failed): Graph {
  let reading: Set<Node> | undefined; // what the running node has read so far
  let counts: Record<string, number> = {};
  const due = new Map<number, Set<Node>>(); // effects to run, by rank
  const orphans = new Set<Node>();
  const given = new Map<string, readonly Gift[]>();

  function read(node: Node): void {
    reading?.add(node);
    if (reading === undefined && node.readers === undefined) orphans.add(node);
  }

  function link(node: Node, sources: Set<Node>): void {
    for (const source of node.sources) {
      if (sources.has(source)) continue;
      removeReader(source, node);
      if (source.readers === undefined) orphans.add(source);
    }
    for (const source of sources) addReader(source, node);
    node.sources = sources.size === 0 ? none : [...sources];
  }

  /** Runs `compute` with its reads recorded as the node's sources. */
  function record<V>(node: Node, compute: () => V): V {
    const outer = reading;
    reading = new Set();
    node.state = RUNNING;
    counts[node.family.stage] = (counts[node.family.stage] ?? 0) + 1;
    try {
      return compute();
    } finally {
      link(node, reading);
      reading = outer;
      node.state = CLEAN;
    }
  }

  function refresh(node: Node): void {
    if (node.state === CHECK) {
      for (const source of node.sources) {
        refresh(source);
        if (node.state !== CHECK) break;
      }
      if (node.state === CHECK) node.state = CLEAN;
    }
    if (node.state === DIRTY && node.family.compute?.(node)) changed(node);
  }

  /** The node's value is another one: its readers compute again, theirs ask. */
  function changed(node: Node): void {
    for (const reader of readersOf(node)) mark(reader, DIRTY);
  }

  function mark(node: Node, state: typeof CHECK | typeof DIRTY): void {
    if (node.state >= state) return;
    const known = node.state !== CLEAN;
    node.state = state;
    if (known) return;
    if (node.family.rank !== undefined) enqueue(node, node.family.rank);
    for (const reader of readersOf(node)) mark(reader, CHECK);
  }

  function enqueue(node: Node, rank: number): void {
    const queue = due.get(rank);
    if (queue === undefined) due.set(rank, new Set([node]));
    else queue.add(node);
  }

  function collectOrphans(): void {
    for (const node of orphans) {
      orphans.delete(node);
      if (node.readers !== undefined || node.family.rank !== undefined) continue;
      link(node, new Set());
      node.family.forget(node);
    }
  }

  /** What an owner gave is replaced by what it gives now: first come the new, so that what stays never goes away in between. */
  function exchange(before: readonly Gift[], next: readonly Gift[]): void {
    if (before.length === 0) {
      for (const gift of next) gift.relation.add(gift.key, gift.member, gift.value);
      return;
    }
    const left = new Map(before.map((gift) => [giftId(gift), gift]));
    for (const gift of next) {
      const id = giftId(gift);
      if (left.delete(id)) gift.relation.replace(gift.key, gift.member, gift.value);
      else gift.relation.add(gift.key, gift.member, gift.value);
    }
    for (const gift of left.values()) gift.relation.remove(gift.key, gift.member);
  }

  function collect(gifts: (give: Give) => void): readonly Gift[] {
    const byId = new Map<string, Gift>();
    gifts((relation, key, member, value) => {
      const gift: Gift = { relation: cellsOf(relation), key, member, value };
      byId.set(giftId(gift), gift);
    });
    return [...byId.values()];
  }

  return {
    input<V>(stage: string, observed?: (key: string, read: boolean) => void): Input<V> {
      const cells = new Map<string, Node>();
      const family: Family = {
        stage,
        forget(node) {
          if (node.value === undefined) cells.delete(node.key);
          observed?.(node.key, false);
        },
      };
      return {
        get(key) {
          let node = cells.get(key);
          if (node === undefined) cells.set(key, (node = newNode(family, key, CLEAN, undefined)));
          if (node.readers === undefined) observed?.(key, true);
          read(node);
          return node.value as V | undefined;
        },
        peek: (key) => cells.get(key)?.value as V | undefined,
        set(key, value) {
          const node = cells.get(key);
          if (node === undefined) {
            if (value !== undefined) cells.set(key, newNode(family, key, CLEAN, value));
            return;
          }
          if (sameJson(node.value, value)) return;
          node.value = value;
          if (value === undefined && node.readers === undefined) cells.delete(key);
          changed(node);
        },
      };
    },

    relation: <V>(stage: string) => new RelationCells<V>(stage, read, changed),

    derived<V>(stage: string, compute: (key: string) => V, cycle: V, equal: (a: V, b: V) => boolean = sameJson) {
      const nodes = new Map<string, Node>();
      const family: Family = {
        stage,
        compute(node) {
          const before = node.value as V | Failure | undefined;
          const after = attempt(() => record(node, () => compute(node.key)));
          if (
            before !== undefined &&
            !(before instanceof Failure) &&
            !(after instanceof Failure) &&
            equal(before, after)
          ) {
            return false;
          }
          node.value = after;
          return true;
        },
        forget: (node) => void nodes.delete(node.key),
      };
      return {
        get(key: string): V {
          let node = nodes.get(key);
          if (node === undefined) nodes.set(key, (node = newNode(family, key, DIRTY, undefined)));
          if (node.state === RUNNING) return cycle;
          read(node);
          refresh(node);
          if (node.value instanceof Failure) throw node.value.error;
          return node.value as V;
        },
      };
    },

    effects(
      stage: string,
      rank: number,
      run: (key: string, give: Give) => void,
      gone?: (key: string) => void,
    ): Effects {
      const nodes = new Map<string, Node>();
      const giftsOf = (node: Node): readonly Gift[] => (node.value as readonly Gift[] | undefined) ?? [];
      const family: Family = {
        stage,
        rank,
        compute(node) {
          if (nodes.get(node.key) !== node) return false; // removed meanwhile
          const gifts = attempt(() => record(node, () => collect((give) => run(node.key, give))));
          if (gifts instanceof Failure) failed(stage, node.key, gifts.error);
          else {
            exchange(giftsOf(node), gifts);
            node.value = gifts;
          }
          return false;
        },
        forget: () => undefined,
      };
      return {
        add(key) {
          if (nodes.has(key)) return;
          const node = newNode(family, key, DIRTY, undefined);
          nodes.set(key, node);
          enqueue(node, rank);
        },
        remove(key) {
          const node = nodes.get(key);
          if (node === undefined) return;
          nodes.delete(key);
          due.get(rank)?.delete(node);
          link(node, new Set());
          exchange(giftsOf(node), []);
          gone?.(key);
        },
      };
    },

    follow(relation, effects) {
      cellsOf(relation).followers.push(effects);
    },

    give(owner, gifts) {
      const next = collect(gifts);
      exchange(given.get(owner) ?? [], next);
      if (next.length === 0) given.delete(owner);
      else given.set(owner, next);
    },

    flush() {
      counts = {};
      for (;;) {
        const rank = Math.min(...[...due].filter(([, queue]) => queue.size > 0).map(([at]) => at));
        const queue = due.get(rank);
        if (queue === undefined) break;
        for (const node of queue) {
          queue.delete(node);
          refresh(node);
          if ([...due].some(([at, other]) => at < rank && other.size > 0)) break; // what it gave wakes an earlier stage
        }
      }
      collectOrphans();
      return counts;
    },
  };
}

/** Every relation is made by `Graph.relation`. */
function cellsOf(relation: Relation<unknown>): RelationCells<unknown> {
  if (!(relation instanceof RelationCells)) throw new Error("a relation of another graph");
  return relation as RelationCells<unknown>;
}
