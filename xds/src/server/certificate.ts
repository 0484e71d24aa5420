/**
 * The server's certificate, changed while it serves. grpc-js turns every connection away after an update that does not fit together, so
 * only pairs that were checked get there, and the last good one stays (rules.md, pitfall 20).
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { experimental, type ServerCredentials } from "@grpc/grpc-js";

export type CertificateResult = { readonly ok: true } | { readonly ok: false; readonly message: string };

export interface ServerCertificate {
  readonly credentials: ServerCredentials;
  /** PEM texts; the chain begins with the leaf. Neither is ever quoted in `message`. */
  set(certificate: string, privateKey: string): CertificateResult;
  isSet(): boolean;
}

type CertificateProvider = Parameters<typeof experimental.createCertificateProviderServerCredentials>[0];
type Listener = Parameters<CertificateProvider["addIdentityCertificateListener"]>[0];
type Update = Parameters<Listener>[0];

export function createServerCertificate(): ServerCertificate {
  const listeners = new Set<Listener>();
  let latest: Update = null;
  const provider: CertificateProvider = {
    addCaCertificateListener: () => undefined,
    removeCaCertificateListener: () => undefined,
    addIdentityCertificateListener(listener) {
      listeners.add(listener);
      if (latest !== null) process.nextTick(listener, latest);
    },
    removeIdentityCertificateListener: (listener) => listeners.delete(listener),
  };
  return {
    // The declaration names the first two parameters the wrong way round: identity comes first, no CA as nobody is asked for a certificate.
    credentials: experimental.createCertificateProviderServerCredentials(provider, null, false),
    set(certificate, privateKey) {
      const fault = faultOf(certificate, privateKey);
      if (fault !== undefined) return { ok: false, message: fault };
      latest = { certificate: Buffer.from(certificate), privateKey: Buffer.from(privateKey) };
      for (const listener of listeners) listener(latest);
      return { ok: true };
    },
    isSet: () => latest !== null,
  };
}

function faultOf(certificate: string, privateKey: string): string | undefined {
  try {
    const leaf = new X509Certificate(certificate);
    if (!leaf.checkPrivateKey(createPrivateKey(privateKey))) return "the private key is not that of the certificate";
    createSecureContext({ cert: certificate, key: privateKey });
    return undefined;
  } catch {
    return "certificate or private key cannot be read";
  }
}
