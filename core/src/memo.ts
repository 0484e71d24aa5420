/**
 * A small incremental graph: inputs by key, relations (multimaps whose cells are inputs), derived values with recorded reads, and effects
 * that are run when something they read has changed. Work is proportional to the change: a value that comes out equal stops it there.
 * Owner of: who read what. Not here: what the values mean.
 */
import { sameJson } from "./same.ts";

const CLEAN = 0; // value holds
const CHECK = 1; // something further up changed; ask the sources
const DIRTY = 2; // a source changed
const RUNNING = 3;
type State = typeof CLEAN | typeof CHECK | typeof DIRTY | typeof RUNNING;

/** One cell of the graph. `family` knows how to compute it; inputs and relation cells are computed by nobody. */
interface Node {
  readonly family: Family;
  readonly key: string;
  state: State;
  value: unknown;
  sources: readonly Node[];
  readers: Set<Node> | undefined;
}

interface Family {
  readonly stage: string;
  /** Computes and stores the value; true when readers have to know. Undefined for inputs. */
  readonly compute?: (node: Node) => boolean;
  /** Effects only: lower ranks run first. */
  readonly rank?: number;
  /** Nobody reads the node any more. */
  readonly forget: (node: Node) => void;
}

export interface Input<V> {
  get(key: string): V | undefined;
  set(key: string, value: V | undefined): void;
  /** Reads without recording. */
  peek(key: string): V | undefined;
}

export interface Derived<V> {
  get(key: string): V;
}

/** A multimap that effects and inputs fill. A member stays as long as anybody gives it; readers of a cell run when a member comes, changes or goes. */
export interface Relation<V> {
  /** The live cell: read it, do not keep it. Its order is that of arrival: sort where order matters. */
  get(key: string): ReadonlyMap<string, V>;
  size(key: string): number;
}

export type Give = <V>(relation: Relation<V>, key: string, member: string, value: V) => void;

export interface Effects {
  add(key: string): void;
  remove(key: string): void;
}

interface Gift {
  readonly relation: RelationCells<unknown>;
  readonly key: string;
  readonly member: string;
  readonly value: unknown;
}

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

class RelationCells<V> implements Relation<V> {
  readonly family: Family;
  readonly cells = new Map<string, Node>();
  readonly shared = new Map<string, Map<string, number>>(); // givers beyond the first, by cell and member
  readonly followers: Effects[] = [];
  readonly read: (node: Node) => void;
  readonly changed: (node: Node) => void;

  constructor(stage: string, read: (node: Node) => void, changed: (node: Node) => void) {
    this.family = { stage, forget: (node) => void (cellOf(node).size === 0 && this.cells.delete(node.key)) };
    this.read = read;
    this.changed = changed;
  }

  cell(key: string): Node {
    let node = this.cells.get(key);
    if (node === undefined) this.cells.set(key, (node = newNode(this.family, key, CLEAN, new Map())));
    return node;
  }

  get(key: string): ReadonlyMap<string, V> {
    const node = this.cell(key);
    this.read(node);
    return cellOf<V>(node);
  }

  size(key: string): number {
    return this.get(key).size;
  }

  add(key: string, member: string, value: V): void {
    const node = this.cell(key);
    const cell = cellOf<V>(node);
    if (cell.has(member)) {
      const counts = this.shared.get(key) ?? new Map<string, number>();
      this.shared.set(key, counts.set(member, (counts.get(member) ?? 0) + 1));
      this.replace(key, member, value);
      return;
    }
    cell.set(member, value);
    this.changed(node);
    if (cell.size === 1) for (const follower of this.followers) follower.add(key);
  }

  replace(key: string, member: string, value: V): void {
    const node = this.cell(key);
    const cell = cellOf<V>(node);
    if (sameJson(cell.get(member), value)) return;
    cell.set(member, value);
    this.changed(node);
  }

  remove(key: string, member: string): void {
    const counts = this.shared.get(key);
    const more = counts?.get(member);
    if (counts !== undefined && more !== undefined) {
      if (more > 1) counts.set(member, more - 1);
      else counts.delete(member);
      if (counts.size === 0) this.shared.delete(key);
      return;
    }
    const node = this.cell(key);
    const cell = cellOf<V>(node);
    cell.delete(member);
    this.changed(node);
    if (cell.size > 0) return;
    for (const follower of this.followers) follower.remove(key);
    if (node.readers === undefined) this.cells.delete(key);
  }
}

function cellOf<V>(node: Node): Map<string, V> {
  return node.value as Map<string, V>;
}

function newNode(family: Family, key: string, state: State, value: unknown): Node {
  return { family, key, state, value, sources: none, readers: undefined };
}

const none: readonly Node[] = [];

export function createGraph(): Graph {
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
      source.readers?.delete(node);
      if (source.readers?.size === 0) {
        source.readers = undefined;
        orphans.add(source);
      }
    }
    for (const source of sources) (source.readers ??= new Set()).add(node);
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
    for (const reader of node.readers ?? none) mark(reader, DIRTY);
  }

  function mark(node: Node, state: typeof CHECK | typeof DIRTY): void {
    if (node.state >= state) return;
    const known = node.state !== CLEAN;
    node.state = state;
    if (known) return;
    if (node.family.rank !== undefined) enqueue(node, node.family.rank);
    for (const reader of node.readers ?? none) mark(reader, CHECK);
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

  function exchange(owner: string, next: readonly Gift[]): void {
    const before = given.get(owner) ?? [];
    if (next.length === 0) given.delete(owner);
    else given.set(owner, next);
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
      const gift: Gift = { relation: relation as RelationCells<unknown>, key, member, value };
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
          const before = node.value as V | undefined;
          const after = record(node, () => compute(node.key));
          if (before !== undefined && equal(before, after)) return false;
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
          refresh(node);
          read(node);
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
      const owner = (key: string): string => `${stage}\0${key}`;
      const family: Family = {
        stage,
        rank,
        compute(node) {
          if (nodes.get(node.key) !== node) return false; // removed meanwhile
          exchange(
            owner(node.key),
            record(node, () => collect((give) => run(node.key, give))),
          );
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
          exchange(owner(key), []);
          gone?.(key);
        },
      };
    },

    follow(relation, effects) {
      (relation as RelationCells<unknown>).followers.push(effects);
    },

    give: (owner, gifts) => exchange(`\0${owner}`, collect(gifts)),

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

function giftId(gift: Gift): string {
  return `${gift.relation.family.stage}\0${gift.key}\0${gift.member}`;
}
