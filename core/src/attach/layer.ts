/** One target with the policies that name it: which of them has a section there, and what is wrong with them at this place. */
import type { ParsedApiPolicy } from "../kinds/api-policy.ts";
import { compareText } from "../kinds/meta.ts";
import type { Problem } from "../problems.ts";
import type { Level, Precedence, SectionKey, Source } from "../slice.ts";
import type { AnySlice } from "../slices.ts";
import type { ClusterUse } from "../translate/cluster.ts";

/** The policies that name one target, at one level. */
export interface Layer {
  readonly level: Level;
  readonly policies: readonly ParsedApiPolicy[]; // older first
  /** Whether Overrides hold here: at Gateways and listeners, and in Namespaces that are labelled for it. */
  readonly overrides: boolean;
}

/** Resolution of one section of one policy with the clusters that it names, or why it is broken. */
export type SectionState =
  | {
      readonly ok: true;
      readonly model: unknown;
      readonly warnings: readonly Problem[];
      readonly clusters: readonly ClusterUse[];
    }
  | { readonly ok: false; readonly problems: readonly Problem[] };

export interface Closed {
  /** What refusals print: `namespace/name#section`, or `namespace/name` where the policy as a whole is broken. */
  readonly policy: string;
  readonly level: Level;
  readonly detail: string;
}

export type StateOf = (policy: ParsedApiPolicy, slice: AnySlice) => SectionState;

/** Why a policy's section cannot be evaluated beside what is enforced. A broken one is not known to be of that kind. */
export function auditFault(slice: AnySlice, policy: ParsedApiPolicy): string | undefined {
  const spec = policy.sections[slice.key];
  const { audit } = slice;
  const verdict = typeof audit === "function" ? (spec === undefined ? true : audit(spec as never)) : audit;
  return verdict === true ? undefined : verdict;
}

/** Same target, same section: the older has it. Neither Audit and Enforce compete, nor a floor with what stands on it. */
export function winnerOf(
  section: SectionKey,
  layer: Layer,
  mode: ParsedApiPolicy["mode"],
  precedence: Precedence,
): ParsedApiPolicy | undefined {
  return layer.policies.find(
    (policy) =>
      policy.mode === mode &&
      policy.precedence === precedence &&
      writes(policy, section) &&
      wholeFault(policy, layer) === undefined &&
      overrideFault(policy, layer) === undefined,
  );
}

export function writes(policy: ParsedApiPolicy, section: SectionKey): boolean {
  return policy.sections[section] !== undefined || policy.broken.includes(section);
}

/**
 * What breaks the policy as a whole: an unknown field, a bad mode, an Override where none may be. In Audit mode nothing of it is enforced, so
 * nothing closes.
 */
export function wholeFault(policy: ParsedApiPolicy, layer: Layer): Problem | undefined {
  if (policy.mode === "Audit") return undefined;
  return policy.problems.find(({ section }) => section === undefined) ?? overrideFault(policy, layer);
}

/** The core cannot know who wrote an Override; whoever labels the Namespace answers for it. It closes its target: what it asks for is not known to hold. */
export function overrideFault(policy: ParsedApiPolicy, { level, overrides }: Layer): Problem | undefined {
  if (policy.precedence !== "Override" || overrides) return undefined;
  const { namespace } = policy.key;
  return {
    reason: "OverrideNotPermitted",
    path: "spec.precedence",
    message: `spec.precedence: an Override for ${levelText[level]} holds only in a Namespace with label ${OVERRIDES_LABEL}: ${OVERRIDES_ALLOWED}`,
    fix: `kubectl label namespace ${namespace} ${OVERRIDES_LABEL}=${OVERRIDES_ALLOWED}, or write precedence: Default`,
  };
}

export const OVERRIDES_LABEL = "gatewarden.io/overrides";
export const OVERRIDES_ALLOWED = "allowed";

/** A section, or a listener setting in it, that the level cannot carry. */
export function levelFault(
  slice: AnySlice,
  policy: ParsedApiPolicy,
  level: Level,
): Extract<SectionState, { ok: false }> | undefined {
  const fault = (path: string, message: string, fix: string): Extract<SectionState, { ok: false }> => ({
    ok: false,
    problems: [{ reason: "UnsupportedForTarget", path, message: `${path}: ${message}`, fix }],
  });
  const path = `spec.${slice.key}`;
  if (!slice.levels.includes(level)) {
    return fault(
      path,
      `cannot be set for ${levelText[level]}`,
      `target ${slice.levels.map((one) => levelText[one]).join(" or ")}`,
    );
  }
  if (level === "Gateway" || level === "Listener") return undefined;
  const written = policy.sections[slice.key] ?? {};
  const setting = slice.listenerSettings.find((key) => Object.hasOwn(written, key));
  if (setting === undefined) return undefined;
  return fault(
    `${path}.${setting}`,
    `is a setting of the listener and cannot be set for ${levelText[level]}`,
    "target the Gateway or its listener",
  );
}

const levelText: Readonly<Record<Level, string>> = {
  Gateway: "a Gateway",
  Listener: "a listener",
  Namespace: "a Namespace",
  Route: "a route",
  Rule: "a route rule",
};

export function policyText(policy: ParsedApiPolicy): string {
  return `${policy.key.namespace}/${policy.key.name}`;
}

export function sourceOf(policy: ParsedApiPolicy, section: SectionKey, level: Level): Source {
  const { namespace, name } = policy.key;
  return {
    namespace,
    name,
    uid: policy.uid,
    generation: policy.generation,
    section,
    level,
    precedence: policy.precedence,
    text: `${namespace}/${name}#${section}`,
  };
}

/** The older first (api.md "Composition" 5). */
export function olderPolicy(a: ParsedApiPolicy, b: ParsedApiPolicy): number {
  return compareText(a.creationTimestamp, b.creationTimestamp) || compareText(policyText(a), policyText(b));
}
