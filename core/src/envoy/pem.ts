/** PEM texts that go to Envoy: checked here, because Envoy would refuse the resource and print what it got. */
import { X509Certificate } from "node:crypto";

/** Why this is no list of certificates; undefined when it is one. */
export function certificatesFault(pem: string): string | undefined {
  const blocks = blocksOf(pem, "CERTIFICATE");
  if (blocks.length === 0) return "holds no PEM block CERTIFICATE";
  const broken = blocks.findIndex((block) => !isCertificate(block));
  return broken === -1 ? undefined : `certificate ${String(broken + 1)} of ${String(blocks.length)} cannot be read`;
}

/** Why these are no revocation lists. Their DER is checked for its length only. */
export function revocationListsFault(pem: string): string | undefined {
  const blocks = blocksOf(pem, "X509 CRL");
  if (blocks.length === 0) return "holds no PEM block X509 CRL";
  return blocks.every(isSequence) ? undefined : "holds a revocation list that cannot be read";
}

function blocksOf(pem: string, label: string): readonly string[] {
  return [...pem.matchAll(new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----`, "g"))].map(
    ([block]) => block,
  );
}

function isCertificate(block: string): boolean {
  try {
    // Not `subject`: a certificate may have none, only alternative names (cert-manager's do).
    return new X509Certificate(block).raw.length > 0;
  } catch {
    return false;
  }
}

/** Whether the block is one DER SEQUENCE without anything behind it. */
function isSequence(block: string): boolean {
  const bytes = Buffer.from(block.replace(/-----[^-]+-----/g, ""), "base64");
  const [tag = 0, first = 0] = bytes;
  if (tag !== 0x30) return false;
  if (first < 0x80) return bytes.length === 2 + first;
  const digits = first & 0x7f;
  return (
    digits <= 4 &&
    bytes.length === 2 + digits + bytes.subarray(2, 2 + digits).reduce((sum, byte) => sum * 256 + byte, 0)
  );
}
