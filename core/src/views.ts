/** What several stages ask of the world, derived once: our Gateways, where routes attach, which policies hold, what references lead to. */
import { type Attachment, attach } from "./attach/attachment.ts";
import { type Backend, resolveBackend } from "./attach/backend.ts";
import { type Listener, listenersOf } from "./attach/listeners.ts";
import { type Layer, olderPolicy, OVERRIDES_ALLOWED, OVERRIDES_LABEL, type SectionState } from "./attach/layer.ts";
import type { ParsedApiPolicy } from "./kinds/api-policy.ts";
import type { Gateway } from "./kinds/gateway-api/gateway.ts";
import type { BackendRef, HttpRoute } from "./kinds/gateway-api/http-route.ts";
import { grants, type Reference } from "./kinds/gateway-api/reference-grant.ts";
import { joinKey, splitKey } from "./key.ts";
import { idOf } from "./kinds/meta.ts";
import type { Derived, Graph } from "./memo.ts";
import { type Objects, targetKey } from "./objects.ts";
import type { Level } from "./slice.ts";
import type { AnySlice } from "./slices.ts";

/** A Gateway whose class is ours. */
export interface OwnGateway {
  readonly gateway: Gateway;
  readonly listeners: readonly Listener[];
  /** Its proxies run in pods that we make: addresses and low ports are the Service's. */
  readonly inCluster: boolean;
}

export interface Views {
  readonly slices: readonly AnySlice[];
  readonly gateways: Derived<OwnGateway | undefined>;
  readonly attachments: Derived<Attachment>;
  readonly permitted: (reference: Reference, namespace: string) => boolean;
  readonly backend: (
    ref: BackendRef,
    from: { readonly group?: string; readonly kind: string; readonly namespace: string },
  ) => Backend;
  /** Far to near; `rule` is the name of a route rule. */
  readonly layers: (gateway: Gateway, listener: string, route?: HttpRoute, rule?: string) => readonly Layer[];
  readonly policiesAt: (kind: string, namespace: string, name: string, section?: string) => readonly ParsedApiPolicy[];
  /** The policies of one target; `section` is a listener or rule name. */
  readonly layerAt: (level: Level, namespace: string, name: string, section?: string) => Layer;
  /** The Overrides among them: an edit of a Default is no change of these. */
  readonly floorsAt: Views["layerAt"];
  readonly state: (policy: ParsedApiPolicy, slice: AnySlice) => SectionState;
}

const detached: Attachment = { parents: [], places: [] };

export function createViews(
  graph: Graph,
  objects: Objects,
  controllerName: string,
  slices: readonly AnySlice[],
  state: Views["state"],
  inCluster = false,
): Views {
  const gateways = graph.derived<OwnGateway | undefined>(
    "gateways",
    (id) => {
      const gateway = objects.gateways.get(id);
      if (gateway === undefined || objects.classes.get(gateway.className)?.controllerName !== controllerName)
        return undefined;
      return { gateway, listeners: listenersOf(gateway, inCluster), inCluster };
    },
    undefined,
  );

  const attachments = graph.fading<Attachment>(
    "attachments",
    (id) => {
      const route = objects.routes.get(id);
      if (route === undefined) return detached;
      return attach(route, {
        listeners: (gateway) => gateways.get(gateway)?.listeners,
        namespaceLabels: (namespace) => objects.namespaces.get(namespace) ?? {},
      });
    },
    detached,
  );

  function permitted(reference: Reference, namespace: string): boolean {
    const ids = objects.grantsByNamespace.get(namespace).keys();
    return [...ids].some((id) => {
      const grant = objects.grants.get(id);
      return grant !== undefined && grants(grant, reference);
    });
  }

  function policiesAt(kind: string, namespace: string, name: string, section = ""): readonly ParsedApiPolicy[] {
    const ids = objects.policiesByTarget.get(targetKey(kind, namespace, name, section)).keys();
    return [...ids].flatMap((id) => objects.policies.get(id) ?? []).sort(olderPolicy);
  }

  function layerAt(level: Level, namespace: string, name: string, section?: string): Layer {
    return layerOf(level, namespace, policiesAt(TARGET_KIND[level], namespace, name, section));
  }

  function layerOf(level: Level, namespace: string, policies: readonly ParsedApiPolicy[]): Layer {
    const free = level === "Gateway" || level === "Listener";
    // The label is read only where it matters: an edit of it is then a change of nothing else.
    const asks = !free && policies.some(({ precedence }) => precedence === "Override");
    const labels = asks ? objects.namespaces.get(namespace) : undefined;
    return { level, policies, overrides: !asks || labels?.[OVERRIDES_LABEL] === OVERRIDES_ALLOWED };
  }

  const noFloors: readonly ParsedApiPolicy[] = [];
  const overridesAt = graph.derived<readonly ParsedApiPolicy[]>(
    "floors",
    (key) => {
      const [level = "", namespace = "", name = "", section = ""] = splitKey(key);
      const policies = policiesAt(TARGET_KIND[level as Level], namespace, name, section);
      return policies.filter(({ precedence }) => precedence === "Override");
    },
    noFloors,
  );

  function floorsAt(level: Level, namespace: string, name: string, section = ""): Layer {
    return layerOf(level, namespace, overridesAt.get(joinKey(level, namespace, name, section)));
  }

  return {
    slices,
    gateways,
    attachments,
    permitted,
    policiesAt,
    layerAt,
    floorsAt,
    state,
    backend: (ref, from) => resolveBackend(ref, from, { service: (id) => objects.services.get(id), permitted }),
    layers(gateway, listener, route, rule) {
      const { namespace, name } = gateway;
      const layers = [
        layerAt("Gateway", namespace, name),
        layerAt("Listener", namespace, name, listener),
        ...(route === undefined
          ? []
          : [
              layerAt("Namespace", route.namespace, route.namespace),
              layerAt("Route", route.namespace, route.name),
              ...(rule === undefined ? [] : [layerAt("Rule", route.namespace, route.name, rule)]),
            ]),
      ];
      return layers.filter(({ policies }) => policies.length > 0);
    },
  };
}

const TARGET_KIND = {
  Gateway: "Gateway",
  Listener: "Gateway",
  Namespace: "Namespace",
  Route: "HTTPRoute",
  Rule: "HTTPRoute",
} as const satisfies Readonly<Record<Level, string>>;

export function policyId(policy: ParsedApiPolicy): string {
  return idOf(policy.key);
}
