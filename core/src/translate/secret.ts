/** TLS secrets of listeners for SDS: only pairs that Envoy will take and that belong together. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { splitId } from "../kinds/meta.ts";
import { optInLine } from "../opt-in.ts";
import { type StoredValues, valueOf } from "../kinds/core/value.ts";
import type { JsonObject } from "../world.ts";
import { TYPE } from "./chain.ts";

export type Pair =
  | { readonly ok: true; readonly certificate: string; readonly key: string; readonly notAfterMs: number }
  | { readonly ok: false; readonly reason: "InvalidCertificateRef" | "RefNotPermitted"; readonly message: string };

/** `id` is `namespace/name`. Messages never hold content. */
export function readPair(id: string, stored: StoredValues | undefined): Pair {
  const bad = (message: string): Pair => ({
    ok: false,
    reason: "InvalidCertificateRef",
    message: `Secret ${id}: ${message}`,
  });
  if (stored === undefined) return bad("does not exist");
  if (stored.denied) return { ok: false, reason: "RefNotPermitted", message: optInLine(splitId(id).namespace) };
  const certificate = text(valueOf(stored, "tls.crt"));
  const key = text(valueOf(stored, "tls.key"));
  if (certificate === "" || key === "") return bad("tls.crt or tls.key is empty");
  try {
    const leaf = new X509Certificate(certificate);
    const privateKey = createPrivateKey(key);
    if (!leaf.checkPrivateKey(privateKey)) return bad("tls.key does not belong to tls.crt");
    if (privateKey.asymmetricKeyType === "rsa" && (privateKey.asymmetricKeyDetails?.modulusLength ?? 0) < 2048) {
      return bad("the RSA key is shorter than 2048 bits");
    }
    return { ok: true, certificate, key, notAfterMs: leaf.validToDate.getTime() };
  } catch {
    return bad("tls.crt or tls.key is no PEM certificate and key");
  }
}

function text(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "" : Buffer.from(bytes).toString("utf8").trim();
}

export function secretJson(name: string, { certificate, key }: Extract<Pair, { ok: true }>): JsonObject {
  return {
    "@type": `${TYPE}extensions.transport_sockets.tls.v3.Secret`,
    name,
    tls_certificate: { certificate_chain: { inline_string: certificate }, private_key: { inline_string: key } },
  };
}
