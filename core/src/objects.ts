/**
 * The world as the graph holds it: one input per kind with parsed objects, and the relations that follow from a single object. An object
 * is parsed once per change; what parses equal stops there (status-only updates, resyncs).
 */
import { type ParsedApiConsumer, parseApiConsumer } from "./kinds/api-consumer.ts";
import { type ParsedApiGrant, parseApiGrant } from "./kinds/api-grant.ts";
import { type ParsedApiPolicy, parseApiPolicy } from "./kinds/api-policy.ts";
import type { EndpointSlice, Service } from "./kinds/core/service.ts";
import { parseEndpointSlice, parseService } from "./kinds/core/service.ts";
import { deniedValues, parseConfigMap, parseSecret, type StoredValues } from "./kinds/core/value.ts";
import { type CertManagerCertificate, parseCertificate } from "./kinds/cert-manager.ts";
import { type BackendTlsPolicy, parseBackendTlsPolicy } from "./kinds/gateway-api/backend-tls-policy.ts";
import { type Gateway, type GatewayClass, parseGateway, parseGatewayClass } from "./kinds/gateway-api/gateway.ts";
import { type ParsedProxyConfig, parseProxyConfig } from "./kinds/proxy-config.ts";
import { type HttpRoute, parseHttpRoute } from "./kinds/gateway-api/http-route.ts";
import { parseReferenceGrant, type ReferenceGrant } from "./kinds/gateway-api/reference-grant.ts";
import { createShared } from "./kinds/shared.ts";
import type { Effects, Give, Graph, Input, Relation } from "./memo.ts";
import type { Change, JwksState, Kind, KubeObject, ObjectKey } from "./world.ts";

export interface Objects {
  readonly classes: Input<GatewayClass>;
  readonly gateways: Input<Gateway>;
  readonly routes: Input<HttpRoute>;
  readonly grants: Input<ReferenceGrant>;
  readonly backendTls: Input<BackendTlsPolicy>;
  readonly policies: Input<ParsedApiPolicy>;
  readonly consumers: Input<ParsedApiConsumer>;
  readonly apiGrants: Input<ParsedApiGrant>;
  readonly proxyConfigs: Input<ParsedProxyConfig>;
  readonly services: Input<Service>;
  readonly slices: Input<EndpointSlice>;
  readonly namespaces: Input<Readonly<Record<string, string>>>; // labels
  readonly certificates: Input<CertManagerCertificate>;
  /** Keys `Secret/ns/name` and `ConfigMap/ns/name`. */
  readonly values: Input<StoredValues>;
  readonly jwks: Input<JwksState>;

  readonly gatewaysByClass: Relation<true>;
  readonly grantsByNamespace: Relation<true>;
  readonly slicesByService: Relation<true>;
  readonly backendTlsByService: Relation<true>;
  readonly consumersByNamespace: Relation<true>;
  /** ApiGrants by the rule of a policy: keys of {@link ruleKey}. */
  readonly apiGrantsByRule: Relation<true>;
  readonly apiGrantsByPolicy: Relation<true>; // keys `namespace/name`
  readonly certificatesByNamespace: Relation<true>;
  /** Effects that live as long as the object of their key. */
  follow(kind: PresentKind, effects: Effects): void;
  /** Keys are {@link targetKey}s. */
  readonly policiesByTarget: Relation<true>;
}

export type PresentKind =
  "GatewayClass" | "Gateway" | "HTTPRoute" | "ApiPolicy" | "ApiConsumer" | "ApiGrant" | "BackendTLSPolicy";

/** A target as policies name it; `section` is a listener or rule name, "" for all of it. */
export function targetKey(kind: string, namespace: string, name: string, section = ""): string {
  return [kind, namespace, name, section].join("/"); // flat, unlike a template: these keys are kept
}

/** A rule of a policy's section authorization, as ApiGrants name it. */
export function ruleKey(namespace: string, policy: string, rule: string): string {
  return `${namespace}/${policy}/${rule}`;
}

export interface ObjectStore {
  readonly objects: Objects;
  readonly put: (change: Change) => void;
}

type Parser = (id: string, object: KubeObject | undefined, change: Change) => void;

