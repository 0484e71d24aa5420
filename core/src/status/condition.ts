/** Conditions, and the reasons that they carry (a closed set: api.md "Status" and Gateway API). */
import type { Problem, Reason } from "../problems.ts";
import type { Condition } from "../world.ts";

export const POLICY_AFFECTED = "gatewarden.io/ApiPolicyAffected";

export interface Fault {
  readonly reason: string;
  readonly message: string;
}

/** True with the type as reason (or `reason`), False with the fault's. */
export function condition(type: string, generation: number, fault: Fault | undefined, good: Fault): Condition {
  const { reason, message } = fault ?? good;
  return {
    type,
    status: fault === undefined ? "True" : "False",
    reason,
    message: bounded(message),
    observedGeneration: generation,
  };
}

/** Neither true nor false yet. */
export function unknown(type: string, generation: number, { reason, message }: Fault): Condition {
  return { type, status: "Unknown", reason, message: bounded(message), observedGeneration: generation };
}

/** Several problems as one fault: the first one's reason, every sentence. */
export function faultOf(problems: readonly Problem[]): Fault | undefined {
  const [first] = problems;
  if (first === undefined) return undefined;
  return { reason: first.reason, message: [...new Set(problems.map(sentence))].join("; ") };
}

/** What is wrong, where, and what mends it. */
export function sentence({ reason, path, message, fix }: Problem): string {
  const named = UNNAMED.has(reason) || path === "" || path === "spec" || message.includes(path);
  const text = named ? message : `${path}: ${message}`;
  return fix === undefined ? text : `${text} (${fix})`;
}

/** Their messages say it all: the target's name; the command that mends it. */
const UNNAMED: ReadonlySet<Reason> = new Set(["TargetNotFound", "RefNotPermitted"]);

/** The API server takes 32 KiB; a person reads less. */
const MAX_MESSAGE = 1024;

function bounded(message: string): string {
  return message.length <= MAX_MESSAGE ? message : `${message.slice(0, MAX_MESSAGE - 1)}…`;
}
