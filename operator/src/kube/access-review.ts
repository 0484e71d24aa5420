/** What this account may do: a question that the API server answers from memory, without the object. */
import type { Clock } from "../clock.ts";
import type { KubeClient } from "./client.ts";

export interface Access {
  readonly verb: "list" | "watch";
  readonly group: string; // "" = core
  readonly resource: string; // plural
  readonly namespace: string; // "" = all
  readonly name?: string | undefined;
}

/** True only where the API server says so: no answer, or not being allowed to ask, is no reason to give anything up. */
export async function isDenied(client: KubeClient, access: Access, signal?: AbortSignal): Promise<boolean> {
  const result = await client.create(
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", spec: { resourceAttributes: access } },
    signal === undefined ? {} : { signal },
  );
  return result.ok && (result.value.status as { readonly allowed?: unknown } | undefined)?.allowed === false;
}

export interface Denial {
  /** Whether a 403 means that the right is not there. */
  believed(signal: AbortSignal): Promise<boolean>;
  /** Something else was answered. */
  over(): void;
}

/**
 * An API server that starts refuses everybody with 403 until it has read roles and bindings, a fraction of a second to a few seconds: that takes
 * nothing out of service. It refuses the question, too; where the question is answered, or the refusal lasts `limitMs`, it is meant.
 */
export function createDenial(client: KubeClient, clock: Clock, access: Access, limitMs: number): Denial {
  let since: number | undefined;
  return {
    async believed(signal) {
      since ??= clock.elapsed();
      return clock.elapsed() - since >= limitMs || isDenied(client, access, signal);
    },
    over() {
      since = undefined;
    },
  };
}
