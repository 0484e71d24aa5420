/** Section `clientIP`: whose word counts for the client's address. Only on a Gateway or a listener. */
import * as z from "zod";
import { later } from "../../schema/later.ts";
import { listSet } from "../../schema/list.ts";
import { type Immutable, oneOrMore, rule } from "../../schema/rule.ts";
import { cidr } from "../../schema/text.ts";

export const schema = later(() =>
  rule(
    oneOrMore(
      z.strictObject({
        trustedHops: z
          .int()
          .min(0)
          .max(32)
          .describe("How many proxies before this one append to x-forwarded-for; 0: the TCP peer.")
          .exactOptional(),
        trustedProxies: listSet(cidr(), 64)
          .describe("Addresses of proxies whose x-forwarded-for is believed.")
          .exactOptional(),
      }),
      ["trustedHops", "trustedProxies"],
    ),
    {
      cel: "!(has(self.trustedHops) && has(self.trustedProxies))",
      message: "says two ways to find the client",
      fix: "write trustedHops or trustedProxies",
      check: ({ trustedHops, trustedProxies }) => trustedHops === undefined || trustedProxies === undefined,
    },
  ),
);
export type Spec = Immutable<z.output<ReturnType<typeof schema>>>;
