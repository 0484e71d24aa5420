/** Short forms for the scenarios about TLS: HTTPS listeners, and calls of clients with and without certificates. */
import { connectHttp1, type RequestSpec } from "../client/http1.ts";
import type { ClientTls, Target } from "../client/target.ts";
import { type Authority, issue, type KeyPair, type LeafRequest } from "../cluster/pki.ts";
import type { Tenant } from "../harness/tenant.ts";
import { verdictOf } from "./authentication-manifest.ts";

/** An HTTPS listener for a host with the certificate of Secret `secret`. */
export function httpsListener(name: string, port: number, hostname: string | undefined, secret: string): object {
  return {
    name,
    port,
    protocol: "HTTPS",
    ...(hostname === undefined ? {} : { hostname }),
    tls: { certificateRefs: [{ name: secret }] },
  };
}

/** A TLS Secret with a certificate of `authority` for these names. */
export async function serverSecret(
  tenant: Tenant,
  name: string,
  authority: Authority,
  dnsNames: readonly string[],
): Promise<KeyPair> {
  const pair = issue(authority, { commonName: name, dnsNames, usages: ["server"] });
  await tenant.secret(name, { "tls.crt": pair.certificate, "tls.key": pair.privateKey }, "kubernetes.io/tls");
  return pair;
}

/** A certificate for clients. */
export function clientPair(authority: Authority, more: Partial<LeafRequest> = {}): KeyPair {
  return issue(authority, { commonName: "erp", usages: ["client"], ...more });
}

/** What a call over TLS comes to: its verdict, or `no connection` where the handshake, or the first read after it, fails. */
export async function overTls(target: Target, request: RequestSpec): Promise<string> {
  let connection;
  try {
    connection = await connectHttp1(target);
    return verdictOf(await connection.request(request));
  } catch (error) {
    const { message } = error as Error;
    // TLS 1.3 tells a client only after its handshake that its certificate is refused: the connection ends before an answer.
    if (/closed before|ECONNRESET|EPIPE|alert|socket|disconnected/i.test(message)) return "no connection";
    throw error;
  } finally {
    connection?.close();
  }
}

/** The client's side of TLS: the name it asks for, whom it trusts, and its certificate. */
export function clientTls(serverName: string, authority: Authority, pair?: KeyPair): ClientTls {
  return { serverName, authority: authority.certificate, ...(pair ?? {}) };
}
