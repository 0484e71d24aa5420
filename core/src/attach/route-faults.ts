/** What in an HTTPRoute we or Envoy cannot serve: found here, so that a bad value breaks its own route and is never sent. */
import type { Filter, HttpRoute, RouteMatch, RouteRule, ValueMatch } from "../kinds/gateway-api/http-route.ts";
import { regexFault } from "./regex.ts";

export interface RouteFault {
  readonly reason: "UnsupportedValue" | "IncompatibleFilters";
  readonly message: string;
}

const METHODS = /^[A-Z][A-Z-]{0,31}$/;
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}$/;
/** Control characters end a header; Envoy refuses the whole resource for one. */

const HEADER_VALUE = /^[^\u0000-\u0008\u000a-\u001f\u007f]{0,4096}$/;
const DURATION = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/;

/** The first fault of a rule; undefined when it can be served. */
export function ruleFault(rule: RouteRule, at: number): RouteFault | undefined {
  const path = `spec.rules[${at}]`;
  for (const [index, match] of rule.matches.entries()) {
    const where = `${path}.matches[${index}]`;
    const { type, value } = match.path;
    if (type !== "Exact" && type !== "PathPrefix" && type !== "RegularExpression")
      return unsupported(`${where}.path.type`, `${type} is not known`);
    const fault = type === "RegularExpression" ? regexFault(value) : pathFault(value);
    if (fault !== undefined) return unsupported(`${where}.path.value`, fault);
    if (match.method !== undefined && !METHODS.test(match.method))
      return unsupported(`${where}.method`, "is no HTTP method");
    const values =
      valueFault(match.headers, `${where}.headers`) ?? valueFault(match.query, `${where}.queryParams`, false);
    if (values !== undefined) return values;
  }
  for (const [name, duration] of [
    ["request", rule.requestTimeout],
    ["backendRequest", rule.backendTimeout],
  ] as const) {
    if (duration !== undefined && !DURATION.test(duration))
      return unsupported(`${path}.timeouts.${name}`, "is no duration such as 10s");
  }
  return (
    filtersFault(rule.filters, `${path}.filters`) ??
    rule.backends.reduce<RouteFault | undefined>(
      (found, backend, index) => found ?? backendFiltersFault(backend.filters, `${path}.backendRefs[${index}].filters`),
      undefined,
    )
  );
}

/** The fault that keeps the whole route from being served: every rule has one. Others leave the sound rules. */
export function routeFaults(route: HttpRoute): readonly RouteFault[] {
  return route.rules.flatMap((rule, at) => ruleFault(rule, at) ?? []);
}

/** Type of a match that asks only whether the header or parameter is there. No route can write it. */
export const PRESENT = "Present";

/** The match, with what of it cannot be sent replaced by something that matches no less: for closing what a broken rule asked for. */
export function widened(match: RouteMatch): RouteMatch {
  const sound = (one: ValueMatch): ValueMatch =>
    valueFault([one], "", false) === undefined ? one : { ...one, type: PRESENT };
  const { type, value } = match.path;
  const fault = type === "RegularExpression" ? regexFault(value) : pathFault(value);
  return {
    path: fault === undefined ? match.path : { type: "PathPrefix", value: literalPrefix(value) },
    headers: match.headers.filter(({ name }) => HEADER_NAME.test(name)).map(sound),
    query: match.query.filter(({ name }) => name !== "").map(sound),
    ...(match.method === undefined || !METHODS.test(match.method) ? {} : { method: match.method }),
  };
}

