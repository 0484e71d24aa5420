/** What a rule of an HTTPRoute does with a request, as Envoy's route action, redirect and header edits. */
import type {
  Filter,
  HeaderEdit,
  NameValue,
  PathModifier,
  RouteMatch,
  RouteRule,
} from "../kinds/gateway-api/http-route.ts";
import type { JsonObject } from "../world.ts";

/** A backend that can be called: its cluster, its share and its own header edits. */
export interface Target {
  readonly cluster: string;
  readonly weight: number;
  readonly filters: readonly Filter[];
}

export interface Mirror {
  readonly cluster: string;
  readonly fraction?: { readonly numerator: number; readonly denominator: number };
}

/** How the request came in: what a redirect leaves out is taken from here. */
export interface Arrival {
  readonly protocol: "HTTP" | "HTTPS";
  readonly port: number;
}

/** `route` or `redirect` of an Envoy route; undefined where no backend has a weight. */
export function actionJson(
  rule: RouteRule,
  match: RouteMatch,
  targets: readonly Target[],
  mirrors: readonly Mirror[],
  listener: Arrival,
): JsonObject | undefined {
  const redirect = rule.filters.find((filter) => filter.type === "RequestRedirect");
  if (redirect !== undefined) return { redirect: redirectJson(redirect, match, listener) };
  const weighted = targets.filter(({ weight }) => weight > 0);
  if (weighted.length === 0) return undefined;
  return {
    route: {
      ...destination(weighted),
      ...rewriteJson(
        rule.filters.find((filter) => filter.type === "URLRewrite"),
        match,
      ),
      ...timeouts(rule),
      ...(mirrors.length === 0 ? {} : { request_mirror_policies: mirrors.map(mirrorJson) }),
    },
  };
}

/** Header edits that stand on the Envoy route. */
export function headerEdits(filters: readonly Filter[]): JsonObject {
  const of = (type: "RequestHeaderModifier" | "ResponseHeaderModifier"): readonly HeaderEdit[] =>
    filters.flatMap((filter) => (filter.type === type ? [filter.edit] : []));
  return { ...editJson("request", of("RequestHeaderModifier")), ...editJson("response", of("ResponseHeaderModifier")) };
}

function editJson(side: "request" | "response", edits: readonly HeaderEdit[]): JsonObject {
  const add = edits.flatMap((edit) => [
    ...edit.set.map((pair) => headerJson(pair, "OVERWRITE_IF_EXISTS_OR_ADD")),
    ...edit.add.map((pair) => headerJson(pair, "APPEND_IF_EXISTS_OR_ADD")),
  ]);
  const remove = edits.flatMap((edit) => edit.remove);
  return {
    ...(add.length === 0 ? {} : { [`${side}_headers_to_add`]: add }),
    ...(remove.length === 0 ? {} : { [`${side}_headers_to_remove`]: remove }),
  };
}

function headerJson({ name, value }: NameValue, action: string): JsonObject {
  // Envoy reads % as a command (`%REQ(authorization)%`): a value is text.
  return { header: { key: name, value: value.replaceAll("%", "%%") }, append_action: action, keep_empty_value: true };
}

function destination(targets: readonly Target[]): JsonObject {
  const [only] = targets;
  if (targets.length === 1 && only !== undefined && only.filters.length === 0) return { cluster: only.cluster };
  return {
    weighted_clusters: {
      clusters: targets.map(({ cluster, weight, filters }) => ({ name: cluster, weight, ...headerEdits(filters) })),
    },
  };
}

