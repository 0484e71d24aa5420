/**
 * After a credential was verified: credentials off the request, identity headers on. Internal headers (`x-gatewarden-…`) carry what a
 * filter found out to the names that the policy chose, so no tenant's header is touched on another tenant's route.
 */
import { hideParameters, tellClaims } from "../../envoy/collect.ts";
import { quote } from "../../envoy/pattern.ts";
import { HTTP_FILTER } from "../../envoy/type-url.ts";
import type { RoutePiece } from "../../slice.ts";
import { CONSUMER_HEADER, CONSUMER_NAME, EXTRACTED, USER_HEADER } from "../../translate/chain.ts";
import { isWholeName } from "../../schema/claim.ts";
import { mergeJson } from "../../translate/merge-json.ts";
import type { JsonObject } from "../../world.ts";
import type { Issuer } from "./model.ts";
import { type Place, removalOf } from "./place.ts";

const CLAIM_PREFIX = "x-gatewarden-claim-";

/** Where jwt_authn puts the claim that becomes `header`. */
export function claimHeader(header: string): string {
  return `${CLAIM_PREFIX}${header.replace(/^x-/, "")}`;
}

/** What no header may hold (RFC 9110). Envoy would find it only when it writes the request: 503, as if the service were away. */
const CONTROL = "[\\x00-\\x08\\x0a-\\x1f\\x7f]";

/**
 * Tokens with a claim that does not fit into its header: none of them may become a second header, or one less. `claimsAt`: path in dynamic
 * metadata, from filter to claims.
 */
export function unfitClaims(
  claims: readonly ToldClaim[],
  [filter, ...claimsAt]: readonly [string, ...string[]],
): readonly JsonObject[] {
  const [whole, others] = [claims.filter(isWhole), claims.filter((one) => !isWhole(one))];
  const string_match = { safe_regex: { regex: `[\\s\\S]*${CONTROL}[\\s\\S]*` } };
  const path = (claim: string): JsonObject[] => [...claimsAt, claim].map((key) => ({ key }));
  return [
    ...[...new Set(others.map(({ header }) => claimHeader(header)))].map((name) => ({
      header: { name, string_match },
    })),
    ...[...new Set(whole.map(({ claim }) => claim))].map((claim) => ({
      metadata: { filter, path: path(claim), value: { string_match } },
    })),
  ];
}

function isWhole({ claim }: ToldClaim): boolean {
  return isWholeName(claim);
}

export function isUnfit(text: string): boolean {
  return new RegExp(CONTROL).test(text);
}

/** Never numbers: by RFC 7519, RFC 9068 and OpenID Connect. Looking for one costs a request some microseconds. */
const TEXTS: ReadonlySet<string> = new Set([
  "iss",
  "sub",
  "jti",
  "azp",
  "client_id",
  "scope",
  "acr",
  "sid",
  "name",
  "preferred_username",
  "email",
]);

/** `issuer`: whose tokens have it. */
export type ToldClaim = Issuer["claims"][number] & Pick<Issuer, "issuer">;

export interface Verified {
  /** Credentials that must not reach the upstream. */
  readonly hidden: readonly Place[];
  /** Identity headers made of claims. */
  readonly claims?: readonly ToldClaim[];
  readonly consumer?: {
    readonly by: "api_key" | "basic";
    readonly namespace: string;
    readonly header: string | undefined;
    readonly qualified: boolean;
  };
}

type IdentityPiece = Pick<RoutePiece, "identity" | "slots">;

export function identityPiece({ hidden, claims = [], consumer }: Verified): IdentityPiece {
  const removal = removalOf(hidden);
  const nameOnly = consumer?.by === "api_key" && consumer.header !== undefined && !consumer.qualified;
  // A route's rules stand in place of the chain's own, so that one is said again where it is needed.
  const rules =
    removal.cookies.length === 0 ? [] : [withoutCookies(removal.cookies), ...(nameOnly ? [CONSUMER_NAME] : [])];
  const identity = [
    ...removal.headers,
    ...(removal.cookies.length === 0 ? [] : [{ remove: "cookie" }, set("cookie", extracted("cookie"))]),
    ...(consumer === undefined ? [] : consumerHeaders(consumer)),
    ...[...new Set(claims.filter((one) => !isWhole(one)).map(({ header }) => header))].map((header) =>
      set(header, `%REQ(${claimHeader(header)})%`),
    ),
  ];
  const behind = [
    ...(removal.parameters.length === 0 ? [] : [hideParameters(removal.parameters)]),
    ...toldBehind(claims),
  ];
  return {
    identity,
    slots: {
      ...(rules.length === 0
        ? {}
        : { consumer: { "@type": `${HTTP_FILTER}.header_to_metadata.v3.Config`, request_rules: rules } }),
      ...(behind.length === 0 ? {} : { "collect-post": behind.reduce(mergeJson) }),
    },
  };
}

/** What Envoy cannot write: numbers as JSON has them, and claims whose names hold dots. */
function toldBehind(claims: readonly ToldClaim[]): readonly JsonObject[] {
  const [whole, others] = [claims.filter(isWhole), claims.filter((one) => !isWhole(one))];
  const some = others.filter(({ claim }) => !TEXTS.has(claim));
  const numbers = [...Map.groupBy(some, ({ header }) => header)].map(
    ([header, own]) => [header, [...new Set(own.map(({ claim }) => claim))]] as const,
  );
  const named = whole.map(({ issuer, claim, header }) => ({ issuer, claim, header }));
  return numbers.length + named.length === 0 ? [] : [tellClaims(new Map(numbers), named)];
}

function consumerHeaders({
  by,
  namespace,
  header,
  qualified,
}: NonNullable<Verified["consumer"]>): readonly JsonObject[] {
  if (by === "api_key") {
    if (header === undefined) return [];
    return [set(header, qualified ? `%REQ(${CONSUMER_HEADER})%` : extracted("consumer"))];
  }
  const user = `%REQ(${USER_HEADER})%`;
  return [
    set(CONSUMER_HEADER, `${namespace}/${user}`),
    ...(header === undefined ? [] : [set(header, qualified ? `${namespace}/${user}` : user)]),
  ];
}

/** What is left of the cookies without these; nothing where the header is longer than 8 KiB (Envoy's bound). */
function withoutCookies(names: readonly string[]): JsonObject {
  const value = { regex_value_rewrite: { pattern: { regex: cookiePattern(names) }, substitution: "" } };
  return {
    header: "cookie",
    on_header_present: { metadata_namespace: EXTRACTED, key: "cookie", type: "STRING", ...value },
  };
}

function extracted(key: string): string {
  return `%DYNAMIC_METADATA(${EXTRACTED}:${key})%`;
}

/**
 * These cookies with one of their semicolons: a run of them at the beginning, or each behind another cookie. Several Cookie headers come
 * joined with commas, and some servers take spaces around the name for nothing.
 */
export function cookiePattern(names: readonly string[]): string {
  const one = `(?:${names.map(quote).join("|")})\\s*=[^;,]*`;
  return `^(?:\\s*${one}(?:[;,]|$))+\\s*|[;,]\\s*${one}`;
}

/** Sets a header to one value; an empty value sets nothing. */
function set(key: string, value: string): JsonObject {
  return { append: { header: { key, value }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" } };
}
