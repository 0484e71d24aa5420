/** Section `allowlist`: the only addresses that may call. */
import * as z from "zod";
import { entries } from "../../schema/address-entry.ts";
import { later } from "../../schema/later.ts";
import { type Immutable, defaultsTo } from "../../schema/rule.ts";

export const DEFAULTS = { inherit: true } as const;

export const schema = later(() =>
  z.strictObject({
    entries: entries().describe(
      "Addresses that may call; all others are refused. An expired entry admits nobody and still counts.",
    ),
    inherit: defaultsTo(z.boolean(), DEFAULTS.inherit)
      .describe("Whether entries of farther policies are added; false replaces them.")
      .exactOptional(),
  }),
);
export type Spec = Immutable<z.output<ReturnType<typeof schema>>>;