/** Whole segments that every path begins with which the expression could mean. */
function literalPrefix(regex: string): string {
  // An alternative may lead anywhere, what stands before a repetition may be left out, and the last segment may go on.
  if (regex.includes("|")) return "/";
  const text = /^(?:\/[A-Za-z0-9_\-/]*)?/.exec(regex)?.[0] ?? "";
  const sure = /^[?*{]/.test(regex.slice(text.length)) ? text.slice(0, -1) : text;
  return sure.slice(0, sure.lastIndexOf("/") + 1) || "/";
}

function pathFault(value: string): string | undefined {
  if (!value.startsWith("/")) return "has to begin with /";
  if (value.length > 1024) return "is longer than 1024 characters";
  return /[\s?#]/.test(value) ? "holds a space, ? or #" : undefined;
}

function valueFault(matches: readonly ValueMatch[], where: string, header = true): RouteFault | undefined {
  for (const [at, match] of matches.entries()) {
    const path = `${where}[${at}]`;
    if (header ? !HEADER_NAME.test(match.name) : match.name === "") return unsupported(`${path}.name`, "is not valid");
    if (match.type !== "Exact" && match.type !== "RegularExpression")
      return unsupported(`${path}.type`, `${match.type} is not known`);
    const fault = match.type === "RegularExpression" ? regexFault(match.value) : undefined;
    if (fault !== undefined) return unsupported(`${path}.value`, fault);
  }
  return undefined;
}

function filtersFault(filters: readonly Filter[], where: string): RouteFault | undefined {
  const types = filters.map(({ type }) => type);
  if (types.includes("RequestRedirect") && types.includes("URLRewrite")) {
    return { reason: "IncompatibleFilters", message: `${where}: RequestRedirect and URLRewrite exclude each other` };
  }
  return filters.reduce<RouteFault | undefined>(
    (found, filter, at) => found ?? filterFault(filter, `${where}[${at}]`),
    undefined,
  );
}

function filterFault(filter: Filter, path: string): RouteFault | undefined {
  switch (filter.type) {
    case "RequestHeaderModifier":
    case "ResponseHeaderModifier": {
      const pairs = [...filter.edit.set, ...filter.edit.add];
      const bad = [...pairs.map(({ name }) => name), ...filter.edit.remove].find((name) => !isEditable(name));
      if (bad !== undefined) return unsupported(path, `header ${JSON.stringify(bad.slice(0, 64))} cannot be changed`);
      return pairs.every(({ value }) => HEADER_VALUE.test(value))
        ? undefined
        : unsupported(path, "a header value holds control characters");
    }
    case "RequestRedirect":
      if (![301, 302, 303, 307, 308].includes(filter.statusCode))
        return unsupported(`${path}.statusCode`, "is none of 301, 302, 303, 307, 308");
      return filter.path === undefined ? undefined : pathModifierFault(filter.path.value, path);
    case "URLRewrite":
      return filter.path === undefined ? undefined : pathModifierFault(filter.path.value, path);
    case "RequestMirror":
      return undefined;
    case "CORS":
      return unsupported(path, "CORS is not served yet");
    case "Unknown":
      return unsupported(path, `filter type ${filter.written} is not served`);
  }
}

function pathModifierFault(value: string, path: string): RouteFault | undefined {
  const fault = value === "" ? undefined : pathFault(value);
  return fault === undefined ? undefined : unsupported(`${path}.path`, fault);
}

function backendFiltersFault(filters: readonly Filter[], where: string): RouteFault | undefined {
  const other = filters.findIndex(({ type }) => type !== "RequestHeaderModifier" && type !== "ResponseHeaderModifier");
  if (other >= 0)
    return unsupported(
      `${where}[${other}]`,
      "only RequestHeaderModifier and ResponseHeaderModifier are served per backend",
    );
  return filtersFault(filters, where);
}

/** Host and pseudo headers make Envoy refuse the route; our own headers carry decisions. */
function isEditable(name: string): boolean {
  return HEADER_NAME.test(name) && name.toLowerCase() !== "host" && !name.toLowerCase().startsWith("x-gatewarden-");
}

function unsupported(path: string, what: string): RouteFault {
  return { reason: "UnsupportedValue", message: `${path}: ${what}` };
}
