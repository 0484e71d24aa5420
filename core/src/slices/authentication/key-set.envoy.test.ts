/** That Envoy takes every set of one key which passes: one that it did not take would keep the whole Gateway from new keys. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Chain, startChain } from "../../../test/chain.ts";
import { createKeys, jwk, keySet } from "../../../test/tokens.ts";
import { jwtExtension, requirement } from "./jwt.ts";
import { type Algorithm, pinKeys } from "./key-set.ts";

const keys = createKeys();
const all: readonly Algorithm[] = ["RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256"];
const place = { in: "header", name: "authorization", prefix: "Bearer " } as const;

function modulus(bytes: number, lead: readonly number[] = []): string {
  const number = randomBytes(bytes);
  number[0] = (number[0] ?? 0) | 0x80;
  number[bytes - 1] = (number[bytes - 1] ?? 0) | 1;
  return Buffer.concat([Buffer.from(lead), number]).toString("base64url");
}
const rsa = (n: string, e = "AQAB"): object => ({ kty: "RSA", n, e });

let chain: Chain;
beforeAll(async () => {
  chain = await startChain({ routes: [] });
}, 60_000);
afterAll(() => chain.stop());

test.each<[string, object]>([
  ["RSA 2048", rsa(modulus(256))],
  ["RSA 8192", rsa(modulus(1_024))],
  ["RSA behind a zero", rsa(modulus(256, [0]))],
  ["RSA with exponent 3", rsa(modulus(256), "Aw")],
  ["RSA with a 32-bit exponent", rsa(modulus(256), Buffer.alloc(4, 255).toString("base64url"))],
  ["P-256", jwk(keys.p256)],
  ["P-384", jwk(keys.p384)],
  ["P-521", jwk(keys.p521)],
  ["Ed25519", jwk(keys.ed25519)],
  ["Ed25519 that is no point", { kty: "OKP", crv: "Ed25519", x: Buffer.alloc(32, 255).toString("base64url") }],
  ["a secret", { kty: "oct", k: randomBytes(32).toString("base64url") }],
  ["a strange kid", jwk(keys.p256, { kid: '\u0000é"\\ \u2028' })],
  ["an empty kid", jwk(keys.p256, { kid: "" })],
  ["a long kid", jwk(keys.p256, { kid: "k".repeat(50_000) })],
])("%s", async (name, key) => {
  const pinned = pinKeys(keySet(key), all, true);
  if (!pinned.ok) throw new Error(pinned.message);
  const issuer = {
    ...{ name, issuer: "https://sso.test", audiences: [], places: [place], claims: [], forwardToken: false },
    ...{ keys: { id: name, jwks: pinned.jwks }, clockSkewSeconds: 1 },
  };
  const { shared } = requirement([issuer], [place]);
  await expect(chain.setExtension("jwt", jwtExtension(new Map([[shared.key, shared.value]])))).resolves.toBeUndefined();
});
