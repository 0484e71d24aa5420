/** Where each kind lives in the Kubernetes API, and what is thrown away before an object is kept. */
import { hash } from "node:crypto";
import type { Kind, KubeObject, ObjectKey } from "@gatewarden/core/world.ts";

export interface KindInfo {
  readonly kind: Kind;
  readonly group: string; // "" = core
  readonly version: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** The generation says whether the spec changed: an update of the status alone is no news to the core. */
  readonly generation: boolean;
  /** The core reads `status` of this kind. */
  readonly readsStatus: boolean;
}

const GATEWAY_GROUP = "gateway.networking.k8s.io";

function info(kind: Kind, group: string, version: string, plural: string, rest: Partial<KindInfo> = {}): KindInfo {
  return { kind, group, version, plural, namespaced: true, generation: true, readsStatus: false, ...rest };
}

/** Kinds that are watched in the whole cluster. */
export const CLUSTER_WIDE_KINDS: readonly KindInfo[] = [
  info("GatewayClass", GATEWAY_GROUP, "v1", "gatewayclasses", { namespaced: false }),
  info("Gateway", GATEWAY_GROUP, "v1", "gateways"),
  info("HTTPRoute", GATEWAY_GROUP, "v1", "httproutes"),
  info("ReferenceGrant", GATEWAY_GROUP, "v1beta1", "referencegrants"),
  info("BackendTLSPolicy", GATEWAY_GROUP, "v1", "backendtlspolicies"),
  info("ApiPolicy", "gatewarden.io", "v1alpha1", "apipolicies"),
  info("ApiConsumer", "gatewarden.io", "v1alpha1", "apiconsumers"),
  info("ApiGrant", "gatewarden.io", "v1alpha1", "apigrants"),
  info("ProxyConfig", "gatewarden.io", "v1alpha1", "proxyconfigs"),
  info("Namespace", "", "v1", "namespaces", { namespaced: false, generation: false }),
  info("Service", "", "v1", "services", { generation: false, readsStatus: true }),
  info("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices", { generation: false }),
  info("Certificate", "cert-manager.io", "v1", "certificates", { generation: false, readsStatus: true }),
];

/**
 * Kinds whose CRD may be missing: without it nothing is lost but the feature, and nothing opens (no grants: nobody has the right). A missing one
 * of the others would look like an empty cluster.
 */
const OPTIONAL_KINDS: ReadonlySet<Kind> = new Set<Kind>([
  "ReferenceGrant",
  "BackendTLSPolicy",
  "Certificate",
  "ProxyConfig",
  "ApiGrant",
]);

/** Kinds that came later than the first chart: its rights do not name them, and an upgrade of the operator alone must not stop it. */
const YOUNG_KINDS: ReadonlySet<Kind> = new Set<Kind>(["ProxyConfig", "ApiGrant"]);

/** Whether the operator may serve although this kind cannot be read. */
export function isDispensable(kind: Kind, state: string | undefined): boolean {
  return (state === "absent" && OPTIONAL_KINDS.has(kind)) || (state === "denied" && YOUNG_KINDS.has(kind));
}

/** Kinds that are read by reference only, object by object. */
export const REFERENCED_KINDS: Readonly<Record<"Secret" | "ConfigMap", KindInfo>> = {
  Secret: info("Secret", "", "v1", "secrets", { generation: false }),
  ConfigMap: info("ConfigMap", "", "v1", "configmaps", { generation: false }),
};

/** The kind's entry, also for Secrets and ConfigMaps; throws for `Jwks`, which Kubernetes does not have. */
export function kindInfo(kind: Kind): KindInfo {
  const found =
    kind === "Secret" || kind === "ConfigMap"
      ? REFERENCED_KINDS[kind]
      : CLUSTER_WIDE_KINDS.find((entry) => entry.kind === kind);
  if (found === undefined) throw new Error(`not a kind of the Kubernetes API: ${kind}`);
  return found;
}

export function apiVersion(kind: KindInfo): string {
  return kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
}

/** URL path of a collection; `namespace` "" = the whole cluster. */
export function collectionPath(kind: KindInfo, namespace: string): string {
  const root = kind.group === "" ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  const scope = namespace === "" ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${root}${scope}/${kind.plural}`;
}

export function objectPath(kind: KindInfo, namespace: string, name: string): string {
  return `${collectionPath(kind, namespace)}/${encodeURIComponent(name)}`;
}

/** One string per identity; neither part can hold a slash. */
export function keyText(key: ObjectKey): string {
  return `${key.kind}/${key.namespace}/${key.name}`;
}

/** Back from {@link keyText}. */
export function keyOf(text: string): ObjectKey {
  const [kind = "", namespace = "", name = ""] = text.split("/");
  return { kind: kind as ObjectKey["kind"], namespace, name };
}

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/**
 * What is kept of an object: without managedFields and the last-applied copy (often half of its size; of a Secret it would be a second
 * copy of the value), without a status that nobody reads, and an EndpointSlice without names of nodes and pods.
 */
export function strip(kind: KindInfo, object: KubeObject): KubeObject {
  const {
    managedFields: _managed,
    selfLink: _selfLink,
    ...metadata
  } = object.metadata as KubeObject["metadata"] & Record<string, unknown>;
  const annotations = metadata.annotations;
  let keptMetadata: KubeObject["metadata"] = metadata;
  if (annotations !== undefined && LAST_APPLIED in annotations) {
    const { [LAST_APPLIED]: _lastApplied, ...rest } = annotations;
    keptMetadata = { ...metadata, annotations: rest };
  }
  const { status, ...body } = object;
  const kept: Record<string, unknown> = { ...body, metadata: keptMetadata };
  if (kind.readsStatus && status !== undefined) kept["status"] = status;
  if (kind.kind === "EndpointSlice" && Array.isArray(object["endpoints"])) {
    kept["endpoints"] = object["endpoints"].map((endpoint: Record<string, unknown>) => {
      const { targetRef: _target, nodeName: _node, hostname: _host, deprecatedTopology: _old, ...rest } = endpoint;
      return rest;
    });
  }
  return kept as KubeObject;
}

/**
 * A short text that is the same as long as nothing that the core reads differs: not for another status (ours, mostly) or resourceVersion.
 * Undefined where only the whole object can say it. Takes the place of a copy of the object.
 */
export function markOf(kind: KindInfo, { metadata }: KubeObject): string | undefined {
  const { generation, deletionTimestamp, labels, annotations } = metadata;
  if (!kind.generation || generation === undefined) return undefined;
  const texts = [...sorted(labels), "", ...sorted(annotations)];
  const words = texts.length === 1 ? "" : hash("sha1", JSON.stringify(texts), "base64");
  return `${String(generation)} ${deletionTimestamp ?? ""} ${words}`;
}

function sorted(words: Readonly<Record<string, string>> | undefined): readonly string[] {
  return Object.entries(words ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flat();
}
