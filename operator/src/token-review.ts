/**
 * Who a proxy is: a ServiceAccount token with audience `gatewarden`, reviewed by the API server. ServiceAccount `gateway-NAME` in `NS` is
 * the proxies of Gateway `NS/NAME`. While the API server does not answer, a token that it accepted before stays good for its own life.
 */
import { createHash } from "node:crypto";
import type { Clock } from "./clock.ts";
import type { KubeClient } from "./kube/client.ts";

export type Identity =
  | {
      readonly ok: true;
      readonly gateways: ReadonlySet<string>;
      readonly expiresAtMs: number;
      readonly replica?: boolean;
    }
  | { readonly ok: false; readonly message: string };

export type Authenticate = (token: string, signal: AbortSignal) => Promise<Identity>;

export const TOKEN_AUDIENCE = "gatewarden";

/** An answer is asked for again after that long; a refusal likewise, so a token that becomes good is not refused for longer. */
const FRESH_MS = 60_000;
/** Anybody can send tokens: no more answers than that are remembered, the oldest go first. */
const MOST_ANSWERS = 4_096;
/** A ServiceAccount token is about 1 KiB; what is longer is not even hashed. */
const LONGEST_TOKEN = 16_384;
/** Reviews that run at the same time; more wait in no queue but are refused, and proxies come again. */
const MOST_REVIEWS = 64;

interface Answer {
  readonly identity: Identity;
  readonly askedAt: number;
}

interface TokenReviewStatus {
  readonly authenticated?: boolean;
  readonly user?: { readonly username?: string };
  readonly audiences?: readonly string[];
}

/**
 * @param onReview called with `accepted`, `refused`, `unanswered` or `cached`, for metrics
 * @param ownAccount the account that this operator runs as: who shows its token is another replica
 */
export function createTokenReviewer(
  client: KubeClient,
  clock: Clock,
  onReview: (outcome: string) => void = () => undefined,
  ownAccount: () => string | undefined = () => undefined,
): Authenticate {
  const answers = new Map<string, Answer>(); // by hash of the token: no token is kept
  let running = 0;

  const remember = (hash: string, identity: Identity): Identity => {
    answers.delete(hash);
    answers.set(hash, { identity, askedAt: clock.now() });
    for (const oldest of answers.keys()) {
      if (answers.size <= MOST_ANSWERS) break;
      answers.delete(oldest);
    }
    return identity;
  };

  return async (token, signal) => {
    const expiresAtMs = expiryOf(token);
    if (token === "" || token.length > LONGEST_TOKEN || expiresAtMs === undefined)
      return { ok: false, message: "not a ServiceAccount token" };
    if (expiresAtMs <= clock.now()) return { ok: false, message: "the token has expired" };
    const hash = createHash("sha256").update(token).digest("base64");
    const known = answers.get(hash);
    if (known !== undefined && clock.now() - known.askedAt < FRESH_MS) {
      onReview("cached");
      return known.identity;
    }
    if (running >= MOST_REVIEWS) return { ok: false, message: "too many proxies ask at once" };
    running += 1;
    const body = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token, audiences: [TOKEN_AUDIENCE] },
    };
    const result = await client
      .create("/apis/authentication.k8s.io/v1/tokenreviews", body, { signal })
      .finally(() => (running -= 1));
    if (!result.ok) {
      onReview("unanswered");
      return known?.identity.ok === true
        ? known.identity
        : { ok: false, message: "the API server cannot be asked about the token" };
    }
    const identity = judge(result.value.status ?? {}, expiresAtMs, ownAccount());
    onReview(identity.ok ? "accepted" : "refused");
    return remember(hash, identity);
  };
}

function judge(status: TokenReviewStatus, expiresAtMs: number, ownAccount: string | undefined): Identity {
  if (status.authenticated !== true) return { ok: false, message: "the API server does not accept the token" };
  // An authenticator that knows no audiences leaves the list empty and would accept a token meant for somebody else.
  if (status.audiences?.includes(TOKEN_AUDIENCE) !== true)
    return { ok: false, message: `the token is not for the audience ${TOKEN_AUDIENCE}` };
  if (ownAccount !== undefined && status.user?.username === ownAccount)
    return { ok: true, gateways: new Set(), expiresAtMs, replica: true };
  const match = /^system:serviceaccount:([^:]+):gateway-([^:]+)$/.exec(status.user?.username ?? "");
  if (match === null) return { ok: false, message: "not the ServiceAccount of a Gateway's proxies (gateway-NAME)" };
  return { ok: true, gateways: new Set([`${match[1]}/${match[2]}`]), expiresAtMs };
}

/** `exp` of a JWT, unverified: it only ever shortens what the API server allowed. */
function expiryOf(token: string): number | undefined {
  const payload = token.split(".")[1];
  if (payload === undefined) return undefined;
  try {
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as { exp?: unknown } | null;
    return typeof claims?.exp === "number" ? claims.exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}
