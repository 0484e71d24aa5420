/** Identities that a client certificate can carry. */
import * as z from "zod";
import { atomicList } from "./list.ts";
import type { Immutable } from "./rule.ts";
import { text } from "./text.ts";

export const MAX_IDENTITIES = 64;

function identity() {
  return z.strictObject({
    type: z
      .enum(["Exact", "Prefix", "Suffix", "Regex"])
      .describe("How `value` is compared; Regex is RE2 over the whole name."),
    san: z.enum(["URI", "DNS", "Email"]).describe("Kind of subject alternative name."),
    value: text().describe("What it is compared with."),
  });
}

export type Identity = Immutable<z.output<ReturnType<typeof identity>>>;

export function identities(min = 1, max = MAX_IDENTITIES) {
  return atomicList(identity(), max, min);
}
