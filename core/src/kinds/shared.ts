/**
 * Equal parts of objects as one value: teams write the same sections and rules again and again, and each is then parsed once and kept once.
 * Bounded and forgetful; what is not found is made anew, so nothing but time and memory depends on it.
 */

export interface Shared {
  /** The value that `make` makes of `written`: the same one for equal JSON under the same `what`. Never change it. */
  once<V>(what: string, written: unknown, make: () => V): V;
}

/** Shares nothing: for a single object. */
export const unshared: Shared = { once: (_, __, make) => make() };

/** Values of one generation; there are two. */
const MOST = 512;
/** Larger ones are seldom equal, and their text is kept too. */
const LONGEST_TEXT = 2_048;

export function createShared(): Shared {
  let young = new Map<string, unknown>();
  let old = new Map<string, unknown>();
  return {
    once<V>(what: string, written: unknown, make: () => V): V {
      const json = written === undefined ? "" : JSON.stringify(written);
      // JSON has only `null` for numbers that are none.
      if (json === "" || json.length > LONGEST_TEXT || json.includes("null")) return make();
      const text = `${what}\n${json}`;
      let value = young.get(text) as V | undefined;
      if (value !== undefined) return value;
      value = (old.get(text) as V | undefined) ?? make();
      if (young.size >= MOST) {
        old = young;
        young = new Map<string, unknown>();
      }
      young.set(text, value);
      return value;
    },
  };
}
