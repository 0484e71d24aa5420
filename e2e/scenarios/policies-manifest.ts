/** Short forms for scenarios with policies: an ApiPolicy as an object, its ancestors, and the pair of an API key and its consumer. */
import type { KubeObject } from "../harness/api.ts";
import type { Condition } from "../harness/condition.ts";
import type { Tenant } from "../harness/tenant.ts";

export interface TargetRef {
  readonly kind: string;
  readonly name?: string;
  readonly sectionName?: string;
}

/** An ApiPolicy for its targets; `sections` is the rest of the spec. */
export function apiPolicy(name: string, targets: TargetRef | readonly TargetRef[], sections: object): KubeObject {
  const list = Array.isArray(targets) ? (targets as readonly TargetRef[]) : [targets as TargetRef];
  const targetRefs = list.map((target) => ({
    ...(target.kind === "Namespace" ? {} : { group: "gateway.networking.k8s.io" }),
    ...target,
  }));
  return {
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiPolicy",
    metadata: { name },
    spec: { targetRefs, ...sections },
  };
}

export const OPEN_TO_ALL = { authentication: { mode: "Public", reason: "a test of something else" } };
export const API_KEY = { authentication: { apiKey: { from: { headers: ["x-api-key"] } } } };

/** A Secret with an API key and the ApiConsumer that has it. */
export async function addConsumer(tenant: Tenant, name: string, key: string): Promise<void> {
  await tenant.secret(`${name}-key`, { "api-key": key });
  await tenant.apply(consumerOf(name));
}

export function consumerOf(name: string, more: object = {}): KubeObject {
  const apiKeys = [{ name: "k1", secretRef: { name: `${name}-key`, key: "api-key" } }];
  return {
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiConsumer",
    metadata: { name },
    spec: { type: "Application", apiKeys, ...more },
  };
}

export interface Ancestor {
  readonly ancestorRef: {
    readonly kind: string;
    readonly name: string;
    readonly namespace?: string;
    readonly sectionName?: string;
  };
  readonly controllerName: string;
  readonly conditions: readonly Condition[];
}

export interface PolicyStatus {
  readonly observedGeneration?: number;
  readonly target?: string;
  readonly conditions?: readonly Condition[];
  readonly ancestors?: readonly Ancestor[];
}

export async function policyStatus(tenant: Tenant, name: string): Promise<PolicyStatus> {
  const policy = await tenant.get("ApiPolicy", name);
  return policy?.status ?? {};
}
