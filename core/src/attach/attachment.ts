/** Where one HTTPRoute attaches: per parent the verdict, and per listener the host patterns under which it is found. */
import { selects } from "../kinds/gateway-api/gateway.ts";
import { GATEWAY_GROUP } from "../kinds/gateway-api/gateway.ts";
import type { HttpRoute, ParentRef } from "../kinds/gateway-api/http-route.ts";
import type { JsonObject } from "../world.ts";
import { intersect, isHostPattern, mostSpecific } from "./hostname.ts";
import type { Listener } from "./listeners.ts";

/** A host pattern in an HCM of a Gateway: one scope. */
export interface Place {
  readonly gateway: string; // namespace/name
  readonly hcm: string;
  readonly pattern: string;
  readonly listener: string;
}

export interface ParentVerdict {
  readonly written: JsonObject;
  readonly gateway: string;
  readonly accepted: boolean;
  readonly reason: string;
  readonly message: string;
  readonly listeners: readonly string[];
}

export interface Attachment {
  readonly parents: readonly ParentVerdict[];
  readonly places: readonly Place[];
}

export interface AttachmentReads {
  /** Undefined: no Gateway of ours. */
  readonly listeners: (gateway: string) => readonly Listener[] | undefined;
  readonly namespaceLabels: (namespace: string) => Readonly<Record<string, string>>;
}

export function attach(route: HttpRoute, reads: AttachmentReads): Attachment {
  const parents: ParentVerdict[] = [];
  const places = new Map<string, Place>();
  for (const parent of route.parents) {
    if (parent.group !== GATEWAY_GROUP || parent.kind !== "Gateway") continue;
    const gateway = `${parent.namespace}/${parent.name}`;
    const listeners = reads.listeners(gateway);
    if (listeners === undefined) continue;
    const found = attachToParent(route, parent, listeners, reads);
    const verdict = { written: parent.written, gateway };
    if ("reason" in found) {
      parents.push({ ...verdict, ...found, accepted: false, listeners: [] });
      continue;
    }
    parents.push({
      ...verdict,
      accepted: true,
      reason: "Accepted",
      message: `attached to ${found.map(({ listener }) => listener.name).join(", ")}`,
      listeners: found.map(({ listener }) => listener.name),
    });
    for (const { listener, patterns } of found) {
      for (const pattern of patterns) {
        places.set(`${gateway} ${listener.hcm} ${pattern}`, {
          gateway,
          hcm: listener.hcm,
          pattern,
          listener: listener.name,
        });
      }
    }
  }
  return { parents, places: [...places.values()] };
}

interface Found {
  readonly listener: Listener;
  readonly patterns: readonly string[];
}

function attachToParent(
  route: HttpRoute,
  parent: ParentRef,
  all: readonly Listener[],
  reads: AttachmentReads,
): readonly Found[] | { readonly reason: string; readonly message: string } {
  const named = all.filter(({ name, port }) => (parent.sectionName ?? name) === name && (parent.port ?? port) === port);
  const wanted = [parent.sectionName && `listener ${parent.sectionName}`, parent.port && `port ${parent.port}`]
    .filter(Boolean)
    .join(", ");
  if (named.length === 0) return { reason: "NoMatchingParent", message: `the Gateway has no ${wanted || "listener"}` };
  const served = named.filter(({ fault }) => fault === undefined);
  if (served.length === 0) {
    return {
      reason: "NoMatchingParent",
      message: `listener ${named.map(({ name }) => name).join(", ")} is not accepted; see the Gateway's status`,
    };
  }
  const allowing = served.filter((listener) => allows(listener, parent.namespace, route, reads));
  if (allowing.length === 0) {
    return {
      reason: "NotAllowedByListeners",
      message: `no listener allows HTTPRoutes of namespace ${route.namespace}; see allowedRoutes of the Gateway`,
    };
  }
  const bad = route.hostnames.find((host) => !isHostPattern(host));
  if (bad !== undefined)
    return {
      reason: "UnsupportedValue",
      message: `spec.hostnames: ${JSON.stringify(bad.slice(0, 64))} is no DNS name`,
    };
  const hosts = route.hostnames.length === 0 ? ["*"] : route.hostnames;
  const found = allowing.flatMap((listener) => {
    const patterns = hosts.flatMap((host) => intersect(listener.hostname, host) ?? []);
    return patterns.length === 0
      ? []
      : [{ listener, patterns: patterns.filter((pattern) => owns(listener, pattern, all)) }];
  });
  if (found.length > 0) return found;
  return {
    reason: "NoMatchingListenerHostname",
    message: `none of ${hosts.join(", ")} is a host of ${allowing.map(({ name, hostname }) => `listener ${name} (${hostname})`).join(", ")}`,
  };
}

function allows(listener: Listener, gatewayNamespace: string, route: HttpRoute, reads: AttachmentReads): boolean {
  if (!listener.kinds.some(({ kind }) => kind === "HTTPRoute")) return false;
  const { from, selector } = listener.spec;
  switch (from) {
    case "All":
      return true;
    case "Same":
      return gatewayNamespace === route.namespace;
    case "None":
      return false;
    case "Selector":
      return selector !== undefined && selects(selector, reads.namespaceLabels(route.namespace));
  }
}

/** Of several listeners of a port the most specific one has a host to itself (GEP-3567, listener isolation). */
function owns(listener: Listener, pattern: string, all: readonly Listener[]): boolean {
  const siblings = all.filter(({ port, fault }) => port === listener.port && fault === undefined);
  return (
    mostSpecific(
      siblings.map(({ hostname }) => hostname),
      pattern,
    ) === listener.hostname
  );
}
