/** Hands the number of replicas over to an autoscaler. */
import type { KubeObject } from "@gatewarden/core/world.ts";
import { FIELD_MANAGER, type ApiFailure, type KubeClient } from "../kube/client.ts";

/** Owns `spec.replicas` from then on, until the autoscaler changes it. */
const SCALE_MANAGER = "gatewarden-scale";

interface ManagedFields {
  readonly manager?: string;
  readonly operation?: string;
  readonly fieldsV1?: { readonly "f:spec"?: { readonly "f:replicas"?: unknown } };
}

/**
 * Where we own the number and do not want to send it any more, the API server would set it to its default, 1, and end all other proxies.
 * So it is first owned by another manager, too, with the value that it has. Answers why that did not work.
 */
export async function keepReplicas(
  client: KubeClient,
  path: string,
  wanted: KubeObject,
  present: KubeObject,
  signal: AbortSignal,
): Promise<ApiFailure | undefined> {
  if (replicasOf(wanted) !== undefined) return undefined;
  const managed = (present.metadata as { readonly managedFields?: readonly ManagedFields[] }).managedFields ?? [];
  const ours = managed.some(
    ({ manager, operation, fieldsV1 }) =>
      manager === FIELD_MANAGER && operation === "Apply" && fieldsV1?.["f:spec"]?.["f:replicas"] !== undefined,
  );
  const replicas = replicasOf(present);
  if (!ours || replicas === undefined) return undefined;
  const { name, namespace } = wanted.metadata;
  const body = { apiVersion: wanted.apiVersion, kind: wanted.kind, metadata: { name, namespace }, spec: { replicas } };
  const result = await client.apply(path, body, true, { signal, query: { fieldManager: SCALE_MANAGER } });
  return result.ok ? undefined : result.failure;
}

function replicasOf({ spec }: KubeObject): number | undefined {
  return (spec as { readonly replicas?: number } | undefined)?.replicas;
}