/** `watched` hears which Secrets, ConfigMaps (`Kind/namespace/name`) and key sets somebody reads. */
export function createObjectStore(
  graph: Graph,
  watched: { readonly value: (key: string, read: boolean) => void; readonly jwks: (id: string, read: boolean) => void },
): ObjectStore {
  const followers: Readonly<Record<PresentKind, Effects[]>> = {
    GatewayClass: [],
    Gateway: [],
    HTTPRoute: [],
    ApiPolicy: [],
    ApiConsumer: [],
    ApiGrant: [],
    BackendTLSPolicy: [],
  };
  const shared = createShared();
  const objects: Objects = {
    classes: graph.input("objects"),
    gateways: graph.input("objects"),
    routes: graph.input("objects"),
    grants: graph.input("objects"),
    backendTls: graph.input("objects"),
    policies: graph.input("objects"),
    consumers: graph.input("objects"),
    apiGrants: graph.input("objects"),
    proxyConfigs: graph.input("objects"),
    services: graph.input("objects"),
    slices: graph.input("objects"),
    namespaces: graph.input("objects"),
    certificates: graph.input("objects"),
    values: graph.input("objects", watched.value),
    jwks: graph.input("objects", watched.jwks),
    gatewaysByClass: graph.relation("gateways-by-class"),
    grantsByNamespace: graph.relation("grants-by-namespace"),
    slicesByService: graph.relation("slices-by-service"),
    backendTlsByService: graph.relation("backend-tls-by-service"),
    consumersByNamespace: graph.relation("consumers-by-namespace"),
    apiGrantsByPolicy: graph.relation("api-grants-by-policy"),
    apiGrantsByRule: graph.relation("api-grants-by-rule"),
    certificatesByNamespace: graph.relation("certificates-by-namespace"),
    policiesByTarget: graph.relation("policies-by-target"),
    follow: (kind, effects) => void followers[kind].push(effects),
  };

  /** A kind with an input of its own and, per object, the cells of relations in which it stands. */
  function indexed<V>(
    input: Input<V>,
    kind: string,
    parse: (object: KubeObject) => V | undefined,
    index?: (value: V, id: string, give: Give) => void,
  ): Parser {
    return (id, object) => {
      const value = object && parse(object);
      input.set(id, value);
      if (index !== undefined) {
        graph.give(`${kind}/${id}`, (give) => {
          if (value !== undefined) index(value, id, give);
        });
      }
      const following = Object.hasOwn(followers, kind) ? followers[kind as PresentKind] : [];
      for (const effects of following) {
        if (value === undefined) effects.remove(id);
        else effects.add(id);
      }
    };
  }

  const stored =
    (kind: "Secret" | "ConfigMap", parse: (object: KubeObject) => StoredValues): Parser =>
    (id, object, { denied }) =>
      objects.values.set(`${kind}/${id}`, denied === true ? deniedValues : object && parse(object));

  const parsers: Partial<Readonly<Record<Kind, Parser>>> = {
    GatewayClass: indexed(objects.classes, "GatewayClass", parseGatewayClass),
    Gateway: indexed(objects.gateways, "Gateway", parseGateway, (gateway, id, give) =>
      give(objects.gatewaysByClass, gateway.className, id, true),
    ),
    HTTPRoute: indexed(objects.routes, "HTTPRoute", (object) => parseHttpRoute(object, shared)),
    ReferenceGrant: indexed(objects.grants, "ReferenceGrant", parseReferenceGrant, (grant, id, give) =>
      give(objects.grantsByNamespace, grant.namespace, id, true),
    ),
    BackendTLSPolicy: indexed(objects.backendTls, "BackendTLSPolicy", parseBackendTlsPolicy, (policy, id, give) => {
      for (const target of policy.targets)
        give(objects.backendTlsByService, `${policy.namespace}/${target.name}`, id, true);
    }),
    ApiPolicy: indexed(
      objects.policies,
      "ApiPolicy",
      (object) => parseApiPolicy(object, shared),
      (policy, id, give) => {
        for (const ref of policy.targetRefs) {
          give(
            objects.policiesByTarget,
            targetKey(ref.kind, policy.key.namespace, ref.name, ref.sectionName),
            id,
            true,
          );
        }
      },
    ),
    ApiConsumer: indexed(objects.consumers, "ApiConsumer", parseApiConsumer, (consumer, id, give) =>
      give(objects.consumersByNamespace, consumer.key.namespace, id, true),
    ),
    ApiGrant: indexed(objects.apiGrants, "ApiGrant", parseApiGrant, ({ key: { namespace }, right }, id, give) => {
      if (right === undefined) return;
      give(objects.apiGrantsByPolicy, `${namespace}/${right.policy}`, id, true);
      for (const rule of right.rules) give(objects.apiGrantsByRule, ruleKey(namespace, right.policy, rule), id, true);
    }),
    ProxyConfig: indexed(objects.proxyConfigs, "ProxyConfig", parseProxyConfig),
    Service: indexed(objects.services, "Service", parseService),
    EndpointSlice: indexed(objects.slices, "EndpointSlice", parseEndpointSlice, (slice, id, give) =>
      give(objects.slicesByService, `${slice.namespace}/${slice.service}`, id, true),
    ),
    Namespace: (_, object, { key }) => objects.namespaces.set(key.name, object && (object.metadata.labels ?? {})),
    Certificate: indexed(objects.certificates, "Certificate", parseCertificate, (certificate, id, give) =>
      give(objects.certificatesByNamespace, certificate.namespace, id, true),
    ),
    Secret: stored("Secret", parseSecret),
    ConfigMap: stored("ConfigMap", parseConfigMap),
    Jwks: (_, object, { key }) => objects.jwks.set(key.name, object?.spec as JwksState | undefined),
  };

  return { objects, put: (change) => parsers[change.key.kind]?.(keyId(change.key), change.object, change) };
}

/** `namespace/name`, or the name alone where there is no namespace. */
function keyId({ namespace, name }: ObjectKey): string {
  return namespace === "" ? name : [namespace, name].join("/"); // flat, unlike a template: these keys are kept
}
