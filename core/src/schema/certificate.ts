/** A certificate that cert-manager is to make. */
import * as z from "zod";
import { durationMs } from "./duration.ts";
import { issuerRef } from "./reference.ts";
import { type Immutable, defaultsTo, oneOrMore, rule } from "./rule.ts";
import { duration } from "./text.ts";

export const CERTIFICATE_DEFAULTS = {
  duration: "2160h",
  renewBefore: "720h",
  algorithm: "ECDSA",
  size: { ECDSA: 256, RSA: 2048 },
} as const;

/** Sizes that Envoy's TLS library takes. */
const SIZES = { ECDSA: [256, 384, 521], RSA: [2048, 3072, 4096] } as const;

function privateKey() {
  const shape = z.strictObject({
    algorithm: defaultsTo(z.enum(["ECDSA", "RSA"]), CERTIFICATE_DEFAULTS.algorithm)
      .describe("Algorithm of the key.")
      .exactOptional(),
    size: defaultsTo(z.int().min(256).max(4096), "256 (ECDSA), 2048 (RSA)")
      .describe("Bits of the key.")
      .exactOptional(),
  });
  return rule(oneOrMore(shape, ["algorithm", "size"]), {
    cel: "!has(self.size) || (has(self.algorithm) && self.algorithm == 'RSA' ? self.size in [2048, 3072, 4096] : self.size in [256, 384, 521])",
    message: "has a size that its algorithm does not have",
    fix: "write 256, 384 or 521 for ECDSA, 2048, 3072 or 4096 for RSA",
    check: ({ algorithm = CERTIFICATE_DEFAULTS.algorithm, size }) =>
      size === undefined || SIZES[algorithm].some((known) => known === size),
  });
}

export function certificate() {
  const shape = z.strictObject({
    issuerRef: issuerRef().describe("cert-manager's issuer that signs it."),
    duration: defaultsTo(duration({ min: "1h", max: "99999h" }), CERTIFICATE_DEFAULTS.duration)
      .describe("How long a certificate is valid.")
      .exactOptional(),
    renewBefore: defaultsTo(duration({ min: "5m", max: "99999h" }), "720h, or a third of a shorter duration")
      .describe("How long before its end it is renewed.")
      .exactOptional(),
    privateKey: privateKey().describe("Kind of private key.").exactOptional(),
  });
  return rule(shape, {
    cel: "!has(self.renewBefore) || duration(self.renewBefore) < duration(has(self.duration) ? self.duration : '2160h')",
    message: "would be renewed before it begins",
    fix: "make renewBefore shorter than duration",
    check: ({ duration = CERTIFICATE_DEFAULTS.duration, renewBefore }) =>
      renewBefore === undefined || durationMs(renewBefore) < durationMs(duration),
  });
}

export type CertificateSpec = Immutable<z.output<ReturnType<typeof certificate>>>;
