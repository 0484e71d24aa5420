/**
 * Keeps the process small. A start makes several times as much garbage as it keeps, and V8, which measures its limits by that, would let the
 * heap of an operator that has become quiet grow to a multiple of what is alive (docs/performance.md has the numbers).
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** How much the heap may grow, in percent of what was alive, before it is collected again. Small: changes are few and make little. */
const GROWTH_PERCENT = 25;

type Collect = (options: {
  readonly type: "major";
  readonly execution: "sync";
  readonly flavor: "last-resort";
}) => void;

/** Gives back what a start left behind: stops everything for a few hundred ms, so it is for the moment before anybody is served. */
export function settleHeap(): void {
  // V8 reads this flag whenever it sets a new limit, so it holds though the heap is there already.
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as Collect;
  setFlagsFromString("--no-expose-gc");
  collect({ type: "major", execution: "sync", flavor: "last-resort" });
}
