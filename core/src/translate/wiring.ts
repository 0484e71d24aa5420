/** The relations between stages: what one stage gives for the next. */
import type { Graph, Relation } from "../memo.ts";
import type { Problem } from "../problems.ts";
import type { SectionKey } from "../slice.ts";
import type { CertificateChange, JsonObject, Owner } from "../world.ts";
import type { ClusterUse } from "./cluster.ts";

export interface Wiring {
  /** By gateway, HCM, pattern: the routes found there with their listener; member "" is a listener's own hostname. */
  readonly hosts: Relation<string>;
  /** By gateway and HCM. */
  readonly wildcards: Relation<true>;
  readonly ports: Relation<true>; // by gateway and port
  readonly attachedRoutes: Relation<true>; // by gateway and listener
  readonly gatewaysByNamespace: Relation<true>; // Gateways that routes of a namespace attach to
  readonly lostHosts: Relation<string>; // by route: host patterns that an older route of another namespace holds
  readonly slots: Relation<true>; // by gateway and slot: ECDS resources that exist
  readonly entries: Relation<{ readonly section: SectionKey; readonly json: JsonObject }>; // by gateway and slot
  readonly entryOwners: Relation<Owner>; // by gateway and slot
  readonly resourceOwners: Relation<Owner>; // by gateway, type and name: of secrets and named resources
  readonly clusters: Relation<ClusterUse>; // by gateway and name; member ""
  readonly secrets: Relation<string>; // by gateway and name of SDS; member "": the Secret (`namespace/name`) that a listener shows
  readonly named: Relation<JsonObject>; // by gateway, type and name; member ""
  readonly certificates: Relation<CertificateChange>; // by namespace/name; member ""
  readonly placeProblems: Relation<Problem>; // by policy: what only a place shows
  readonly certifiedOn: Relation<true>; // by policy: Gateways with a listener that asks for the client certificates that it wants
  readonly closedBy: Relation<string>; // by route: what closes it, by gateway, listener and text
  readonly gatewaysByService: Relation<true>; // Gateways whose routes call a Service
  readonly consumersOn: Relation<true>; // by namespace: Gateways whose proxies hold credentials of its consumers
  readonly grantsOn: Relation<true>; // by ApiGrant: Gateways whose proxies ask for it
  readonly ownHeaders: Relation<true>; // by `namespace` or gateway id: header names that only we may set
}

export function createWiring(graph: Graph): Wiring {
  return {
    hosts: graph.relation("hosts-by-pattern"),
    wildcards: graph.relation("wildcards-by-hcm"),
    ports: graph.relation("ports"),
    attachedRoutes: graph.relation("routes-by-listener"),
    gatewaysByNamespace: graph.relation("gateways-by-namespace"),
    lostHosts: graph.relation("lost-hosts-by-route"),
    slots: graph.relation("slots"),
    entries: graph.relation("entries-by-slot"),
    entryOwners: graph.relation("owners-by-slot"),
    resourceOwners: graph.relation("owners-by-resource"),
    clusters: graph.relation("clusters-by-name"),
    secrets: graph.relation("secrets-by-name"),
    named: graph.relation("named-by-name"),
    certificates: graph.relation("certificates-by-name"),
    placeProblems: graph.relation("problems-by-policy"),
    certifiedOn: graph.relation("certified-on-gateways"),
    closedBy: graph.relation("closed-by-policies"),
    gatewaysByService: graph.relation("gateways-by-service"),
    consumersOn: graph.relation("consumers-on-gateways"),
    grantsOn: graph.relation("grants-on-gateways"),
    ownHeaders: graph.relation("own-headers"),
  };
}
