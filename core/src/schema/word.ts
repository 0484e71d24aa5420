/** Words that YAML 1.1, which kubectl reads, takes for booleans: an unquoted `Off` arrives as `false` and means Off. */
import * as z from "zod";

/** Metadata key: the CRD must take `false` beside the words. CEL cannot see such a field, which has no one type. */
export const OFF_IS_FALSE = "x-gatewarden-off-is-false";

export function wordOrOff<const W extends readonly [string, ...string[]]>(words: W) {
  const all = z.enum([...words, "Off"] as const);
  return z.preprocess((value) => (value === false ? "Off" : value), all).meta({ [OFF_IS_FALSE]: true });
}
