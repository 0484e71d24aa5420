/** A token judged for real: issuer, time, audience, signature, in the order of Envoy's jwt_authn, whose first complaint is the answer. */
import { constants, createHmac, createPublicKey, type JsonWebKey, timingSafeEqual, verify } from "node:crypto";
import type { JsonObject, JsonValue } from "../../world.ts";
import type { Issuer } from "./model.ts";

export type TokenVerdict =
  | { readonly ok: true; readonly claims: JsonObject; readonly issuer: Issuer }
  | {
      readonly ok: false;
      readonly why: "Missing" | "Malformed" | "Issuer" | "Expired" | "Refused" | "NoKeys";
      readonly reason: string;
    };

/** Any of the issuers may have issued it. */
export function verifyToken(tokens: readonly string[], issuers: readonly Issuer[], nowMs: number): TokenVerdict {
  let verdict: TokenVerdict = refused("Missing", "no token");
  for (const issuer of issuers) {
    const one = ofIssuer(tokens, issuer, nowMs);
    if (one.ok) return one;
    // A complaint of the issuer whose token it is says more than that it is no other's.
    if (
      verdict.ok ||
      verdict.why === "Missing" ||
      verdict.why === "Issuer" ||
      (one.why !== "Missing" && one.why !== "Issuer")
    )
      verdict = one;
  }
  return verdict;
}

/** Of several copies all have to be good; the last is read first. */
function ofIssuer(tokens: readonly string[], issuer: Issuer, nowMs: number): TokenVerdict {
  let last: TokenVerdict = refused("Missing", "no token");
  for (const token of tokens.toReversed()) {
    last = one(token, issuer, nowMs);
    if (!last.ok) return last;
  }
  return last;
}

function refused(why: Extract<TokenVerdict, { ok: false }>["why"], reason: string): TokenVerdict {
  return { ok: false, why, reason };
}

function one(token: string, issuer: Issuer, nowMs: number): TokenVerdict {
  const parts = token.split(".");
  const [head = "", body = "", mark = ""] = parts;
  const header = jsonOf(head);
  const claims = jsonOf(body);
  const signature = bytesOf(mark);
  if (parts.length !== 3 || header === undefined || claims === undefined || signature === undefined)
    return refused("Malformed", "the token is no JWS in compact form");
  const { alg, kid } = header;
  if (typeof alg !== "string" || !ALGORITHMS.has(alg))
    return refused("Malformed", "the token's algorithm is not taken");
  if (kid !== undefined && typeof kid !== "string") return refused("Malformed", "the token's kid is no text");
  const wrong = ["iss", "sub", "jti"].find((name) => claims[name] !== undefined && typeof claims[name] !== "string");
  const odd = ["iat", "nbf", "exp"].find((name) => claims[name] !== undefined && !isTime(claims[name]));
  const audiences = audiencesOf(claims["aud"]);
  if (wrong !== undefined || odd !== undefined || audiences === undefined)
    return refused("Malformed", `the token's claim ${wrong ?? odd ?? "aud"} is of a wrong type`);
  if (claims["iss"] !== issuer.issuer) return refused("Issuer", "the token is of an issuer that is not taken here");
  const now = Math.floor(nowMs / 1_000);
  const { exp, nbf = 0 } = claims as { readonly exp?: number; readonly nbf?: number };
  if (now + issuer.clockSkewSeconds < nbf) return refused("Refused", "the token is not valid yet");
  if (exp !== undefined && exp !== 0 && now > exp + issuer.clockSkewSeconds)
    return refused("Expired", `the token ended at ${new Date(exp * 1_000).toISOString()}`);
  if (exp === undefined || exp === 0) return refused("Refused", "the token has no end (exp)");
  if (
    issuer.audiences.length > 0 &&
    !issuer.audiences.some((audience) => audiences.some((has) => sameAudience(audience, has)))
  )
    return refused("Refused", `the token is for none of the audiences ${issuer.audiences.join(", ")}`);
  if (issuer.keys.jwks === undefined) return refused("NoKeys", `the keys of ${issuer.issuer} are not there`);
  const keys = keysOf(issuer.keys.jwks).filter(
    (key) => (kid === undefined || kid === "" || key.kid === undefined || key.kid === kid) && key.alg === alg,
  );
  const signed = Buffer.from(`${head}.${body}`);
  if (!keys.some((key) => isSignedWith(key, alg, signed, signature)))
    return refused(
      "Refused",
      keys.length === 0 ? "no key of the issuer is for this token" : "the token's signature is wrong",
    );
  return { ok: true, claims, issuer };
}

const ALGORITHMS = new Set("ES256 ES384 ES512 HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 EdDSA".split(" "));

/** Envoy takes a slash at the end, and the scheme, for nothing. */
function sameAudience(a: string, b: string): boolean {
  const plain = (text: string): string => text.replace(/^https?:\/\//, "").replace(/\/$/, "");
  return plain(a) === plain(b);
}

function isTime(value: JsonValue | undefined): boolean {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

function audiencesOf(value: JsonValue | undefined): readonly string[] | undefined {
  if (value === undefined) return [];
  if (typeof value === "string") return [value];
  return Array.isArray(value) && value.every((one) => typeof one === "string") ? value : undefined;
}

function bytesOf(text: string): Buffer | undefined {
  return /^[A-Za-z0-9_-]+={0,2}$/.test(text) && text.replace(/=+$/, "").length % 4 !== 1
    ? Buffer.from(text, "base64url")
    : undefined;
}

function jsonOf(text: string): JsonObject | undefined {
  const bytes = bytesOf(text);
  if (bytes === undefined) return undefined;
  try {
    const value = JSON.parse(bytes.toString("utf8")) as JsonValue;
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

type Key = JsonWebKey & { readonly alg?: string; readonly kid?: string };

/** `jwks` was made by key-set.ts: sound keys, each with its algorithm. */
function keysOf(jwks: string): readonly Key[] {
  return (JSON.parse(jwks) as { readonly keys: readonly Key[] }).keys;
}

function isSignedWith(key: Key, alg: string, signed: Buffer, signature: Buffer): boolean {
  const digest = `sha${alg.slice(2)}`;
  if (alg.startsWith("HS")) {
    const expected = createHmac(digest, Buffer.from(key.k ?? "", "base64url"))
      .update(signed)
      .digest();
    return expected.length === signature.length && timingSafeEqual(expected, signature);
  }
  const publicKey = createPublicKey({ key, format: "jwk" });
  switch (alg.slice(0, 2)) {
    case "RS":
      return verify(digest, signed, publicKey, signature);
    case "PS":
      return verify(
        digest,
        signed,
        { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO },
        signature,
      );
    case "ES":
      return verify(digest, signed, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature);
    default:
      return verify(null, signed, publicKey, signature);
  }
}
