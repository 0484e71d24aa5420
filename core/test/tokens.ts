/** An issuer of tokens for tests: keys of every kind, and tokens of every kind of wrongness, signed by Node. */
import {
  constants,
  createHmac,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  type KeyPairKeyObjectResult,
  sign,
} from "node:crypto";

export type SigningKey = KeyObject | Buffer | string;

export interface TokenKeys {
  readonly rsa: KeyPairKeyObjectResult;
  readonly otherRsa: KeyPairKeyObjectResult;
  readonly smallRsa: KeyPairKeyObjectResult;
  readonly p256: KeyPairKeyObjectResult;
  readonly p384: KeyPairKeyObjectResult;
  readonly p521: KeyPairKeyObjectResult;
  readonly ed25519: KeyPairKeyObjectResult;
}

export function createKeys(): TokenKeys {
  const rsa = (modulusLength: number): KeyPairKeyObjectResult => generateKeyPairSync("rsa", { modulusLength });
  const curve = (namedCurve: string): KeyPairKeyObjectResult => generateKeyPairSync("ec", { namedCurve });
  return {
    rsa: rsa(2048),
    otherRsa: rsa(2048),
    smallRsa: rsa(1024),
    p256: curve("P-256"),
    p384: curve("P-384"),
    p521: curve("P-521"),
    ed25519: generateKeyPairSync("ed25519"),
  };
}

/** The public key as a member of a JWKS. */
export function jwk({ publicKey }: KeyPairKeyObjectResult, members: JsonWebKey = {}): JsonWebKey {
  return { ...publicKey.export({ format: "jwk" }), ...members };
}

export function keySet(...keys: readonly object[]): string {
  return JSON.stringify({ keys });
}

export interface Header {
  readonly alg: string;
  readonly [member: string]: unknown;
}

/** A JWS in compact form (RFC 7515); `alg: none` has an empty signature. */
export function token(header: Header, claims: object, key: SigningKey): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${signature(header.alg, signed, key).toString("base64url")}`;
}

function signature(alg: string, text: string, key: SigningKey): Buffer {
  const digest = `sha${alg.slice(2)}`;
  const content = Buffer.from(text);
  const privateKey = key as KeyObject;
  switch (alg.slice(0, 2)) {
    case "HS":
      return createHmac(digest, key).update(content).digest();
    case "RS":
      return sign(digest, content, privateKey);
    case "PS":
      return sign(digest, content, {
        key: privateKey,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
      });
    case "ES":
      return sign(digest, content, { key: privateKey, dsaEncoding: "ieee-p1363" });
    case "Ed":
      return sign(null, content, privateKey);
    default:
      return Buffer.alloc(0);
  }
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
