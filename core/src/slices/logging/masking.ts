/** Headers whose values are never recorded (rules R43), also where a policy names them. */

const CREDENTIAL_HEADERS: ReadonlySet<string> = new Set([
  "authorization",
  "proxy-authorization",
  "authentication-info",
  "www-authenticate",
  "cookie",
  "set-cookie",
  "signature",
  "signature-input",
  "dpop",
  "x-amz-security-token",
  "x-forwarded-client-cert",
]);

/** A name that speaks of a credential is one. */
const CREDENTIAL_WORD =
  /(token|secret|passw(or)?d|passphrase|api-?key|apikey|credential|session|jwt|otp|(^|-)(key|auth|pin|sid)($|-))/;

export function isCredential(header: string): boolean {
  const name = header.toLowerCase();
  return CREDENTIAL_HEADERS.has(name) || CREDENTIAL_WORD.test(name);
}
