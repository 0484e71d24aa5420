/** Which keys of a JWKS reach Envoy, and as what. */
import { describe, expect, test } from "@jest/globals";
import { createKeys, jwk, keySet } from "../../../test/tokens.ts";
import { type Algorithm, pinKeys } from "./key-set.ts";

const keys = createKeys();
const defaults: readonly Algorithm[] = ["RS256", "ES256", "PS256", "EdDSA"];

interface Member {
  readonly kid?: string;
  readonly alg?: string;
  readonly [name: string]: unknown;
}

function pinned(set: string, algorithms = defaults, symmetric = false): readonly Member[] {
  const result = pinKeys(set, algorithms, symmetric);
  return result.ok ? (JSON.parse(result.jwks) as { readonly keys: readonly Member[] }).keys : [];
}

const algorithmsOf = (set: string, algorithms = defaults, symmetric = false): readonly unknown[] =>
  pinned(set, algorithms, symmetric).map(({ alg }) => alg);

describe("every key is sent once per algorithm that is allowed for its kind", () => {
  test.each<[string, object, readonly string[]]>([
    ["RSA", jwk(keys.rsa), ["RS256", "PS256"]],
    ["P-256", jwk(keys.p256), ["ES256"]],
    ["P-384", jwk(keys.p384), []],
    ["Ed25519", jwk(keys.ed25519), ["EdDSA"]],
    ["RSA with its own alg", jwk(keys.rsa, { alg: "PS256" }), ["PS256"]],
    ["RSA with an alg that is not allowed", jwk(keys.rsa, { alg: "RS512" }), []],
    ["RSA with an alg of another kind", jwk(keys.rsa, { alg: "HS256" }), []],
    ["P-256 with an alg of another curve", jwk(keys.p256, { alg: "ES384" }), []],
  ])("%s", (_, key, expected) => {
    expect(algorithmsOf(keySet(key))).toEqual(expected);
  });

  test("other algorithms when they are asked for", () => {
    expect(algorithmsOf(keySet(jwk(keys.p384), jwk(keys.p521)), ["ES384", "ES512"])).toEqual(["ES384", "ES512"]);
  });
});

describe("keys that Envoy must not get", () => {
  const rsa = jwk(keys.rsa);
  const p256 = jwk(keys.p256);
  const zeros = Buffer.alloc(32).toString("base64url");
  test.each<[string, unknown]>([
    ["of less than 2048 bits", jwk(keys.smallRsa)],
    [
      "of less than 2048 bits behind zeros",
      { ...rsa, n: Buffer.concat([Buffer.alloc(200), Buffer.alloc(128, 255)]).toString("base64url") },
    ],
    ["of 2047 bits", { ...rsa, n: Buffer.concat([Buffer.from([0x7f]), Buffer.alloc(255, 255)]).toString("base64url") }],
    ["for encryption", jwk(keys.rsa, { use: "enc" })],
    ["for signing only", jwk(keys.rsa, { key_ops: ["sign"] })],
    ["with a kid that is no text", { ...rsa, kid: 7 }],
    ["without modulus", { ...rsa, n: undefined }],
    ["with an even modulus", { ...rsa, n: Buffer.alloc(256, 2).toString("base64url") }],
    ["with exponent 1", { ...rsa, e: "AQ" }],
    ["with a huge exponent", { ...rsa, e: Buffer.alloc(64, 3).toString("base64url") }],
    ["not in base64url", { ...rsa, n: "!!!" }],
    ["off its curve", { ...p256, y: p256.x }],
    ["at no point", { ...p256, x: zeros, y: zeros }],
    ["too short for its curve", { ...p256, x: "AQ" }],
    ["on another curve", { ...p256, crv: "secp256k1" }],
    ["on a curve named like a method", { ...p256, crv: "constructor" }],
    ["of a wrong length", { ...jwk(keys.ed25519), x: "AAAA" }],
    ["Ed448", { ...jwk(keys.ed25519), crv: "Ed448" }],
    ["of unknown kind", { kty: "LMS" }],
    ["that is a secret", { kty: "oct", k: Buffer.alloc(64, 1).toString("base64url") }],
    ["that is no object", "key"],
    ["null", null],
  ])("%s", (_, key) => {
    const all: readonly Algorithm[] = [...defaults, "HS256", "ES384"];
    expect(pinKeys(keySet(key as object), all, false)).toMatchObject({ ok: false });
    // One bad key takes nothing from a good one.
    expect(algorithmsOf(keySet(key as object, jwk(keys.p256)), all)).toEqual(["ES256"]);
  });
});

test("only what verifies is kept: no private members, no certificates, no URLs", () => {
  const { privateKey } = keys.rsa;
  const [key] = pinned(
    keySet({ ...privateKey.export({ format: "jwk" }), kid: "k", x5c: ["MII"], x5u: "http://x", ext: true }),
    ["RS256"],
  );
  expect(Object.keys(key ?? {}).sort()).toEqual(["alg", "e", "kid", "kty", "n"]);
});

describe("secrets", () => {
  const oct = (bytes: number, alg?: string): object => ({
    kty: "oct",
    k: Buffer.alloc(bytes, 1).toString("base64url"),
    ...(alg === undefined ? {} : { alg }),
  });
  const hmac: readonly Algorithm[] = ["HS256", "HS384", "HS512"];
  test("come from a Secret only, and are long enough for their algorithm", () => {
    expect(algorithmsOf(keySet(oct(64)), hmac, true)).toEqual(["HS256", "HS384", "HS512"]);
    expect(algorithmsOf(keySet(oct(32)), hmac, true)).toEqual(["HS256"]);
    expect(algorithmsOf(keySet(oct(32, "HS512")), hmac, true)).toEqual([]);
    expect(algorithmsOf(keySet(oct(16)), hmac, true)).toEqual([]);
    expect(algorithmsOf(keySet(oct(64)), defaults, true)).toEqual([]);
  });

  test("are never what a public key is used as", () => {
    expect(algorithmsOf(keySet(jwk(keys.rsa), jwk(keys.p256), jwk(keys.ed25519)), hmac, true)).toEqual([]);
  });
});

test.each(["", "{", "[]", "{}", '{"keys":{}}', '{"keys":[]}', "null", '"keys"'])("%j is no key set", (text) => {
  expect(pinKeys(text, defaults, false)).toMatchObject({ ok: false });
});

test("no message repeats a key", () => {
  const canary = Buffer.from("canary-secret-canary-secret-canary").toString("base64url");
  const set = keySet({ kty: "oct", k: canary }, { kty: "RSA", n: canary, e: "AQAB", kid: canary });
  expect(JSON.stringify(pinKeys(set, defaults, false))).not.toContain(canary);
});

test("no more keys than anybody needs", () => {
  expect(pinned(keySet(...Array.from({ length: 500 }, () => jwk(keys.p256)))).length).toBe(64);
});
