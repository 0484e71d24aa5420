/**
 * Envoy's generic matcher (`xds.type.matcher.v3.Matcher`) for the RBAC filter: predicates over a request, and a list of them of which the
 * first that holds says what happens, under a name that refusals and logs print.
 */
import type { JsonObject } from "../world.ts";
import { quote } from "./pattern.ts";
import { cidrRange } from "./address-list.ts";

const EXTENSIONS = "type.googleapis.com/envoy.extensions.matching";

/** A predicate; `true` and `false` are decided already. */
export type Predicate = JsonObject | boolean;

export function allOf(predicates: readonly Predicate[]): Predicate {
  const open = predicates.filter((one) => one !== true);
  if (open.includes(false)) return false;
  return joined("and_matcher", open as readonly JsonObject[]) ?? true;
}

export function anyOf(predicates: readonly Predicate[]): Predicate {
  const open = predicates.filter((one) => one !== false);
  if (open.includes(true)) return true;
  return joined("or_matcher", open as readonly JsonObject[]) ?? false;
}

export function not(predicate: Predicate): Predicate {
  return typeof predicate === "boolean" ? !predicate : { not_matcher: predicate };
}

/** Envoy wants at least two in a list. */
function joined(kind: "and_matcher" | "or_matcher", predicates: readonly JsonObject[]): JsonObject | undefined {
  return predicates.length < 2 ? predicates[0] : { [kind]: { predicate: predicates } };
}

/** A request header, `:method` and `:path` too. Several copies come joined with commas. */
export function header(name: string, match: JsonObject): JsonObject {
  return {
    single_predicate: {
      input: {
        name: "header",
        typed_config: {
          "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
          header_name: name,
        },
      },
      value_match: match,
    },
  };
}

/** The client's address as the listener found it (`clientIP`). */
export function sourceIn(cidrs: readonly string[]): JsonObject {
  const matcher = {
    "@type": `${EXTENSIONS}.input_matchers.ip.v3.Ip`,
    stat_prefix: "authz",
    cidr_ranges: cidrs.map(cidrRange),
  };
  return custom({ "@type": `${EXTENSIONS}.common_inputs.network.v3.SourceIPInput` }, matcher);
}

/** A value of dynamic metadata; `match` is an `envoy.type.matcher.v3.ValueMatcher`. What is not there matches nothing. */
export function metadata(namespace: string, path: readonly string[], match: JsonObject): JsonObject {
  const input = {
    "@type": `${EXTENSIONS}.common_inputs.network.v3.DynamicMetadataInput`,
    filter: namespace,
    path: path.map((key) => ({ key })),
  };
  return custom(input, { "@type": `${EXTENSIONS}.input_matchers.metadata.v3.Metadata`, value: match });
}

/** A CEL expression as a tree (`cel.expr.Expr`); one that fails, or is not a boolean, is false. */
export function expression(ast: JsonObject): JsonObject {
  return custom(
    { "@type": "type.googleapis.com/xds.type.matcher.v3.HttpAttributesCelMatchInput" },
    { "@type": "type.googleapis.com/xds.type.matcher.v3.CelMatcher", expr_match: { cel_expr_parsed: { expr: ast } } },
  );
}

function custom(input: JsonObject, matcher: JsonObject): JsonObject {
  return {
    single_predicate: {
      input: { name: "input", typed_config: input },
      custom_match: { name: "match", typed_config: matcher },
    },
  };
}

/** `xds.type.matcher.v3.RegexMatcher`, over the whole text; it names its engine, which Envoy's own StringMatcher does not. */
export function regex(pattern: string): JsonObject {
  return { safe_regex: { google_re2: {}, regex: pattern } };
}

export function oneOfTexts(texts: readonly string[]): JsonObject {
  const [only] = texts;
  return texts.length === 1 && only !== undefined ? { exact: only } : regex(`(?:${texts.map(quote).join("|")})`);
}

export interface Decision {
  readonly when: Predicate;
  readonly then: Verdict;
}

/** What ends the matching: an action under a name, or another list. */
export type Verdict = { readonly action: "ALLOW" | "DENY"; readonly name: string } | { readonly next: JsonObject };

/** The first that holds; `otherwise` if none. */
export function firstOf(decisions: readonly Decision[], otherwise: Verdict): JsonObject {
  const decided = decisions.findIndex(({ when }) => when === true);
  const last = decided < 0 ? otherwise : (decisions[decided]?.then ?? otherwise);
  const matchers = (decided < 0 ? decisions : decisions.slice(0, decided)).flatMap(({ when, then }) =>
    typeof when === "boolean" ? [] : [{ predicate: when, on_match: onMatch(then) }],
  );
  return { ...(matchers.length === 0 ? {} : { matcher_list: { matchers } }), on_no_match: onMatch(last) };
}

function onMatch(verdict: Verdict): JsonObject {
  if ("next" in verdict) return { matcher: verdict.next };
  const { name, action } = verdict;
  return {
    action: { name, typed_config: { "@type": "type.googleapis.com/envoy.config.rbac.v3.Action", name, action } },
  };
}
