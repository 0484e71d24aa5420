/**
 * A rule as a predicate over a request. What is not there matches nothing. Where an attribute can hold several values at once, a rule that
 * denies matches if any of them fits, one that allows only if there is no doubt (rules A7).
 */
import { CERTIFICATE_NAMESPACE } from "../../envoy/collect.ts";
import {
  allOf,
  anyOf,
  expression,
  header,
  metadata,
  not,
  oneOfTexts,
  type Predicate,
  regex,
  sourceIn,
} from "../../envoy/matcher.ts";
import { nameMatcher } from "../../envoy/san.ts";
import { exact, oneOf, pathRegex, quote, safeRegex } from "../../envoy/pattern.ts";
import type { Identity } from "../../schema/identity.ts";
import type { Callers } from "../../slice.ts";
import { CONSUMER_HEADER } from "../../translate/chain.ts";
import type { JsonObject } from "../../world.ts";
import type { Action, Claim, Mfa, Roles, Rule } from "./model.ts";
import { negated, signedInWithin } from "../../cel/ast.ts";

/** Where jwt_authn leaves the claims of the one token that it verified. */
const TOKENS = "envoy.filters.http.jwt_authn";
const CLAIMS = "jwt";

/** Everything but `mfa`, whose lack is an answer of its own. */
export function ruleMatches(rule: Rule, { issuers }: Callers): Predicate {
  const { action, methods, paths, roles, scopes, consumers, identities, claims, sources, when, granted } = rule;
  return allOf([
    methods === undefined || header(":method", oneOfTexts(methods)),
    paths === undefined || header(":path", regex(pathRegex(paths))),
    sources === undefined || sourceIn(sources),
    consumers === undefined || consumerIn(consumers),
    granted === undefined || consumerIn(granted),
    roles === undefined || hasRole(roles, issuers),
    ...(scopes ?? []).map(hasScope),
    ...(claims ?? []).map((claim) => hasClaim(claim, issuers)),
    identities === undefined || anyOf(identities.map((identity) => certificateHas(identity, action))),
    when === undefined || (action === "Deny" ? not(expression(negated(when.ast))) : expression(when.ast)),
  ]);
}

export function signedInWith({ acr, amr, maxAgeSeconds }: Mfa): Predicate {
  return allOf([
    acr === undefined || claimIs(["acr"], { string_match: oneOf(acr) }),
    amr === undefined || claimIs(["amr"], holds(amr)),
    maxAgeSeconds === undefined || expression(signedInWithin(maxAgeSeconds)),
  ]);
}

function consumerIn(consumers: readonly string[]): Predicate {
  return consumers.length > 0 && header(CONSUMER_HEADER, oneOfTexts(consumers));
}

type Issuers = Callers["issuers"];

/** Each issuer's tokens are asked for that issuer's own claim: one issuer cannot give another's roles. */
function hasRole({ names, consumers }: Roles, issuers: Issuers): Predicate {
  const tokens = issuers.map(({ issuer, rolesClaim }) =>
    allOf([rolesClaim !== undefined, issuedBy(issuer, issuers), claimIs(rolesClaim ?? [], holds(names))]),
  );
  return anyOf([consumerIn(consumers), ...tokens]);
}

function hasClaim({ provider, path, values }: Claim, issuers: Issuers): Predicate {
  const meant = issuers.filter(({ name }) => provider === undefined || name === provider);
  return anyOf(meant.map(({ issuer }) => allOf([issuedBy(issuer, issuers), claimIs(path, holds(values))])));
}

function issuedBy(issuer: string, all: Issuers): Predicate {
  return all.every((other) => other.issuer === issuer) || claimIs(["iss"], { string_match: exact(issuer) });
}

/** One word of `scope` (RFC 8693) or `scp`, text or list. */
function hasScope(scope: string): Predicate {
  const word = { string_match: safeRegex(`(?:.* )?${quote(scope)}(?: .*)?`) };
  const match = either(word, { list_match: { one_of: { string_match: exact(scope) } } });
  return anyOf(["scope", "scp"].map((claim) => claimIs([claim], match)));
}

function claimIs(path: readonly string[], match: JsonObject): JsonObject {
  return metadata(TOKENS, [CLAIMS, ...path], match);
}

/** The value itself or a value of the list; numbers and booleans by their text. */
function holds(values: readonly string[]): JsonObject {
  const numbers = values.filter((value) => String(Number(value)) === value && Number.isFinite(Number(value)));
  const booleans = values.filter((value) => value === "true" || value === "false");
  const single: readonly JsonObject[] = [
    { string_match: oneOf(values) },
    ...numbers.map((value) => ({ double_match: { exact: Number(value) } })),
    ...booleans.map((value) => ({ bool_match: value === "true" })),
  ];
  return either(...single, ...single.map((one) => ({ list_match: { one_of: one } })));
}

function either(...value_matchers: readonly JsonObject[]): JsonObject {
  return { or_match: { value_matchers } };
}

function certificateHas({ type, san, value }: Identity, action: Action): Predicate {
  if (san === "Email") return emailIs(type, value, action);
  const list = { list_match: { one_of: { string_match: nameMatcher({ type, value }) } } };
  return metadata(CERTIFICATE_NAMESPACE, [san.toLowerCase()], list);
}

/**
 * Envoy tells addresses only as one text joined with commas, and a comma can stand inside of one. A rule that allows therefore wants a
 * certificate with one address and no comma; one that denies looks at every part.
 */
function emailIs(type: Identity["type"], value: string, action: Action): Predicate {
  const addresses = (match: JsonObject): JsonObject =>
    metadata(CERTIFICATE_NAMESPACE, ["email"], { string_match: match });
  if (action === "Deny") return addresses(safeRegex(`(?:.*,)?${pattern(type, value)}(?:,.*)?`));
  return allOf([not(addresses({ contains: "," })), addresses(safeRegex(pattern(type, value)))]);
}

function pattern(type: Identity["type"], value: string): string {
  switch (type) {
    case "Exact":
      return quote(value);
    case "Prefix":
      return `${quote(value)}[^,]*`;
    case "Suffix":
      return `[^,]*${quote(value)}`;
    case "Regex":
      return `(?:${value})`;
  }
}
