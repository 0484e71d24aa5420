/** The cells of the graph (memo.ts): what a node is, who reads it, and the multimaps whose cells are inputs. */
import { sameJson } from "./same.ts";

export const CLEAN = 0; // value holds
export const CHECK = 1; // something further up changed; ask the sources
export const DIRTY = 2; // a source changed
export const RUNNING = 3;
export type State = typeof CLEAN | typeof CHECK | typeof DIRTY | typeof RUNNING;

/** One cell of the graph. `family` knows how to compute it; inputs and relation cells are computed by nobody. */
export interface Node {
  readonly family: Family;
  readonly key: string;
  state: State;
  value: unknown;
  sources: readonly Node[];
  readers: Node | Node[] | Set<Node> | undefined;
}

export interface Family {
  readonly stage: string;
  /** Computes and stores the value; true when readers have to know. Undefined for inputs. */
  readonly compute?: (node: Node) => boolean;
  /** Effects only: lower ranks run first. */
  readonly rank?: number;
  /** Of the cells of a relation. */
  readonly relation?: RelationCells<unknown>;
  /** Nobody reads the node any more. */
  readonly forget: (node: Node) => void;
}

/** A multimap that effects and inputs fill. A member stays as long as anybody gives it; readers of a cell run when a member comes, changes or goes. */
export interface Relation<V> {
  /** The live cell: read it, do not keep it. Its order is that of arrival: sort where order matters. */
  get(key: string): ReadonlyMap<string, V>;
  size(key: string): number;
}

export interface Effects {
  add(key: string): void;
  remove(key: string): void;
}

export class RelationCells<V> implements Relation<V> {
  readonly family: Family;
  readonly cells = new Map<string, Node>();
  readonly shared = new Map<string, Map<string, number>>(); // givers beyond the first, by cell and member
  readonly followers: Effects[] = [];
  readonly read: (node: Node) => void;
  readonly changed: (node: Node) => void;

  constructor(stage: string, read: (node: Node) => void, changed: (node: Node) => void) {
    const forget = (node: Node): void => {
      if (cellOf(node).size === 0) this.drop(node);
    };
    this.family = { stage, relation: this, forget };
    this.read = read;
    this.changed = changed;
  }

  cell(key: string): Node {
    let node = this.cells.get(key);
    if (node === undefined) this.cells.set(key, (node = newNode(this.family, key, CLEAN, empty)));
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

  add(node: Node, member: string, value: V): void {
    const { key } = node;
    const cell = cellOf<V>(node);
    if (cell.has(member)) {
      const counts = this.shared.get(key) ?? new Map<string, number>();
      this.shared.set(key, counts.set(member, (counts.get(member) ?? 0) + 1));
      this.replace(node, member, value);
      return;
    }
    node.value = withMember(cell, member, value);
    this.changed(node);
    if (cell.size === 0) for (const follower of this.followers) follower.add(key);
  }

  /** Another node may have taken the key since this one was emptied: that one stays. */
  private drop(node: Node): void {
    if (this.cells.get(node.key) === node) this.cells.delete(node.key);
  }

  replace(node: Node, member: string, value: V): void {
    const cell = cellOf<V>(node);
    if (sameJson(cell.get(member), value)) return;
    node.value = withMember(cell, member, value);
    this.changed(node);
  }

  remove(node: Node, member: string): void {
    const { key } = node;
    const counts = this.shared.get(key);
    const more = counts?.get(member);
    if (counts !== undefined && more !== undefined) {
      if (more > 1) counts.set(member, more - 1);
      else counts.delete(member);
      if (counts.size === 0) this.shared.delete(key);
      return;
    }
    const cell = cellOf<V>(node);
    if (cell instanceof Map) cell.delete(member);
    if (cell instanceof OneMember || cell.size === 0) node.value = empty;
    this.changed(node);
    if (node.value !== empty) return;
    for (const follower of this.followers) follower.remove(key);
    if (node.readers === undefined) this.drop(node);
  }
}

/** Most cells have one member, and a Map costs four times as much. */
class OneMember<V> implements ReadonlyMap<string, V> {
  readonly member: string;
  readonly value: V;

  constructor(member: string, value: V) {
    this.member = member;
    this.value = value;
  }

  get size(): number {
    return 1;
  }
  get(member: string): V | undefined {
    return member === this.member ? this.value : undefined;
  }
  has(member: string): boolean {
    return member === this.member;
  }
  keys(): MapIterator<string> {
    return this.asMap().keys();
  }
  values(): MapIterator<V> {
    return this.asMap().values();
  }
  entries(): MapIterator<[string, V]> {
    return this.asMap().entries();
  }
  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries();
  }
  forEach(visit: (value: V, member: string, map: ReadonlyMap<string, V>) => void): void {
    visit(this.value, this.member, this);
  }
  asMap(): Map<string, V> {
    return new Map([[this.member, this.value]]);
  }
}

/** The cell with the member in it; a Map is changed in place. */
function withMember<V>(cell: ReadonlyMap<string, V>, member: string, value: V): ReadonlyMap<string, V> {
  if (cell instanceof OneMember) {
    return cell.member === member ? new OneMember(member, value) : (cell as OneMember<V>).asMap().set(member, value);
  }
  return cell instanceof Map && cell.size > 0 ? cell.set(member, value) : new OneMember(member, value);
}

/** Cells that are read and hold nothing share it. */
const empty: ReadonlyMap<string, never> = new Map<string, never>();

function cellOf<V>(node: Node): ReadonlyMap<string, V> {
  return node.value as ReadonlyMap<string, V>;
}

export function newNode(family: Family, key: string, state: State, value: unknown): Node {
  return { family, key, state, value, sources: none, readers: undefined };
}

export const none: readonly Node[] = [];

/** Above this a list of readers becomes a set: few have more, and a set costs five times as much. */
const FEW = 8;

export function addReader(source: Node, reader: Node): void {
  const { readers } = source;
  if (readers === undefined) source.readers = reader;
  else if (readers instanceof Set) readers.add(reader);
  else if (!Array.isArray(readers)) source.readers = readers === reader ? reader : [readers, reader];
  else if (!readers.includes(reader)) {
    // Not `push`: it makes room for sixteen more.
    source.readers = readers.length < FEW ? readers.concat([reader]) : new Set([...readers, reader]);
  }
}

export function removeReader(source: Node, reader: Node): void {
  const { readers } = source;
  if (readers === reader) {
    source.readers = undefined;
  } else if (readers instanceof Set) {
    if (readers.delete(reader) && readers.size === 0) source.readers = undefined;
  } else if (Array.isArray(readers)) {
    const rest = readers.filter((one) => one !== reader);
    source.readers = rest.length > 1 ? rest : rest[0];
  }
}

export function readersOf({ readers }: Node): Iterable<Node> {
  if (readers === undefined) return none;
  return readers instanceof Set || Array.isArray(readers) ? readers : [readers];
}
