/** HTTPRoute matches as Envoy's RouteMatch, and their order (Gateway API "HTTPRouteRule.matches"). */
import { PRESENT } from "../attach/route-faults.ts";
import type { RouteMatch, ValueMatch } from "../kinds/gateway-api/http-route.ts";
import { type Meta, byAge } from "../kinds/meta.ts";
import type { JsonObject } from "../world.ts";

export function matchJson(match: RouteMatch): JsonObject {
  const headers = [
    ...(match.method === undefined ? [] : [{ name: ":method", string_match: { exact: match.method } }]),
    ...match.headers.map((header) => ({ name: header.name, ...valueMatch(header) })),
  ];
  return {
    ...pathJson(match.path),
    ...(headers.length === 0 ? {} : { headers }),
    ...(match.query.length === 0
      ? {}
      : { query_parameters: match.query.map((query) => ({ name: query.name, ...valueMatch(query) })) }),
  };
}

/** Prefixes match whole segments: `/a` is `/a` and `/a/…`, never `/ab`. */
function pathJson({ type, value }: RouteMatch["path"]): JsonObject {
  if (type === "Exact") return { path: value };
  if (type === "RegularExpression") return { safe_regex: { regex: value } };
  const prefix = value.replace(/\/+$/, "");
  return prefix === "" ? { prefix: "/" } : { path_separated_prefix: prefix };
}

function valueMatch({ type, value }: ValueMatch): JsonObject {
  if (type === PRESENT) return { present_match: true };
  return { string_match: type === "RegularExpression" ? { safe_regex: { regex: value } } : { exact: value } };
}

/** One match with all that decides its place among the matches of a host. */
export interface Ranked {
  readonly route: Meta;
  readonly match: RouteMatch;
  readonly rule: number;
  readonly at: number;
}

/**
 * Exact paths, then expressions, then prefixes, longer before shorter; then a method, more headers, more query parameters; then the older
 * route, its name, and the order within it. (Where expressions stand is ours to say: behind prefixes a `/` would hide them.)
 */
export function byPrecedence(a: Ranked, b: Ranked): number {
  return (
    pathRank(a.match) - pathRank(b.match) ||
    b.match.path.value.length - a.match.path.value.length ||
    Number(b.match.method !== undefined) - Number(a.match.method !== undefined) ||
    b.match.headers.length - a.match.headers.length ||
    b.match.query.length - a.match.query.length ||
    byAge(a.route, b.route) ||
    a.rule - b.rule ||
    a.at - b.at
  );
}

function pathRank({ path }: RouteMatch): number {
  return path.type === "Exact" ? 0 : path.type === "RegularExpression" ? 1 : 2;
}