function timeouts({ requestTimeout, backendTimeout }: RouteRule): JsonObject {
  // Without retries one try is the whole request: the shorter of both bounds holds. 0s means none (Gateway API and Envoy alike).
  const seconds = [requestTimeout, backendTimeout]
    .flatMap((one) => (one === undefined ? [] : [durationSeconds(one)]))
    .filter((one) => one > 0);
  // Without a word it is none as well: Envoy's own 15 s would cut downloads and event streams. Idle ones end by `stream_idle_timeout`.
  return { timeout: `${seconds.length === 0 ? 0 : Math.min(...seconds)}s` };
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { h: 3600, m: 60, s: 1, ms: 0.001 };

export function durationSeconds(duration: string): number {
  const parts = duration.matchAll(/([0-9]+)(ms|h|m|s)/g);
  return (
    Math.round(
      [...parts].reduce((sum, [, count, unit]) => sum + Number(count) * (UNIT_SECONDS[unit ?? ""] ?? 0), 0) * 1000,
    ) / 1000
  );
}

function mirrorJson({ cluster, fraction }: Mirror): JsonObject {
  if (fraction === undefined) return { cluster };
  const millionths = Math.round((fraction.numerator / fraction.denominator) * 1_000_000);
  return { cluster, runtime_fraction: { default_value: { numerator: millionths, denominator: "MILLION" } } };
}

function redirectJson(
  filter: Extract<Filter, { type: "RequestRedirect" }>,
  match: RouteMatch,
  listener: Arrival,
): JsonObject {
  const { scheme, hostname, path, port, statusCode } = filter;
  const codes: Readonly<Record<number, string>> = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
  };
  // A scheme that is written without a port means that scheme's own; without both it is the listener's port (Gateway API).
  const target = port ?? (scheme === undefined ? listener.port : defaultPort(scheme));
  const shown = target !== defaultPort(scheme ?? listener.protocol.toLowerCase());
  return {
    ...(scheme === undefined ? {} : { scheme_redirect: scheme }),
    ...(hostname === undefined ? {} : { host_redirect: hostname }),
    ...(shown ? { port_redirect: target } : {}),
    ...(path === undefined ? {} : redirectPath(path, match)),
    response_code: codes[statusCode] ?? "FOUND",
  };
}

function defaultPort(scheme: string): number {
  return scheme === "https" ? 443 : 80;
}

function redirectPath(path: PathModifier, match: RouteMatch): JsonObject {
  if (path.type === "ReplaceFullPath") return { path_redirect: path.value || "/" };
  return strips(path, match) ? { regex_rewrite: stripPrefix(match) } : { prefix_rewrite: prefixFor(path.value, match) };
}

function rewriteJson(filter: Extract<Filter, { type: "URLRewrite" }> | undefined, match: RouteMatch): JsonObject {
  if (filter === undefined) return {};
  const { hostname, path } = filter;
  return {
    ...(hostname === undefined ? {} : { host_rewrite_literal: hostname }),
    ...(path === undefined ? {} : rewritePath(path, match)),
  };
}

function rewritePath(path: PathModifier, match: RouteMatch): JsonObject {
  if (path.type === "ReplaceFullPath")
    return { regex_rewrite: { pattern: { regex: "^[^?]*" }, substitution: literal(path.value || "/") } };
  return strips(path, match) ? { regex_rewrite: stripPrefix(match) } : { prefix_rewrite: prefixFor(path.value, match) };
}

/** Envoy replaces what matched, byte by byte: the slash between prefix and rest stands on the same side of both. */
function prefixFor(value: string, match: RouteMatch): string {
  const trimmed = value.replace(/\/+$/, "");
  return match.path.value.replace(/\/+$/, "") === "" ? `${trimmed}/` : trimmed;
}

/** Replacing `/a` by `/` would leave two slashes before the rest: those are rewritten by an expression. */
function strips(path: PathModifier, match: RouteMatch): boolean {
  return (
    (path.value === "/" || path.value === "") &&
    match.path.type === "PathPrefix" &&
    match.path.value.replace(/\/+$/, "") !== ""
  );
}

function stripPrefix(match: RouteMatch): JsonObject {
  const prefix = match.path.value.replace(/\/+$/, "").replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return { pattern: { regex: `^${prefix}/*` }, substitution: "/" };
}

/** Backslashes in a substitution are group references. */
function literal(value: string): string {
  return value.replaceAll("\\", "\\\\");
}
