/** Section `denylist`: addresses that may not call, whatever the allowlist says. */
import * as z from "zod";
import { entries } from "../../schema/address-entry.ts";
import { later } from "../../schema/later.ts";
import { type Immutable } from "../../schema/rule.ts";

export const schema = later(() =>
  z.strictObject({ entries: entries().describe("Addresses that are refused. An expired entry refuses nobody.") }),
);
export type Spec = Immutable<z.output<ReturnType<typeof schema>>>;
