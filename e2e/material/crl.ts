/** A certificate revocation list (RFC 5280 section 5) of a test authority. */
import { sign, X509Certificate } from "node:crypto";
import type { Authority } from "../cluster/pki.ts";
import * as der from "../cluster/der.ts";

const ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";
const DAY_MS = 86_400_000;

/** PEM of a list that revokes the given certificates (PEM); an empty list is a list too. */
export function createRevocationList(authority: Authority, revoked: readonly string[]): string {
  const algorithm = der.sequence(der.objectIdentifier(ECDSA_WITH_SHA256));
  const now = new Date();
  const entries = revoked.map((certificate) => {
    const serial = Buffer.from(new X509Certificate(certificate).serialNumber, "hex");
    return der.sequence(der.integer(serial), der.generalizedTime(now));
  });
  const list = der.sequence(
    der.integer(Buffer.from([1])), // version 2
    algorithm,
    authority.name,
    der.generalizedTime(new Date(now.getTime() - DAY_MS)),
    der.generalizedTime(new Date(now.getTime() + 30 * DAY_MS)),
    // The list of entries is left out where it would be empty.
    ...(entries.length === 0 ? [] : [der.sequence(...entries)]),
  );
  const bytes = der.sequence(list, algorithm, der.bitString(sign("sha256", list, authority.key)));
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN X509 CRL-----\n${lines.join("\n")}\n-----END X509 CRL-----\n`;
}
