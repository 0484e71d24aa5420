/**
 * Requests that stand for all others: one for each thing that a route or policy tells apart (hosts, paths, methods, headers, addresses), asked
 * for each consumer and for nobody. Two worlds that answer all of them alike differ in nothing that these objects name.
 */
import type { ParsedApiPolicy } from "@gatewarden/core/kinds/api-policy.ts";
import type { HttpRoute, RouteRule } from "@gatewarden/core/kinds/gateway-api/http-route.ts";
import { idOf } from "@gatewarden/core/kinds/meta.ts";
import type { OpenEngine } from "@gatewarden/core/engine.ts";
import type { SimRequest } from "@gatewarden/core/simulate/request.ts";
import { DEFAULT_PEER } from "../expect/run.ts";
import type { Manifest } from "../offline/manifests.ts";

export interface Probe {
  /** Everything but who asks and when. */
  readonly request: Omit<SimRequest, "as" | "atMs">;
  readonly route: string; // namespace/name
}

/** So that one route with many rules does not take for ever; what is left out is said. */
const MOST_PER_ROUTE = 400;

export interface Probes {
  readonly probes: readonly Probe[];
  /** Routes with more requests than were asked. */
  readonly cut: readonly string[];
}

export function probesOf(manifests: ReadonlyMap<string, Manifest>, open: OpenEngine): Probes {
  const cut: string[] = [];
  const probes = [...manifests.values()].flatMap(({ key }): readonly Probe[] => {
    const route = key.kind === "HTTPRoute" ? open.objects.routes.get(`${key.namespace}/${key.name}`) : undefined;
    if (route === undefined) return [];
    const own = probesOfRoute(route, open);
    if (own.length > MOST_PER_ROUTE) cut.push(idOf(route));
    return own.slice(0, MOST_PER_ROUTE);
  });
  return { probes, cut };
}

function probesOfRoute(route: HttpRoute, open: OpenEngine): readonly Probe[] {
  return open.views.attachments.get(idOf(route)).places.flatMap(({ gateway: id, listener: name, pattern }) => {
    const own = open.views.gateways.get(id);
    const listener = own?.listeners.find((one) => one.name === name);
    if (own === undefined || listener === undefined) return [];
    return route.rules.flatMap((rule) => {
      const policies = open.views.layers(own.gateway, name, route, rule.name).flatMap((layer) => layer.policies);
      const base = {
        scheme: listener.protocol === "HTTPS" ? "https" : "http",
        host: pattern.replace(/^\*$/, "any.test").replace(/^\*\./, "any."),
        port: listener.port,
        gateway: id,
      } as const;
      return variants(rule, policies).map(({ method, path, headers, from }) => ({
        route: idOf(route),
        request: { ...base, method, path, headers, from },
      }));
    });
  });
}

interface Variant {
  readonly method: string;
  readonly path: string;
  readonly headers: SimRequest["headers"];
  readonly from: string;
}

function variants(rule: RouteRule, policies: readonly ParsedApiPolicy[]): readonly Variant[] {
  const rules = policies.flatMap(({ sections }) => sections.authorization?.rules ?? []);
  const named = new Set(["GET", "POST", ...rules.flatMap(({ methods = [] }) => methods)]);
  const templates = rules.flatMap(({ paths = [] }) => paths.map(sampleOf));
  const lists = policies.flatMap(({ sections }) => [sections.allowlist, sections.denylist]);
  const addresses = new Set([
    DEFAULT_PEER,
    ...lists.flatMap((list) => (list?.entries ?? []).map(({ cidr }) => cidr.slice(0, cidr.indexOf("/")))),
    ...rules.flatMap(({ sources = [] }) => sources.map((cidr) => cidr.slice(0, cidr.indexOf("/")))),
  ]);
  return rule.matches.flatMap((match) => {
    const methods = match.method === undefined ? [...named] : [match.method];
    const { type, value } = match.path;
    const within = templates.filter(
      (path) => type !== "Exact" && path.startsWith(value.endsWith("/") ? value : `${value}/`),
    );
    const paths = new Set([value, ...within]);
    const headers = match.headers.map((one) => [one.name, one.value] as const);
    const query = match.query
      .map((one) => `${encodeURIComponent(one.name)}=${encodeURIComponent(one.value)}`)
      .join("&");
    return [...paths].flatMap((path) =>
      methods.flatMap((method) =>
        [...addresses].map((from) => ({ method, path: query === "" ? path : `${path}?${query}`, headers, from })),
      ),
    );
  });
}

/** A path that fits a template: `/orders/{id}/**` → `/orders/x/x`. */
function sampleOf(template: string): string {
  return template.replace(/\*\*|\*|\{[^}]*\}/g, "x");
}
