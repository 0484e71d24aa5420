/** What holds where, as lint looks at it: a rule of a route behind a listener, and the policies whose sections are in force there. */
import { effectiveSections } from "@gatewarden/core/attach/policies.ts";
import { ruleFault } from "@gatewarden/core/attach/route-faults.ts";
import type { OpenEngine } from "@gatewarden/core/engine.ts";
import type { ParsedApiPolicy } from "@gatewarden/core/kinds/api-policy.ts";
import type { RouteRule } from "@gatewarden/core/kinds/gateway-api/http-route.ts";
import { idOf } from "@gatewarden/core/kinds/meta.ts";
import type { Level, SectionKey, Source } from "@gatewarden/core/slice.ts";
import { slices } from "@gatewarden/core/slices.ts";
import { keyText } from "@gatewarden/operator/kube/kinds.ts";
import type { Manifest } from "../offline/manifests.ts";

export interface Api {
  /** `HTTPRoute/namespace/name`. */
  readonly route: string;
  readonly at: number; // index of the rule
  readonly rule: RouteRule;
  /** `Gateway/namespace/name` and its listener. */
  readonly gateway: string;
  readonly listener: { readonly name: string; readonly protocol: "HTTP" | "HTTPS"; readonly index: number };
  /** Policies whose section is enforced here, nearest first; absent: nobody writes it. */
  readonly enforced: ReadonlyMap<SectionKey, readonly ParsedApiPolicy[]>;
  readonly audited: ReadonlyMap<SectionKey, readonly ParsedApiPolicy[]>;
  /** Those of `enforced` that are Overrides, with the level at which they hold. */
  readonly floors: ReadonlyMap<SectionKey, readonly Floor[]>;
  /** Answers 503 whatever comes: something is broken. */
  readonly closed: boolean;
}

export interface Floor {
  readonly policy: ParsedApiPolicy;
  readonly level: Level;
}

/** @param open the engine that these objects were given to */
export function apisOf(manifests: ReadonlyMap<string, Manifest>, { views, objects }: OpenEngine): readonly Api[] {
  const written = (sources: readonly Source[]): readonly ParsedApiPolicy[] =>
    sources.flatMap(({ namespace, name }) => objects.policies.get(`${namespace}/${name}`) ?? []);
  const floorsAmong = (sources: readonly Source[]): readonly Floor[] =>
    sources
      .filter(({ precedence }) => precedence === "Override")
      .flatMap((source) => written([source]).map((policy): Floor => ({ policy, level: source.level })));
  return [...manifests.values()].flatMap(({ key }): readonly Api[] => {
    const route = key.kind === "HTTPRoute" ? objects.routes.get(`${key.namespace}/${key.name}`) : undefined;
    if (route === undefined) return [];
    // A listener with several hosts of a route is several places and one set of policies.
    const behind = new Map(
      views.attachments.get(idOf(route)).places.map((place) => [`${place.gateway} ${place.listener}`, place]),
    );
    return [...behind.values()].flatMap(({ gateway: id, listener: name }) => {
      const own = views.gateways.get(id);
      const index = own?.listeners.findIndex((one) => one.name === name) ?? -1;
      const listener = own?.listeners[index];
      if (own === undefined || listener === undefined) return [];
      return route.rules.map((rule, at): Api => {
        const { sections, closed } = effectiveSections(
          views.layers(own.gateway, name, route, rule.name),
          slices,
          views.state,
        );
        const by = (kind: "enforced" | "audited"): Api["enforced"] =>
          new Map(
            sections.flatMap((effective) => {
              const found = effective[kind];
              return found === undefined ? [] : [[effective.slice.key, written(found.sources)] as const];
            }),
          );
        return {
          route: keyText(key),
          at,
          rule,
          gateway: `Gateway/${id}`,
          listener: { name, protocol: listener.protocol, index },
          enforced: by("enforced"),
          audited: by("audited"),
          floors: new Map(
            sections.map(({ slice, enforced }) => [slice.key, floorsAmong(enforced?.sources ?? [])] as const),
          ),
          closed: closed.length > 0 || ruleFault(rule, at) !== undefined,
        };
      });
    });
  });
}

/** A rule that only sends callers elsewhere serves nothing that needs protection. */
export function redirects({ rule }: Api): boolean {
  return rule.filters.some(({ type }) => type === "RequestRedirect");
}

/** Places of one route with the same finding are one finding: `spec.rules[0]` behind three listeners is one rule. */
export function perRule(apis: readonly Api[]): readonly Api[] {
  const seen = new Map<string, Api>();
  for (const api of apis) if (!seen.has(`${api.route} ${api.at}`)) seen.set(`${api.route} ${api.at}`, api);
  return [...seen.values()];
}
