/**
 * What one owner gives to relations (memo.ts). Kept is cell and member only, in one flat list: there are tens of thousands of gifts, and
 * their values are in the cells.
 */
import type { Node, RelationCells } from "./memo-cells.ts";

/** Cell, member, cell, member … */
export type Given = readonly (Node | string)[];

export const nothingGiven: Given = [];

/** Above this a gift is looked up by index instead of among all. */
const FEW = 16;

/** The gifts of one run, each cell and member once: the last value counts. */
export class Gifts {
  readonly cells: Node[] = [];
  readonly members: string[] = [];
  readonly values: unknown[] = [];
  #index: Map<Node, Map<string, number>> | undefined;

  put(cell: Node, member: string, value: unknown): void {
    const at = this.#find(cell, member);
    if (at >= 0) {
      this.values[at] = value;
      return;
    }
    if (this.#index !== undefined) membersOf(this.#index, cell).set(member, this.cells.length);
    this.cells.push(cell);
    this.members.push(member);
    this.values.push(value);
  }

  #find(cell: Node, member: string): number {
    const { length } = this.cells;
    if (length <= FEW) {
      for (let at = 0; at < length; at += 1) if (this.cells[at] === cell && this.members[at] === member) return at;
      return -1;
    }
    if (this.#index === undefined) {
      this.#index = new Map();
      for (const [at, known] of this.cells.entries()) membersOf(this.#index, known).set(this.members[at] ?? "", at);
    }
    return this.#index.get(cell)?.get(member) ?? -1;
  }
}

/** What an owner gave is replaced by what it gives now: first come the new, so that what stays never goes away in between. */
export function exchange(before: Given, { cells, members, values }: Gifts): Given {
  const left = before.length === 0 ? undefined : new Map<Node, Map<string, true>>();
  if (left !== undefined) eachOf(before, (cell, member) => membersOf(left, cell).set(member, true));
  const kept: (Node | string)[] = new Array<Node | string>(2 * cells.length);
  for (const [at, cell] of cells.entries()) {
    const member = members[at] ?? "";
    const relation = relationOf(cell);
    if (left?.get(cell)?.delete(member) === true) relation.replace(cell, member, values[at]);
    else relation.add(cell, member, values[at]);
    kept[2 * at] = cell;
    kept[2 * at + 1] = member;
  }
  if (left !== undefined)
    for (const [cell, some] of left) for (const member of some.keys()) relationOf(cell).remove(cell, member);
  return kept.length === 0 ? nothingGiven : kept;
}

/** The owner gives nothing any more. */
export function withdraw(before: Given): void {
  eachOf(before, (cell, member) => relationOf(cell).remove(cell, member));
}

function eachOf(given: Given, visit: (cell: Node, member: string) => void): void {
  for (let at = 0; at < given.length; at += 2) visit(given[at] as Node, given[at + 1] as string);
}

function membersOf<V>(by: Map<Node, Map<string, V>>, cell: Node): Map<string, V> {
  const known = by.get(cell);
  if (known !== undefined) return known;
  const members = new Map<string, V>();
  by.set(cell, members);
  return members;
}

function relationOf(cell: Node): RelationCells<unknown> {
  const { relation } = cell.family;
  if (relation === undefined) throw new Error("a gift to what is no cell of a relation");
  return relation;
}
