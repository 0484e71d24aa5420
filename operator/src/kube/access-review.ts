/** Whether this account may still do what it does: a question that the API server answers from memory, without the object. */
import type { ObjectKey } from "@gatewarden/core/world.ts";
import type { KubeClient } from "./client.ts";

/** False only where the API server says so: no answer, or not being allowed to ask, is no reason to give anything up. */
export async function mayStillWatch(client: KubeClient, resource: string, key: ObjectKey): Promise<boolean> {
  const { namespace, name } = key;
  const result = await client.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    spec: { resourceAttributes: { verb: "watch", resource, namespace, name } },
  });
  return !result.ok || (result.value.status as { readonly allowed?: unknown } | undefined)?.allowed !== false;
}
