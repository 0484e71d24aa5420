/** Signed tokens (RFC 7519) and key sets (RFC 7517) for tests, good and bad ones. */
import {
  constants,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  sign,
} from "node:crypto";

export type Algorithm = "RS256" | "RS384" | "RS512" | "PS256" | "ES256" | "ES384" | "EdDSA";

export interface Signer {
  readonly algorithm: Algorithm;
  readonly keyId: string;
  readonly privateKey: KeyObject;
  /** The public half, with `kid`, `alg` and `use`. */
  readonly jwk: JsonWebKey;
  /** A token with these claims; `header` overrides the header's members, undefined leaves one out. */
  readonly token: (claims: Claims, header?: Readonly<Record<string, string | undefined>>) => string;
}

export type Claims = Readonly<Record<string, unknown>>;

/** A new key of the kind that the algorithm needs. */
export function createSigner(algorithm: Algorithm, keyId: string = algorithm.toLowerCase()): Signer {
  const privateKey = newKey(algorithm);
  const jwk = { ...createPublicKey(privateKey).export({ format: "jwk" }), kid: keyId, alg: algorithm, use: "sig" };
  const token: Signer["token"] = (claims, header = {}) => {
    const head = encode({ alg: algorithm, typ: "JWT", kid: keyId, ...header });
    const signed = `${head}.${encode(claims)}`;
    return `${signed}.${signatureOf(algorithm, privateKey, signed).toString("base64url")}`;
  };
  return { algorithm, keyId, privateKey, jwk, token };
}

/** The text of a key set. */
export function keySet(...signers: readonly Signer[]): string {
  return JSON.stringify({ keys: signers.map(({ jwk }) => jwk) });
}

/** Claims that every policy accepts whose issuer and audience these are: they expire in an hour. */
export function claimsFor(issuer: string, audience: string, more: Claims = {}): Claims {
  const now = Math.floor(Date.now() / 1000);
  return { iss: issuer, aud: audience, sub: "alice", iat: now - 5, exp: now + 3600, ...more };
}

/** A token without any signature (`alg: none`). */
export function unsignedToken(claims: Claims): string {
  return `${encode({ alg: "none", typ: "JWT" })}.${encode(claims)}.`;
}

/** The old attack: the public key's text used as the secret of an HMAC. */
export function confusedToken(signer: Signer, claims: Claims): string {
  const signed = `${encode({ alg: "HS256", typ: "JWT", kid: signer.keyId })}.${encode(claims)}`;
  const secret = createPublicKey(signer.privateKey).export({ type: "spki", format: "pem" }).toString();
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

function newKey(algorithm: Algorithm): KeyObject {
  if (algorithm === "ES256") return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  if (algorithm === "ES384") return generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
  if (algorithm === "EdDSA") return generateKeyPairSync("ed25519").privateKey;
  return generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
}

function signatureOf(algorithm: Algorithm, key: KeyObject, text: string): Buffer {
  const bytes = Buffer.from(text);
  if (algorithm === "EdDSA") return sign(null, bytes, key);
  const digest = `sha${algorithm.slice(2)}`;
  if (algorithm.startsWith("ES")) return sign(digest, bytes, { key, dsaEncoding: "ieee-p1363" });
  if (algorithm.startsWith("RS")) return sign(digest, bytes, key);
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return sign(digest, bytes, { key, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST });
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
