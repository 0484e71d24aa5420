/**
 * From a JWKS to the one that Envoy gets: public members only, every key with the one `alg` that it is for. Envoy has no list of
 * algorithms; without `alg` it takes any that the kind of key can do, so a key is sent once per allowed algorithm (rules A10).
 * A set without a sound key makes Envoy refuse the resource of the whole Gateway, so soundness is checked here, not there.
 */
import { fields, items, text } from "../../kinds/json.ts";
import { isOnCurve } from "./curve.ts";
import type { JwtSpec } from "./schema.ts";

export type Algorithm = NonNullable<JwtSpec["algorithms"]>[number];

export type PinnedKeys =
  | { readonly ok: true; readonly jwks: string; readonly skipped: readonly string[] }
  | { readonly ok: false; readonly message: string };

/** More are of no use to anybody; a token without `kid` is tried against all of them. */
const MAX_KEYS = 64;
const MIN_RSA_BITS = 2_048;
const MAX_RSA_BITS = 8_192;

const CURVES: Readonly<Record<string, Algorithm>> = { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };
const MIN_SECRET_BYTES: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 };

/**
 * `symmetric`: the set comes from a Secret, so it may hold keys for HS*. Thousands of policies share few issuers: the last results are
 * kept, so that their sets are read once and stand in memory once.
 */
export function pinKeys(jwks: string, algorithms: readonly Algorithm[], symmetric: boolean): PinnedKeys {
  const id = JSON.stringify([algorithms, symmetric, jwks]);
  const known = recent.get(id);
  if (known !== undefined) return known;
  const result = pin(jwks, algorithms, symmetric);
  const [oldest] = recent.keys();
  if (recent.size >= MAX_RECENT && oldest !== undefined) recent.delete(oldest);
  recent.set(id, result);
  return result;
}
const recent = new Map<string, PinnedKeys>();
const MAX_RECENT = 64;

function pin(jwks: string, algorithms: readonly Algorithm[], symmetric: boolean): PinnedKeys {
  const parsed = parseJson(jwks);
  if (parsed === undefined) return { ok: false, message: "is not JSON" };
  const keys = items(fields(parsed)["keys"]);
  if (keys.length === 0) return { ok: false, message: 'has no list "keys" with a key in it' };
  const skipped: string[] = [];
  const pinned = keys.slice(0, MAX_KEYS).flatMap((key, at) => {
    const usable = usableKey(fields(key), algorithms, symmetric);
    if (typeof usable !== "string") return usable;
    skipped.push(`keys[${at}] ${usable}`);
    return [];
  });
  if (pinned.length > 0) return { ok: true, jwks: JSON.stringify({ keys: pinned }), skipped };
  return { ok: false, message: `has no key for ${algorithms.join(", ")}: ${skipped.slice(0, 4).join("; ")}` };
}

type Key = Readonly<Record<string, string>>;

/** The key once per algorithm, or why not. */
function usableKey(
  key: ReturnType<typeof fields>,
  allowed: readonly Algorithm[],
  symmetric: boolean,
): readonly Key[] | string {
  const material = materialOf(key);
  if (typeof material === "string") return material;
  if (key["use"] !== undefined && key["use"] !== "sig") return "is not for signatures";
  if (key["key_ops"] !== undefined && !items(key["key_ops"]).includes("verify")) return "is not for verifying";
  if (key["kid"] !== undefined && typeof key["kid"] !== "string") return "has a kid that is not text";
  if (material.kind === "oct" && !symmetric) return "is a secret key that does not come from a Secret";
  const own = key["alg"];
  const algorithms = allowed.filter(
    (algorithm) => material.can.includes(algorithm) && (own === undefined || own === algorithm),
  );
  if (algorithms.length === 0) return "is for another algorithm";
  const kid = text(key["kid"]);
  return algorithms.map((alg) => ({ ...material.members, alg, ...(kid === undefined ? {} : { kid }) }));
}

interface Material {
  readonly kind: string;
  readonly members: Key;
  readonly can: readonly Algorithm[];
}

function materialOf(key: ReturnType<typeof fields>): Material | string {
  switch (key["kty"]) {
    case "RSA":
      return rsa(key);
    case "EC":
      return ellipticCurve(key);
    case "OKP":
      return edwardsCurve(key);
    case "oct":
      return secret(key);
    default:
      return "is of an unknown kind";
  }
}

function rsa(key: ReturnType<typeof fields>): Material | string {
  const [n, e] = [number(key["n"]), number(key["e"])];
  if (n === undefined || e === undefined) return "lacks n or e";
  if (bits(n) < MIN_RSA_BITS) return `is an RSA key of less than ${MIN_RSA_BITS} bits`;
  // BoringSSL takes odd moduli up to 8192 bits and odd exponents from 3 up to 33 bits.
  const sound = bits(n) <= MAX_RSA_BITS && odd(n) && odd(e) && bits(e) >= 2 && bits(e) <= 32;
  if (!sound) return "is no sound RSA key";
  const can = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] as const;
  return { kind: "RSA", members: { kty: "RSA", n: encoded(n), e: encoded(e) }, can };
}

function ellipticCurve(key: ReturnType<typeof fields>): Material | string {
  const crv = text(key["crv"]) ?? "";
  const algorithm = Object.hasOwn(CURVES, crv) ? CURVES[crv] : undefined;
  const [x, y] = [bytes(key["x"]), bytes(key["y"])];
  if (algorithm === undefined) return "is on an unknown curve";
  if (x === undefined || y === undefined || !isOnCurve(crv, x, y)) return `is no point on ${crv}`;
  return { kind: "EC", members: { kty: "EC", crv, x: encoded(x), y: encoded(y) }, can: [algorithm] };
}

function edwardsCurve(key: ReturnType<typeof fields>): Material | string {
  const x = bytes(key["x"]);
  if (key["crv"] !== "Ed25519" || x?.length !== 32) return "is no Ed25519 key";
  return { kind: "OKP", members: { kty: "OKP", crv: "Ed25519", x: encoded(x) }, can: ["EdDSA"] };
}

function secret(key: ReturnType<typeof fields>): Material | string {
  const k = bytes(key["k"]);
  if (k === undefined) return "lacks k";
  const can = (["HS256", "HS384", "HS512"] as const).filter(
    (algorithm) => k.length >= (MIN_SECRET_BYTES[algorithm] ?? 0),
  );
  if (can.length === 0) return "is a secret of less than 32 bytes";
  return { kind: "oct", members: { kty: "oct", k: encoded(k) }, can };
}

/** undefined also for zero, which is no number of any sound key. */
function bytes(value: unknown): Uint8Array | undefined {
  if (typeof value !== "string" || !/^[A-Za-z0-9_-]+={0,2}$/.test(value)) return undefined;
  const decoded = Buffer.from(value, "base64url");
  return decoded.some((byte) => byte !== 0) ? decoded : undefined;
}

/** Without leading zeros, which would make a small number look large. */
function number(value: unknown): Uint8Array | undefined {
  const all = bytes(value);
  return all?.subarray(all.findIndex((byte) => byte !== 0));
}

function bits(number: Uint8Array): number {
  return number.length * 8 - Math.clz32(number[0] ?? 0) + 24;
}

function encoded(content: Uint8Array): string {
  return Buffer.from(content).toString("base64url");
}

function odd(number: Uint8Array): boolean {
  return ((number.at(-1) ?? 0) & 1) === 1;
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return undefined;
  }
}
