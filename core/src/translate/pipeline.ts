/**
 * The stages from attachments to xDS resources, in the order of their ranks. An effect makes one resource (or what one object gives to
 * later stages) and runs again only when something that it read has changed.
 */
import type { Closed } from "../attach/layer.ts";
import { asksForGrants } from "../grants/status.ts";
import type { ParsedApiPolicy } from "../kinds/api-policy.ts";
import { joinKey, splitKey } from "../key.ts";
import { compareText, idOf, splitId } from "../kinds/meta.ts";
import type { Effects, Failed, Graph } from "../memo.ts";
import type { Objects } from "../objects.ts";
import type { Outbox } from "../outbox.ts";
import type { ExtensionName, Lookup, SectionKey } from "../slice.ts";
import type { AnySlice } from "../slices.ts";
import type { Views } from "../views.ts";
import type { JsonObject, Owner, ResourceType } from "../world.ts";
import { gatewaySlots, TYPE } from "./chain.ts";
import { clusterJson, endpointsJson } from "./cluster.ts";
import {
  clientCertificatesOf,
  giveGateway,
  giveWildcard,
  listenerClosed,
  type ListenerReads,
  listenerResource,
  listenerVerdict,
} from "./gateway-stage.ts";
import { frontendPiece } from "./frontend-tls.ts";
import { indexScope } from "./host.ts";
import { type HostReads, hostResource } from "./host-stage.ts";
import { listenerName } from "./listener.ts";
import { createOrderedOwners } from "./ordered-owners.ts";
import { isOfConsumers, SHARED } from "./owner.ts";
import { createRetirement, type Retirement } from "./retire.ts";
import type { TlsToBackend } from "./rule.ts";
import { indexName, scopeName } from "./scope-picker.ts";
import { readPair, secretJson } from "./secret.ts";
import type { Wiring } from "./wiring.ts";

export interface PipelineParts {
  readonly graph: Graph;
  readonly objects: Objects;
  readonly views: Views;
  readonly wiring: Wiring;
  readonly outbox: Outbox;
  readonly lookup: Lookup;
  readonly slices: readonly AnySlice[];
  readonly failed: Failed;
  readonly requirePolicy: boolean;
  readonly logDirectory: string;
  readonly backendTls: (service: string, port: number) => TlsToBackend | undefined;
}

/** Ranks: what a stage gives is there before the next one runs. */
export const RANK = { attach: 1, host: 2, resource: 3 } as const;

export const REQUIRE_POLICY_ANNOTATION = "gatewarden.io/require-policy";

/** What the stages read, for whoever asks about one request (simulate/). */
export interface PipelineReads {
  readonly hosts: HostReads;
  readonly listeners: ListenerReads;
}

export interface Pipeline {
  readonly reads: PipelineReads;
  /** Nothing is due any more, and everything is about to be put out. */
  readonly ended: (nowMs: number) => void;
}

export function createPipeline(parts: PipelineParts): Pipeline {
  const { graph, objects, views, wiring, outbox, slices } = parts;
  attachStages(parts);

  const clientCertificates = graph.derived(
    "client-certificates",
    (key) => {
      const [gateway = "", name = ""] = splitKey(key);
      const own = views.gateways.get(gateway);
      const listener = own?.listeners.find((one) => one.name === name);
      if (own === undefined || listener === undefined) return "Off";
      const byPolicy = clientCertificatesOf(listenerVerdict(own, listener, { views, slices }));
      if (byPolicy !== undefined || listener.protocol === "HTTP") return byPolicy ?? "Off";
      const frontend = frontendPiece(own.gateway, listener.port, {
        values: objects.values,
        permitted: views.permitted,
      });
      return frontend?.ok === true ? frontend.clientCertificates : "Off";
    },
    "Off" as const,
  );
  const listenerReads = listenerReadsOf(parts);
  const closedListeners = graph.derived<readonly Closed[]>(
    "closed-listeners",
    (key) => {
      const [gateway = "", name = ""] = splitKey(key);
      const own = views.gateways.get(gateway);
      const listener = own?.listeners.find((one) => one.name === name);
      return own === undefined || listener === undefined ? [] : listenerClosed(own, listener, listenerReads);
    },
    [],
  );
  const reads: HostReads = {
    views,
    wiring,
    slices,
    failed: parts.failed,
    route: (id) => objects.routes.get(id),
    requirePolicy: (own) => parts.requirePolicy && own.gateway.annotations[REQUIRE_POLICY_ANNOTATION] !== "false",
    clientCertificates: (own, listener) => clientCertificates.get(joinKey(idOf(own.gateway), listener.name)),
    closed: (own, listener) => closedListeners.get(joinKey(idOf(own.gateway), listener.name)),
    backendTls: (service, port) => parts.backendTls(service, port),
    grants: (policy) => grantOwners(objects, policy),
  };
  const hosts = graph.effects(
    "scopes",
    RANK.host,
    (key, give) => {
      const [gateway = "", hcm = "", pattern = ""] = splitKey(key);
      const resource = hostResource({ gateway, hcm, pattern }, reads, give);
      if (resource !== undefined) outbox.resource(resource);
    },
    (key) => {
      const [gateway = "", hcm = "", pattern = ""] = splitKey(key);
      outbox.retract(gateway, "scope", scopeName(hcm, pattern));
    },
  );
  graph.follow(wiring.hosts, hosts);

  const indexes = graph.effects(
    "indexes",
    RANK.host,
    (key) => {
      const [gateway = "", hcm = ""] = splitKey(key);
      const wildcards = [...wiring.wildcards.get(key).keys()].filter((pattern) => pattern !== "").sort(compareText);
      outbox.resource({ gateway, type: "scope", name: indexName(hcm), json: indexScope(hcm, wildcards), owners: [] });
    },
    (key) => {
      const [gateway = "", hcm = ""] = splitKey(key);
      outbox.retract(gateway, "scope", indexName(hcm));
    },
  );
  graph.follow(wiring.wildcards, indexes);

  listenerStage(parts, listenerReads);
  const retirement = resourceStages(parts);
  return { reads: { hosts: reads, listeners: listenerReads }, ended: (nowMs) => retirement.ended(nowMs) };
}

