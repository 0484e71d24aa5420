/** What of a fetched text may leave the operator: a JWK Set (RFC 7517) of public keys, with their public members only. */

export type KeySet = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly message: string };

/** Public members only: of a private key pasted by mistake nothing secret remains. Symmetric keys (oct) have no public part. */
const PUBLIC_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  RSA: ["n", "e"],
  EC: ["crv", "x", "y"],
  OKP: ["crv", "x"],
};
const COMMON_MEMBERS = ["kty", "use", "key_ops", "alg", "kid", "x5c", "x5t", "x5t#S256"];
const MOST_KEYS = 256;

/** Parses and cuts down; equal sets give equal text whatever the order of members. */
export function publicKeySet(text: string): KeySet {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { ok: false, message: "the answer is not JSON" };
  }
  const keys = (parsed as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) return { ok: false, message: "the answer is not a JWK Set: it has no list `keys`" };
  if (keys.length > MOST_KEYS) return { ok: false, message: `the set has more than ${MOST_KEYS} keys` };
  const kept = keys.flatMap((key: unknown) => publicKey(key));
  if (kept.length === 0) return { ok: false, message: "the set has no public key of type RSA, EC or OKP" };
  return { ok: true, text: JSON.stringify({ keys: kept }) };
}

function publicKey(key: unknown): readonly Record<string, unknown>[] {
  if (typeof key !== "object" || key === null) return [];
  const members = key as Readonly<Record<string, unknown>>;
  const type = members["kty"];
  const own = typeof type === "string" && Object.hasOwn(PUBLIC_MEMBERS, type) ? PUBLIC_MEMBERS[type] : undefined;
  if (own === undefined || own.some((name) => typeof members[name] !== "string")) return [];
  if (members["use"] === "enc") return [];
  const kept: Record<string, unknown> = {};
  for (const name of [...COMMON_MEMBERS, ...own]) if (members[name] !== undefined) kept[name] = members[name];
  return [kept];
}
