/** Status of our kinds: Gateway API's PolicyStatus and the usual conditions, with bounds. Written by the operator only. */
import * as z from "zod";
import { atomicList, listMap } from "@gatewarden/core/schema/list.ts";

const text = (max: number): z.ZodString => z.string().max(max);
const generation = z.int().min(0).max(1e15);

/** metav1.Condition. */
const condition = z.strictObject({
  type: text(316),
  status: z.enum(["True", "False", "Unknown"]),
  reason: z.string().min(1).max(1_024),
  message: text(32_768),
  lastTransitionTime: text(64).meta({ format: "date-time" }),
  observedGeneration: generation.exactOptional(),
});
const conditions = listMap(condition, "type", 8).min(0);

const ancestorRef = z.strictObject({
  group: text(253).exactOptional(),
  kind: text(63).exactOptional(),
  namespace: text(63).exactOptional(),
  name: text(253),
  sectionName: text(253).exactOptional(),
  port: z.int().min(1).max(65_535).exactOptional(),
});

const ancestor = z.strictObject({
  ancestorRef: ancestorRef.describe("A Gateway that the policy acts on."),
  controllerName: text(253).describe("Who wrote this entry."),
  conditions: conditions.describe("Accepted, ResolvedRefs, Programmed, Audited."),
});

export const policyStatus = z.strictObject({
  observedGeneration: generation.describe("Generation of the spec that this status is about.").exactOptional(),
  target: text(2_048).describe("The targets as text.").exactOptional(),
  conditions: conditions.describe("Ready: the summary.").exactOptional(),
  ancestors: atomicList(ancestor, 16, 0).describe("Per Gateway, worst first.").exactOptional(),
});

const credential = z.strictObject({
  name: text(253).describe("Name of the credential in the spec."),
  state: z
    .enum(["Active", "NotYetValid", "Expired", "Suspended", "Conflicted", "Unresolved"])
    .describe("Whether it works."),
  message: text(2_048).describe("Why not.").exactOptional(),
  expiresAt: text(64).describe("When it ends.").exactOptional(),
});

export const consumerStatus = z.strictObject({
  observedGeneration: generation.describe("Generation of the spec that this status is about.").exactOptional(),
  conditions: conditions.describe("Accepted, ResolvedRefs, Programmed, Ready.").exactOptional(),
  credentials: atomicList(credential, 64, 0).describe("State of each credential.").exactOptional(),
});

export const grantStatus = z.strictObject({
  observedGeneration: generation.describe("Generation of the spec that this status is about.").exactOptional(),
  timeLeft: text(16)
    .describe("How long it still holds, rounded down to days, hours or tens of minutes; absent: it does not.")
    .exactOptional(),
  conditions: conditions.describe("Accepted, ResolvedRefs, Active, Programmed, Ready.").exactOptional(),
});
