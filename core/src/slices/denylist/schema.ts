/** Section `denylist`: addresses that may not call, whatever the allowlist says. */
import { z } from "zod";
import { entries } from "../../schema/address-entry.ts";
import { type Immutable, celRules } from "../../schema/rule.ts";

export const schema = z.strictObject({
  entries: entries().describe("Addresses that are refused. An expired entry refuses nobody."),
});
export type Spec = Immutable<z.output<typeof schema>>;
export const cel = celRules(schema);
