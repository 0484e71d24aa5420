/** Random choices that a seed repeats. */

export interface Random {
  readonly integer: (below: number) => number;
  readonly chance: (probability: number) => boolean;
  readonly pick: <T>(from: readonly T[]) => T;
  /** Up to `most` of them, in their order. */
  readonly some: <T>(from: readonly T[], most: number) => readonly T[];
}

export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  // Mulberry32.
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const integer = (below: number): number => Math.floor(next() * below);
  return {
    integer,
    chance: (probability) => next() < probability,
    pick: (from) => {
      const found = from[integer(from.length)];
      if (found === undefined) throw new RangeError("nothing to pick from");
      return found;
    },
    some: (from, most) => {
      const count = integer(most + 1);
      const left = [...from];
      while (left.length > count) left.splice(integer(left.length), 1);
      return left;
    },
  };
}
