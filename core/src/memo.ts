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
  newNode,
  type Node,
  none,
  readersOf,
  type Relation,
  RelationCells,
  removeReader,
  RUNNING,
} from "./memo-cells.ts";
import { contentHash } from "./hash.ts";
import { exchange, Gifts, type Given, nothingGiven, withdraw } from "./memo-gifts.ts";
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
  /**
   * A derived value that may be let go of while nobody asks: what remains is its digest, and it is computed again from the same inputs. For
   * values that are large beside what it takes to compute them; they must be JSON.
   */
  fading<V>(stage: string, compute: (key: string) => V, cycle: V): Derived<V>;
  effects(stage: string, rank: number, run: (key: string, give: Give) => void, gone?: (key: string) => void): Effects;
  /** Effects that live exactly as long as their cell of the relation has members. */
  follow(relation: Relation<unknown>, effects: Effects): void;
  /** What an owner outside the graph gives; replaces what it gave before. */
  give(owner: string, gifts: (give: Give) => void): void;
  /**
   * Runs effects that are due, lower ranks first (or those of one rank only), and answers whether none is left. `spent` is asked after each:
   * true ends the run there. What is read is always what follows from the inputs; what was given is as far as effects have run.
   */
  run(spent: () => boolean, only?: number): boolean;
  /** Forgets what nobody reads any more, and returns how many units each stage has computed since the last time. */
  settle(): Record<string, number>;
  /** All that is due, and {@link Graph.settle}. */
  flush(): Record<string, number>;
}

/** What a computation threw, kept as its value: it is thrown again at whoever reads it, until something that it had read changes. */
class Failure {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

/** What is left of a value that was let go of. */
class Faded {
  readonly digest: string;

  constructor(digest: string) {
    this.digest = digest;
  }
}

function digestOf(value: unknown): string {
  return value === undefined ? "" : contentHash(value);
}

/** So many values that could fade are kept after a flush, the newest. */
const HELD = 1_024;

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
  const given = new Map<string, Given>();
  const held = new Set<Node>(); // with a value that may fade, oldest first

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

  /** Infinity where nothing is due. */
  function lowestDue(only: number | undefined): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (const [rank, queue] of due) if (queue.size > 0 && rank < lowest && (only ?? rank) === rank) lowest = rank;
    return lowest;
  }

  function run(spent: () => boolean, only?: number): boolean {
    for (;;) {
      const rank = lowestDue(only);
      const queue = due.get(rank);
      if (queue === undefined) break;
      for (const node of queue) {
        queue.delete(node);
        refresh(node);
        if (lowestDue(only) === Number.POSITIVE_INFINITY) break;
        if (spent()) {
          fade();
          return false;
        }
        if (lowestDue(only) < rank) break; // what it gave wakes an earlier stage
      }
    }
    fade();
    return true;
  }

  function settle(): Record<string, number> {
    collectOrphans();
    const computed = counts;
    counts = {};
    return computed;
  }

  function collectOrphans(): void {
    for (const node of orphans) {
      orphans.delete(node);
      if (node.readers !== undefined || node.family.rank !== undefined) continue;
      link(node, new Set());
      node.family.forget(node);
    }
  }

  function derive<V>(
    stage: string,
    compute: (key: string) => V,
    cycle: V,
    equal: (a: V, b: V) => boolean,
    fades: boolean,
  ): Derived<V> {
    const nodes = new Map<string, Node>();
    const hold = (node: Node): void => {
      if (!fades) return;
      held.delete(node);
      held.add(node);
    };
    const family: Family = {
      stage,
      compute(node) {
        const before = node.value as V | Failure | Faded | undefined;
        const after = attempt(() => record(node, () => compute(node.key)));
        hold(node);
        const same =
          before !== undefined &&
          !(before instanceof Failure) &&
          !(after instanceof Failure) &&
          (before instanceof Faded ? digestOf(after) === before.digest : equal(before, after));
        if (!same || before instanceof Faded) node.value = after;
        return !same;
      },
      forget(node) {
        nodes.delete(node.key);
        held.delete(node);
      },
    };
    return {
      get(key: string): V {
        let node = nodes.get(key);
        if (node === undefined) nodes.set(key, (node = newNode(family, key, DIRTY, undefined)));
        if (node.state === RUNNING) return cycle;
        read(node);
        refresh(node);
        if (node.value instanceof Faded) {
          node.value = restored(node, () => compute(key));
          hold(node);
        }
        if (node.value instanceof Failure) throw node.value.error;
        return node.value as V;
      },
    };
  }

  /** Computes a faded value again. Its sources are known and unchanged: nothing is recorded. */
  function restored<V>(node: Node, compute: () => V): V | Failure {
    const outer = reading;
    reading = undefined;
    node.state = RUNNING;
    counts["restored"] = (counts["restored"] ?? 0) + 1;
    const value = attempt(compute);
    node.state = CLEAN;
    reading = outer;
    return value;
  }

  function fade(): void {
    for (const node of held) {
      if (held.size <= HELD) return;
      held.delete(node);
      if (node.value !== undefined && !(node.value instanceof Failure)) node.value = new Faded(digestOf(node.value));
    }
  }

  function collect(gifts: (give: Give) => void): Gifts {
    const collected = new Gifts();
    gifts((relation, key, member, value) => {
      const cell = cellsOf(relation).cell(key);
      if (cell.readers === undefined) orphans.add(cell); // should the run end before anything is given
      collected.put(cell, member, value);
    });
    return collected;
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

    derived: (stage, compute, cycle, equal = sameJson) => derive(stage, compute, cycle, equal, false),

    fading: (stage, compute, cycle) => derive(stage, compute, cycle, sameJson, true),

    effects(
      stage: string,
      rank: number,
      run: (key: string, give: Give) => void,
      gone?: (key: string) => void,
    ): Effects {
      const nodes = new Map<string, Node>();
      const givenBy = (node: Node): Given => (node.value as Given | undefined) ?? nothingGiven;
      const family: Family = {
        stage,
        rank,
        compute(node) {
          if (nodes.get(node.key) !== node) return false; // removed meanwhile
          const gifts = attempt(() => record(node, () => collect((give) => run(node.key, give))));
          if (gifts instanceof Failure) failed(stage, node.key, gifts.error);
          else node.value = exchange(givenBy(node), gifts);
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
          withdraw(givenBy(node));
          gone?.(key);
        },
      };
    },

    follow(relation, effects) {
      cellsOf(relation).followers.push(effects);
    },

    give(owner, gifts) {
      const next = exchange(given.get(owner) ?? nothingGiven, collect(gifts));
      if (next.length === 0) given.delete(owner);
      else given.set(owner, next);
    },

    run,
    settle,

    flush() {
      run(() => false);
      return settle();
    },
  };
}

/** Every relation is made by `Graph.relation`. */
function cellsOf(relation: Relation<unknown>): RelationCells<unknown> {
  if (!(relation instanceof RelationCells)) throw new Error("a relation of another graph");
  return relation as RelationCells<unknown>;
}
