/** Section `transport`: the listener's certificate and TLS version. Only on a Gateway or a listener. */
import * as z from "zod";
import { certificate } from "../../schema/certificate.ts";
import { later } from "../../schema/later.ts";
import { type Immutable, defaultsTo, oneOrMore } from "../../schema/rule.ts";

export const DEFAULTS = { minTLSVersion: "1.2" } as const;

export const schema = later(() =>
  oneOrMore(
    z.strictObject({
      certificate: certificate()
        .describe(
          "cert-manager makes and renews the Secret of the listener's first certificateRef; dnsNames is its hostname.",
        )
        .exactOptional(),
      minTLSVersion: defaultsTo(z.enum(["1.2", "1.3"]), DEFAULTS.minTLSVersion)
        .describe("The oldest TLS version that clients may use.")
        .exactOptional(),
    }),
    ["certificate", "minTLSVersion"],
  ),
);
export type Spec = Immutable<z.output<ReturnType<typeof schema>>>;
