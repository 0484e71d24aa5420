/** The kinds that we define: names, columns and schemas. */
import type { z } from "zod";
import { specSchema as consumerSpec } from "@gatewarden/core/kinds/api-consumer.ts";
import { specSchema as grantSpec } from "@gatewarden/core/kinds/api-grant.ts";
import { specSchema as policySpec } from "@gatewarden/core/kinds/api-policy.ts";
import { specSchema as proxySpec } from "@gatewarden/core/kinds/proxy-config.ts";
import { consumerStatus, grantStatus, policyStatus } from "./status.ts";

export const GROUP = "gatewarden.io";
export const VERSION = "v1alpha1";

export interface Column {
  readonly name: string;
  readonly type: "string" | "boolean" | "date" | "integer";
  readonly jsonPath: string;
  readonly description?: string;
}

export interface DefinedKind {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly description: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: z.ZodObject;
  /** Absent: nothing is written into the object, those that name it say how it stands. */
  readonly status?: z.ZodObject;
  readonly columns: readonly Column[];
}

const condition = (type: string, field: "status" | "reason"): string =>
  `.status.conditions[?(@.type=="${type}")].${field}`;
const STATE: readonly Column[] = [
  {
    name: "Ready",
    type: "string",
    jsonPath: condition("Ready", "status"),
    description: "Whether every proxy enforces it",
  },
  { name: "Reason", type: "string", jsonPath: condition("Ready", "reason"), description: "Why not" },
  { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
];

export const KINDS: readonly DefinedKind[] = [
  {
    kind: "ApiPolicy",
    plural: "apipolicies",
    shortName: "apol",
    description:
      "What must hold for calls to its targets. A section that is left out is inherited from farther policies.",
    labels: { "gateway.networking.k8s.io/policy": "Inherited" },
    spec: policySpec(),
    status: policyStatus,
    columns: [
      { name: "Target", type: "string", jsonPath: ".status.target" },
      { name: "Mode", type: "string", jsonPath: ".spec.mode" },
      { name: "Precedence", type: "string", jsonPath: ".spec.precedence" },
      ...STATE,
    ],
  },
  {
    kind: "ApiConsumer",
    plural: "apiconsumers",
    shortName: "apc",
    description: "An application, job or person that calls, with its credentials.",
    labels: {},
    spec: consumerSpec(),
    status: consumerStatus,
    columns: [
      { name: "Type", type: "string", jsonPath: ".spec.type" },
      { name: "Suspended", type: "boolean", jsonPath: ".spec.suspended" },
      ...STATE,
    ],
  },
  {
    kind: "ApiGrant",
    plural: "apigrants",
    shortName: "apg",
    description:
      "A right of a consumer to rules of a policy that ask for one (`grant: Required`). It always has an end.",
    labels: {},
    spec: grantSpec(),
    status: grantStatus,
    columns: [
      { name: "Consumer", type: "string", jsonPath: ".spec.consumer.name" },
      { name: "Policy", type: "string", jsonPath: ".spec.policy.name" },
      { name: "Active", type: "string", jsonPath: condition("Active", "status"), description: "Whether it holds now" },
      { name: "Why", type: "string", jsonPath: condition("Active", "reason") },
      { name: "Left", type: "string", jsonPath: ".status.timeLeft", description: "How long it still holds" },
      { name: "Expires", type: "string", jsonPath: ".spec.expiresAt" },
      ...STATE,
    ],
  },
  {
    kind: "ProxyConfig",
    plural: "proxyconfigs",
    shortName: "apx",
    description:
      "How the proxies of a Gateway run in the cluster. Named by `spec.parametersRef` of a GatewayClass, or by " +
      "`spec.infrastructure.parametersRef` of a Gateway in the same namespace, whose fields win.",
    labels: {},
    spec: proxySpec(),
    columns: [
      { name: "Replicas", type: "integer", jsonPath: ".spec.replicas" },
      { name: "Most", type: "integer", jsonPath: ".spec.autoscaling.maxReplicas" },
      { name: "Service", type: "string", jsonPath: ".spec.service.type" },
      { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
    ],
  },
];