function attachStages({ graph, objects, views, wiring }: PipelineParts): void {
  const gateways = graph.effects("gateway-needs", RANK.attach, (id, give) => {
    const own = views.gateways.get(id);
    if (own !== undefined) giveGateway(own, wiring, give);
  });
  objects.follow("Gateway", gateways);

  const routes = graph.effects("route-places", RANK.attach, (id, give) => {
    const { parents, places } = views.attachments.get(id);
    for (const { gateway, hcm, pattern, listener } of places) {
      give(wiring.hosts, joinKey(gateway, hcm, pattern), id, listener);
      giveWildcard(gateway, hcm, pattern, wiring, give);
    }
    for (const { gateway, listeners } of parents) {
      for (const listener of listeners) give(wiring.attachedRoutes, joinKey(gateway, listener), id, true);
      if (listeners.length > 0) give(wiring.gatewaysByNamespace, splitId(id).namespace, gateway, true);
    }
  });
  objects.follow("HTTPRoute", routes);

  const policies = graph.effects("own-headers", RANK.attach, (id, give) => {
    const policy = objects.policies.get(id);
    if (policy === undefined) return;
    // A Gateway policy's names are ours on all routes of that Gateway, any other's on the routes of its namespace.
    const gatewaysOnly = policy.targetRefs
      .filter(({ kind }) => kind === "Gateway")
      .map(({ name }) => `${policy.key.namespace}/${name}`);
    const places = [
      ...gatewaysOnly,
      ...(policy.targetRefs.some(({ kind }) => kind !== "Gateway") ? [policy.key.namespace] : []),
    ];
    for (const name of ownHeaderNames(policy, views))
      for (const place of places) give(wiring.ownHeaders, place, name, true);
  });
  objects.follow("ApiPolicy", policies);

  function ownHeaderNames(policy: Parameters<Views["state"]>[0], { state, slices }: Views): readonly string[] {
    return slices.flatMap((slice) => {
      if (slice.identityHeaders === undefined || policy.sections[slice.key] === undefined) return [];
      const resolved = state(policy, slice);
      return resolved.ok ? slice.identityHeaders(resolved.model) : [];
    });
  }
}

function listenerReadsOf({ objects, views, wiring, slices, logDirectory }: PipelineParts): ListenerReads {
  return {
    views,
    wiring,
    slices,
    logDirectory,
    frontend: { values: objects.values, permitted: views.permitted },
    foreignCertificates: (namespace) =>
      [...objects.certificatesByNamespace.get(namespace).keys()]
        .flatMap((id) => objects.certificates.get(id) ?? [])
        .filter(({ ours }) => !ours)
        .sort((a, b) => compareText(a.name, b.name)),
  };
}

function listenerStage({ graph, views, wiring, outbox }: PipelineParts, reads: ListenerReads): void {
  const listeners = graph.effects(
    "listeners",
    RANK.host,
    (key, give) => {
      const [gateway = "", port = ""] = splitKey(key);
      const own = views.gateways.get(gateway);
      const resource = own && listenerResource(own, Number(port), reads, give);
      if (resource === undefined) outbox.retract(gateway, "listener", listenerName(Number(port)));
      else outbox.resource(resource);
    },
    (key) => {
      const [gateway = "", port = ""] = splitKey(key);
      outbox.retract(gateway, "listener", listenerName(Number(port)));
    },
  );
  graph.follow(wiring.ports, listeners);
}

