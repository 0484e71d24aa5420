/** Conditions as Kubernetes keeps them: with the time of their last change of status. */
import type { Condition } from "@gatewarden/core/world.ts";

export interface WrittenCondition extends Condition {
  readonly lastTransitionTime: string;
}

/** The CRDs' bound; Envoy's texts and lists of names can be longer. */
const LONGEST_MESSAGE = 2_048;

/** `wanted` with the times of `current` where the status is the same, else `now`. */
export function withTimes(
  wanted: readonly Condition[],
  current: readonly Partial<WrittenCondition>[] | undefined,
  now: string,
  longestMessage = LONGEST_MESSAGE,
): readonly WrittenCondition[] {
  return wanted.map((condition) => {
    const old = current?.find((entry) => entry.type === condition.type);
    const kept = old?.status === condition.status ? old.lastTransitionTime : undefined;
    const { type, status, reason, observedGeneration } = condition;
    return {
      type,
      status,
      reason,
      message: cutText(condition.message, longestMessage),
      observedGeneration,
      lastTransitionTime: kept ?? now,
    };
  });
}

export function cutText(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

/** The one summary of a policy or consumer for Argo CD, Flux and `kubectl wait`. */
export function readyCondition(sets: readonly (readonly Condition[])[], generation: number): Condition {
  const base = { type: "Ready", observedGeneration: generation } as const;
  if (sets.length === 0)
    return {
      ...base,
      status: "False",
      reason: "NotAttached",
      message: "no Gateway of this operator serves its targets",
    };
  const all = sets.flat();
  for (const type of ["Accepted", "ResolvedRefs", "Programmed"]) {
    const bad = all.filter((condition) => condition.type === type && condition.status !== "True");
    const first = bad.find((condition) => condition.reason !== "NoProxies") ?? bad[0];
    if (first !== undefined)
      return {
        ...base,
        status: first.reason === "NoProxies" ? "Unknown" : "False",
        reason: first.reason,
        message: first.message,
      };
  }
  const programmed = all.filter((condition) => condition.type === "Programmed");
  if (programmed.length === 0)
    return {
      ...base,
      status: "False",
      reason: "NotAttached",
      message: "no Gateway of this operator serves its targets",
    };
  const partly = programmed.find((condition) => condition.reason !== "Programmed");
  return {
    ...base,
    status: "True",
    reason: partly?.reason ?? "Programmed",
    message: partly?.message ?? "in force on every connected proxy",
  };
}
