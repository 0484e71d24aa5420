/**
 * The API server for tests, as administrator and without a process per call: plain HTTP through one `kubectl proxy`, which
 * knows every kind of kubeconfig. People's own way, kubectl itself, is what the demo and the quickstart test use.
 */
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { lastLines, startProcess } from "../cluster/child-process.ts";
import { eventually } from "../cluster/condition.ts";
import { kubectlCommand } from "../cluster/parts.ts";

/** A Kubernetes object, as far as every kind has the same shape. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly generation?: number;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly status?: unknown;
  readonly [key: string]: unknown;
}

/** One object or several, or YAML text of them. */
export type Manifests = string | KubeObject | readonly KubeObject[];

export interface ObjectRef {
  readonly kind: string;
  readonly name: string;
  /** Left out for cluster-wide kinds. */
  readonly namespace?: string;
}

export interface Api {
  /** The object; undefined when it is not there. */
  readonly get: (ref: ObjectRef) => Promise<KubeObject | undefined>;
  readonly list: (kind: string, namespace?: string) => Promise<readonly KubeObject[]>;
  /** Server-side apply, unknown fields refused. `namespace` is for objects that name none. Rejects with what the server said. */
  readonly apply: (manifests: Manifests, namespace?: string) => Promise<readonly KubeObject[]>;
  /** Deletes and does not wait for the end. It is no error when the object is not there. */
  readonly remove: (ref: ObjectRef) => Promise<void>;
  /** Any other call; the answer's JSON. */
  readonly call: (method: string, path: string, body?: unknown, contentType?: string) => Promise<unknown>;
  readonly stop: () => Promise<void>;
}

const FIELD_MANAGER = "gatewarden-tests";

/** Kinds of which the plural is not the lower-case kind with an s, or that are cluster-wide. */
const PLURALS: Readonly<Record<string, string>> = {
  ApiPolicy: "apipolicies",
  BackendTLSPolicy: "backendtlspolicies",
  GatewayClass: "gatewayclasses",
};
const GROUPS: Readonly<Record<string, string>> = {
  ApiPolicy: "gatewarden.io/v1alpha1",
  ApiConsumer: "gatewarden.io/v1alpha1",
  ApiGrant: "gatewarden.io/v1alpha1",
  GatewayClass: "gateway.networking.k8s.io/v1",
  Gateway: "gateway.networking.k8s.io/v1",
  HTTPRoute: "gateway.networking.k8s.io/v1",
  BackendTLSPolicy: "gateway.networking.k8s.io/v1",
  ReferenceGrant: "gateway.networking.k8s.io/v1beta1",
  Certificate: "cert-manager.io/v1",
  CertificateRequest: "cert-manager.io/v1",
  Issuer: "cert-manager.io/v1",
  ClusterIssuer: "cert-manager.io/v1",
  EndpointSlice: "discovery.k8s.io/v1",
  Lease: "coordination.k8s.io/v1",
  RoleBinding: "rbac.authorization.k8s.io/v1",
  ClusterRole: "rbac.authorization.k8s.io/v1",
};

/** Starts the proxy for a kubeconfig; its log goes to `directory`. */
export async function startApi(kubeconfig: string, directory: string): Promise<Api> {
  const logFile = join(directory, "kubectl-proxy.log");
  const command = await kubectlCommand();
  const args = ["proxy", "--port=0", `--kubeconfig=${kubeconfig}`, "--reject-paths=^$"];
  const proxy = await startProcess({ name: "kubectl proxy", command, args, logFile });
  const address = await eventually("kubectl proxy", () => /serve on (\S+)/.exec(lastLines(logFile))?.[1], {
    giveUp: () => (proxy.ending() === undefined ? undefined : lastLines(logFile)),
  });
  const ask = async (method: string, path: string, body?: unknown, contentType = "application/json") => {
    const init = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": contentType } };
    const response = await fetch(`http://${address}${path}`, { method, ...init });
    return { status: response.status, json: await response.json() };
  };
  const call: Api["call"] = async (method, path, body, contentType) => {
    const { status, json } = await ask(method, path, body, contentType);
    if (status >= 300) throw new Error(`${method} ${path}: ${messageOf(json)}`);
    return json;
  };
  return {
    call,
    get: async (ref) => {
      const { status, json } = await ask("GET", pathOf(ref));
      if (status === 404) return undefined;
      if (status !== 200) throw new Error(`reading ${ref.kind} ${ref.name}: ${messageOf(json)}`);
      return json as KubeObject;
    },
    list: async (kind, namespace) => {
      const list = await call("GET", collectionOf(GROUPS[kind] ?? "v1", kind, namespace));
      return (list as { readonly items: readonly KubeObject[] }).items;
    },
    apply: async (manifests, namespace) => {
      const applied: KubeObject[] = [];
      const query = `?fieldManager=${FIELD_MANAGER}&force=true&fieldValidation=Strict`;
      for (const object of readManifests(manifests)) {
        const placed = place(object, namespace);
        const path = `${collectionOf(placed.apiVersion, placed.kind, placed.metadata.namespace)}/${placed.metadata.name}`;
        applied.push((await call("PATCH", path + query, placed, "application/apply-patch+yaml")) as KubeObject);
      }
      return applied;
    },
    remove: async (ref) => {
      const { status, json } = await ask("DELETE", pathOf(ref));
      if (status >= 300 && status !== 404) throw new Error(`deleting ${ref.kind} ${ref.name}: ${messageOf(json)}`);
    },
    stop: () => proxy.stop(0),
  };
}

/** The objects of manifests. */
export function readManifests(manifests: Manifests): readonly KubeObject[] {
  if (typeof manifests === "string") {
    const documents = parseAllDocuments(manifests);
    if ("empty" in documents) return [];
    return documents.flatMap((document) => {
      const [error] = document.errors;
      if (error !== undefined) throw error;
      const object = document.toJS() as KubeObject | null;
      return object === null ? [] : [object];
    });
  }
  return "kind" in manifests ? [manifests] : manifests;
}

const CLUSTER_WIDE = new Set([
  "Namespace",
  "GatewayClass",
  "ClusterIssuer",
  "ClusterRole",
  "ClusterRoleBinding",
  "CustomResourceDefinition",
]);

function place(object: KubeObject, namespace: string | undefined): KubeObject {
  if (namespace === undefined || object.metadata.namespace !== undefined || CLUSTER_WIDE.has(object.kind))
    return object;
  return { ...object, metadata: { ...object.metadata, namespace } };
}

function pathOf({ kind, name, namespace }: ObjectRef): string {
  return `${collectionOf(GROUPS[kind] ?? "v1", kind, namespace)}/${name}`;
}

function collectionOf(apiVersion: string, kind: string, namespace: string | undefined): string {
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const plural = PLURALS[kind] ?? `${kind.toLowerCase()}s`;
  return `${root}${namespace === undefined ? "" : `/namespaces/${namespace}`}/${plural}`;
}

function messageOf(json: unknown): string {
  const { message } = json as { readonly message?: string };
  return message ?? JSON.stringify(json);
}
