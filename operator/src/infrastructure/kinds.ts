/** The kinds of which a Gateway's proxies are made, and where each lives in the Kubernetes API. */
import type { KubeObject } from "@gatewarden/core/world.ts";

/** By kind, in the order in which they are made; they are removed the other way round. */
const ROOTS: ReadonlyMap<string, { readonly root: string; readonly plural: string }> = new Map([
  ["ServiceAccount", { root: "/api/v1", plural: "serviceaccounts" }],
  ["ConfigMap", { root: "/api/v1", plural: "configmaps" }],
  ["Service", { root: "/api/v1", plural: "services" }],
  ["PodDisruptionBudget", { root: "/apis/policy/v1", plural: "poddisruptionbudgets" }],
  ["Deployment", { root: "/apis/apps/v1", plural: "deployments" }],
  ["HorizontalPodAutoscaler", { root: "/apis/autoscaling/v2", plural: "horizontalpodautoscalers" }],
]);

export const INFRASTRUCTURE_KINDS: readonly string[] = [...ROOTS.keys()];

/** Of all namespaces. */
export function collectionPathOf(kind: string): string {
  const { root, plural } = placeOf(kind);
  return `${root}/${plural}`;
}

export function pathOf({ kind = "", metadata: { namespace = "", name } }: KubeObject): string {
  const { root, plural } = placeOf(kind);
  return `${root}/namespaces/${encodeURIComponent(namespace)}/${plural}/${encodeURIComponent(name)}`;
}

function placeOf(kind: string): { readonly root: string; readonly plural: string } {
  const place = ROOTS.get(kind);
  if (place === undefined) throw new Error(`not a kind of a Gateway's proxies: ${kind}`);
  return place;
}

/** One string per identity. */
export function identityText({ kind = "", metadata: { namespace = "", name } }: KubeObject): string {
  return `${kind}/${namespace}/${name}`;
}
