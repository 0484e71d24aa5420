/**
 * Which policies hold where (api.md "Composition"): levels far to near, the older of two at one target, a section inherited, replaced or
 * merged. The result says for each section what is enforced, what is audited beside it, and what closes the target.
 */
import type { ParsedApiPolicy } from "../kinds/api-policy.ts";
import { compareText } from "../kinds/meta.ts";
import type { Problem } from "../problems.ts";
import type { Level, SectionKey, Source } from "../slice.ts";
import type { AnySlice } from "../slices.ts";
import type { ClusterUse } from "../translate/cluster.ts";

/** The policies that name one target, at one level. */
export interface Layer {
  readonly level: Level;
  readonly policies: readonly ParsedApiPolicy[]; // older first
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
  readonly detail: string;
}

export interface Effective {
  readonly slice: AnySlice;
  readonly enforced?: { readonly model: unknown; readonly sources: readonly [Source, ...Source[]] }; // nearest first
  readonly audited?: { readonly model: unknown; readonly sources: readonly [Source, ...Source[]] };
}

export interface Verdict {
  readonly sections: readonly Effective[];
  readonly closed: readonly Closed[];
  /** Every policy that had a part in it, also those that closed it. */
  readonly policies: readonly ParsedApiPolicy[];
}

export type StateOf = (policy: ParsedApiPolicy, slice: AnySlice) => SectionState;

export function effectiveSections(layers: readonly Layer[], slices: readonly AnySlice[], stateOf: StateOf): Verdict {
  const closed: Closed[] = [];
  const taking = new Set<ParsedApiPolicy>();
  for (const { policies } of layers) {
    for (const policy of policies) {
      const fault = wholeFault(policy);
      if (fault === undefined) continue;
      closed.push({ policy: policyText(policy), detail: fault.message });
      taking.add(policy);
    }
  }
  const all = layers.flatMap(({ policies }) => policies);
  const audits = all.some(({ mode }) => mode === "Audit");
  const sections = slices.flatMap((slice): readonly Effective[] => {
    // Most sections are written by nobody.
    if (!all.some((policy) => writes(policy, slice.key))) return [];
    const enforced = fold(slice, layers, stateOf, "Enforce");
    const audited = audits ? fold(slice, layers, stateOf, "Audit") : nothingFolded;
    closed.push(...enforced.closed);
    for (const policy of [...enforced.policies, ...audited.policies]) taking.add(policy);
    if (enforced.value === undefined && audited.value === undefined) return [];
    return [
      {
        slice,
        ...(enforced.value === undefined ? {} : { enforced: enforced.value }),
        ...(audited.value === undefined ? {} : { audited: audited.value }),
      },
    ];
  });
  return { sections, closed, policies: [...taking] };
}

interface Fold {
  readonly value: Effective["enforced"];
  readonly closed: readonly Closed[];
  readonly policies: readonly ParsedApiPolicy[];
}

const nothingFolded: Fold = { value: undefined, closed: [], policies: [] };

function fold(slice: AnySlice, layers: readonly Layer[], stateOf: StateOf, mode: ParsedApiPolicy["mode"]): Fold {
  let value: Effective["enforced"];
  let closed: readonly (Closed & { readonly until: Until })[] = [];
  let policies: readonly ParsedApiPolicy[] = [];
  for (const { level, policies: all } of layers) {
    const winner = winnerOf(slice.key, all, mode);
    if (winner === undefined || (mode === "Audit" && auditFault(slice, winner) !== undefined)) continue;
    const source = sourceOf(winner, slice.key, level);
    const misplaced = levelFault(slice, winner, level);
    const state = misplaced ?? stateOf(winner, slice);
    if (!state.ok) {
      // Left out: what is farther stays in force. Not so with a key that nobody here knows: it may ask for anything.
      const tolerated = !slice.closes || (winner.failurePolicy === "Open" && slice.mayOpen);
      const unknown = state.problems.some((problem) => problem.unknown === true);
      if (mode === "Audit" || (tolerated && !unknown)) continue;
      const detail = state.problems[0]?.message ?? "the section is broken";
      const until = untilOf(slice, misplaced !== undefined || bindsListener(slice, level));
      closed = [...closed.filter((one) => one.until !== "Written"), { policy: source.text, detail, until }];
      if (slice.merge === undefined) value = undefined;
    } else {
      const far = slice.merge === undefined ? undefined : value;
      value =
        far === undefined || slice.merge === undefined
          ? { model: state.model, sources: [source] }
          : { model: slice.merge(far.model, state.model), sources: [source, ...far.sources] };
      const replaced = slice.replaces?.(state.model) === true;
      closed = closed.filter(({ until }) => until === "Never" || (until === "Replaced" && !replaced));
    }
    policies = [...policies, winner];
  }
  return { value, closed, policies };
}

/** When a nearer policy opens again what a broken section closed: when it writes the section, or only when nothing of the farther one is left. */
type Until = "Written" | "Replaced" | "Never";

function untilOf(slice: AnySlice, always: boolean): Until {
  if (always) return "Never";
  return slice.merge === undefined ? "Written" : "Replaced";
}

/** Why a policy's section cannot be evaluated beside what is enforced. A broken one is not known to be of that kind. */
export function auditFault(slice: AnySlice, policy: ParsedApiPolicy): string | undefined {
  const spec = policy.sections[slice.key];
  const { audit } = slice;
  const verdict = typeof audit === "function" ? (spec === undefined ? true : audit(spec as never)) : audit;
  return verdict === true ? undefined : verdict;
}

/** What is broken at the listener is broken for every route behind it: no nearer policy mends it. */
function bindsListener(slice: AnySlice, level: Level): boolean {
  return slice.listenerSettings.length > 0 && (level === "Gateway" || level === "Listener");
}

/** Same target, same section: the older has it. Audit and Enforce do not compete. */
export function winnerOf(
  section: SectionKey,
  policies: readonly ParsedApiPolicy[],
  mode: ParsedApiPolicy["mode"],
): ParsedApiPolicy | undefined {
  return policies.find((policy) => policy.mode === mode && writes(policy, section) && wholeFault(policy) === undefined);
}

export function writes(policy: ParsedApiPolicy, section: SectionKey): boolean {
  return policy.sections[section] !== undefined || policy.broken.includes(section);
}

/** What breaks the policy as a whole: an unknown field, a bad mode. In Audit mode nothing of it is enforced, so nothing closes. */
export function wholeFault(policy: ParsedApiPolicy): Problem | undefined {
  const fault = policy.problems.find(({ section }) => section === undefined) ?? overrideFault(policy);
  return policy.mode === "Audit" ? undefined : fault;
}

export function overrideFault(policy: ParsedApiPolicy): Problem | undefined {
  if (policy.precedence !== "Override") return undefined;
  return {
    reason: "Invalid",
    path: "spec.precedence",
    message: "spec.precedence: Override is not built yet",
    fix: "leave precedence out, or write Default",
  };
}

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
    text: `${namespace}/${name}#${section}`,
  };
}

/** The older first (api.md "Composition" 5). */
export function olderPolicy(a: ParsedApiPolicy, b: ParsedApiPolicy): number {
  return compareText(a.creationTimestamp, b.creationTimestamp) || compareText(policyText(a), policyText(b));
}