function resourceStages({
  graph,
  objects,
  wiring,
  outbox,
  slices,
  lookup,
}: PipelineParts): Pick<Retirement<never>, "ended"> {
  const ownersOf = (key: string): readonly Owner[] =>
    [...wiring.resourceOwners.get(key)].sort(([a], [b]) => compareText(a, b)).map(([, owner]) => owner);
  /** One resource per key `gateway, name`. */
  const resources = (
    stage: string,
    type: ResourceType,
    json: (key: string, gateway: string, name: string) => JsonObject | undefined,
  ): Effects =>
    graph.effects(
      stage,
      RANK.resource,
      (key) => {
        const [gateway = "", name = ""] = splitKey(key);
        const made = json(key, gateway, name);
        const owners = ownersOf(joinKey(gateway, type, name));
        if (made !== undefined) outbox.resource({ gateway, type, name, json: made, owners });
      },
      (key) => {
        const [gateway = "", name = ""] = splitKey(key);
        outbox.retract(gateway, type, name);
      },
    );

  graph.follow(
    wiring.clusters,
    resources("clusters", "cluster", (key) => {
      const use = wiring.clusters.get(key).get("");
      return use && clusterJson(use);
    }),
  );
  graph.follow(
    wiring.clusters,
    resources("endpoints", "endpoint", (key, _, name) => {
      const use = wiring.clusters.get(key).get("");
      if (use === undefined) return undefined;
      const slicesOf = [...objects.slicesByService.get(use.service).keys()].flatMap(
        (id) => objects.slices.get(id) ?? [],
      );
      return endpointsJson(name, use.port, slicesOf);
    }),
  );
  graph.follow(
    wiring.secrets,
    resources("secrets", "secret", (key, __, name) => {
      const id = wiring.secrets.get(key).get("") ?? "";
      // What does not fit is not sent: proxies keep the last good pair (R9, R29), also that of another Secret. The status says so.
      const pair = readPair(id, objects.values.get(`Secret/${id}`));
      return pair.ok ? secretJson(name, pair) : undefined;
    }),
  );

  const retirement = createRetirement<{ readonly section: SectionKey; readonly json: JsonObject }>();
  const ordered = createOrderedOwners();
  const extensions = graph.effects(
    "extensions",
    RANK.resource,
    (key) => {
      const [gateway = "", slot = ""] = splitKey(key);
      const entries = wiring.entries.get(key);
      const left = retirement.left({ key, slot }, entries, lookup.nowMs, (epochMs) => lookup.until(epochMs));
      const section = [...entries.values(), ...left.values()][0]?.section;
      const slice = slices.find((one) => one.key === section);
      const sorted = (some: typeof left): readonly (readonly [string, JsonObject])[] =>
        [...some].sort(([a], [b]) => compareText(a, b)).map(([name, { json }]) => [name, json]);
      const all = new Map([...sorted(left), ...sorted(entries)]);
      const config = slice?.extension?.(slot as ExtensionName, all, lookup) ?? gatewaySlots.get(slot);
      const owners = isOfConsumers(slot)
        ? consumerOwners(objects, [...entries.keys()].sort(compareText))
        : ordered.of(key, wiring.entryOwners.get(key));
      if (config !== undefined)
        outbox.resource({ gateway, type: "extension", name: slot, json: extensionJson(slot, config), owners });
    },
    (key) => {
      const [gateway = "", slot = ""] = splitKey(key);
      retirement.forget(key);
      ordered.forget(key);
      outbox.retract(gateway, "extension", slot);
    },
  );
  graph.follow(wiring.slots, extensions);

  const named = graph.effects(
    "named",
    RANK.resource,
    (key) => {
      const [gateway = "", type = "", name = ""] = splitKey(key);
      const json = wiring.named.get(key).get("");
      if (json !== undefined)
        outbox.resource({ gateway, type: type as ResourceType, name, json, owners: ownersOf(key) });
    },
    (key) => {
      const [gateway = "", type = "", name = ""] = splitKey(key);
      outbox.retract(gateway, type as ResourceType, name);
    },
  );
  graph.follow(wiring.named, named);

  const certificates = graph.effects(
    "certificates",
    RANK.resource,
    (key) => {
      const change = wiring.certificates.get(key).get("");
      if (change !== undefined) outbox.certificate(change);
    },
    (key) => {
      outbox.certificate({ ...splitId(key), object: undefined });
    },
  );
  graph.follow(wiring.certificates, certificates);
  return retirement;
}

/** Also grants that have ended: their end is what proxies have to know. */
function grantOwners(objects: Objects, policy: ParsedApiPolicy): readonly Owner[] {
  if (!asksForGrants(policy)) return [];
  return [...objects.apiGrantsByPolicy.get(idOf(policy.key)).keys()].sort(compareText).flatMap((id) => {
    const grant = objects.apiGrants.get(id);
    return grant === undefined ? [] : [{ key: grant.key, uid: grant.uid, generation: grant.generation }];
  });
}

/** Credentials belong to the consumers, whichever policies let them in. */
function consumerOwners(objects: Objects, namespaces: readonly string[]): readonly Owner[] {
  return namespaces.flatMap((namespace) =>
    [...objects.consumersByNamespace.get(namespace).keys()].sort(compareText).flatMap((id) => {
      const consumer = objects.consumers.get(id);
      return consumer === undefined ? [] : [{ key: consumer.key, uid: consumer.uid, generation: SHARED }];
    }),
  );
}

function extensionJson(name: string, config: JsonObject): JsonObject {
  return { "@type": `${TYPE}config.core.v3.TypedExtensionConfig`, name, typed_config: config };
}
