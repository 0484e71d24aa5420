/** TLS secrets of listeners for SDS: only pairs that Envoy will take and that belong together. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { certificatesFault } from "../envoy/pem.ts";
import { splitId } from "../kinds/meta.ts";
import { optInLine } from "../opt-in.ts";
import { type StoredValues, valueOf } from "../kinds/core/value.ts";
import type { JsonObject } from "../world.ts";
import { TYPE } from "./chain.ts";

/**
 * By its place and not by the Kubernetes Secret: another Secret there is a new certificate for the listener as it is, and neither drains its
 * connections nor lets it wait for one.
 */
export function listenerSecretName(hcm: string, at: number): string {
  return `listener-tls|${hcm}|${String(at)}`;
}

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
    const fault = keyFault(privateKey) ?? chainFault(certificate);
    if (fault !== undefined) return bad(fault);
    return { ok: true, certificate, key, notAfterMs: leaf.validToDate.getTime() };
  } catch {
    return bad("tls.crt or tls.key is no PEM certificate and key");
  }
}

/** What BoringSSL takes: others make Envoy refuse the Secret. */
function keyFault({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): string | undefined {
  if (type === "rsa") {
    const bits = details?.modulusLength ?? 0;
    if (bits < MIN_RSA_BITS) return `the RSA key is shorter than ${String(MIN_RSA_BITS)} bits`;
    return bits > MAX_RSA_BITS ? `the RSA key is longer than ${String(MAX_RSA_BITS)} bits` : undefined;
  }
  const curve = details?.namedCurve ?? "";
  return type === "ec" && CURVES.includes(curve)
    ? undefined
    : "the key is neither RSA nor ECDSA on P-256, P-384 or P-521";
}

const MIN_RSA_BITS = 2_048;
const MAX_RSA_BITS = 8_192;
const CURVES: readonly string[] = ["prime256v1", "secp384r1", "secp521r1"];

function chainFault(certificate: string): string | undefined {
  const fault = certificatesFault(certificate);
  if (fault !== undefined) return `tls.crt: ${fault}`;
  return certificate.split("-----BEGIN ").length > MAX_CHAIN + 1
    ? `tls.crt holds more than ${String(MAX_CHAIN)} certificates`
    : undefined;
}

const MAX_CHAIN = 100;

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
