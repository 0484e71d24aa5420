/** Reading and awaiting conditions, wherever a kind keeps them. */
import { eventually } from "../cluster/condition.ts";
import type { Api, KubeObject, ObjectRef } from "./api.ts";

export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
}

/** What to wait for; `reason` and `message` only where they matter. */
export interface Expected {
  readonly status: Condition["status"];
  readonly reason?: string;
  readonly message?: RegExp;
}

interface StatusLists {
  readonly conditions?: readonly Condition[];
  readonly ancestors?: readonly { readonly conditions?: readonly Condition[] }[];
  readonly parents?: readonly { readonly conditions?: readonly Condition[] }[];
  readonly listeners?: readonly { readonly conditions?: readonly Condition[] }[];
}

const LIMIT_MS = 30_000;

/** All conditions of an object: its own, then those of its ancestors, parents and listeners. */
export function conditionsOf(object: KubeObject | undefined): readonly Condition[] {
  const status = (object?.status ?? {}) as StatusLists;
  const parts = [status, ...(status.ancestors ?? []), ...(status.parents ?? []), ...(status.listeners ?? [])];
  return parts.flatMap((part) => part.conditions ?? []);
}

/**
 * Waits until the object has a condition of that type as expected, observed at its present generation, and none of that
 * type of an older generation. Rejects with all conditions that were there.
 */
export async function waitForCondition(
  api: Api,
  ref: ObjectRef,
  type: string,
  expected: Expected = { status: "True" },
  limitMs: number = LIMIT_MS,
): Promise<Condition> {
  let last: KubeObject | undefined;
  const probe = async (): Promise<Condition | undefined> => {
    last = await api.get(ref);
    const generation = last?.metadata.generation ?? 0;
    const found = conditionsOf(last).filter((condition) => condition.type === type);
    if (found.some(({ observedGeneration }) => (observedGeneration ?? generation) < generation)) return undefined;
    return found.find((condition) => fits(condition, expected));
  };
  try {
    return await eventually(`${ref.kind} ${ref.name} ${type}=${expected.status}`, probe, { limitMs });
  } catch (error) {
    const seen = conditionsOf(last).map((each) => `  ${each.type}=${each.status} ${each.reason}: ${each.message}`);
    const generation = String(last?.metadata.generation);
    throw new Error([`${(error as Error).message}; generation ${generation} has`, ...seen].join("\n"));
  }
}

function fits(condition: Condition, { status, reason, message }: Expected): boolean {
  if (condition.status !== status) return false;
  if (reason !== undefined && condition.reason !== reason) return false;
  return message?.test(condition.message) ?? true;
}
