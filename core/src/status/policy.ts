/** Status of an ApiPolicy per ancestor (api.md "Status"), but for Programmed, which proxies decide. */
import { auditFault, levelFault, overrideFault, policyText, winnerOf } from "../attach/layer.ts";
import type { ParsedApiPolicy } from "../kinds/api-policy.ts";
import { gatewayRef } from "../kinds/gateway-api/gateway.ts";
import { compareText, splitId } from "../kinds/meta.ts";
import type { Problem } from "../problems.ts";
import { policyId } from "../views.ts";
import type { AncestorStatus, Condition, JsonObject, ObjectStatus, PerProxyLimit } from "../world.ts";
import { condition, faultOf, sentence, unknown } from "./condition.ts";
import { lostToFloors } from "./overridden.ts";
import { layerOf, type Lost, type PolicyReads, readTarget, type Target, writtenSlices } from "./target.ts";

export function policyStatus(
  policy: ParsedApiPolicy,
  reads: PolicyReads,
): Extract<ObjectStatus, { kind: "ApiPolicy" }> {
  const targets = policy.targetRefs.map((ref) => readTarget(policy, ref, reads));
  const byGateway = new Map<string, Target[]>();
  const detached: AncestorStatus[] = [];
  for (const target of targets) {
    if (target.fault !== undefined) detached.push(detachedAncestor(policy, target, target.fault, reads));
    for (const gateway of target.gateways) byGateway.set(gateway, [...(byGateway.get(gateway) ?? []), target]);
  }
  const attached = [...byGateway]
    .sort(([a], [b]) => compareText(a, b))
    .map(([gateway, reached]) => gatewayAncestor(policy, gateway, reached, reads));
  const ancestors = [...detached, ...attached];
  return {
    kind: "ApiPolicy",
    generation: policy.generation,
    target: targets.map(({ text }) => text).join(", "),
    // Problems have to show somewhere, also where nothing of ours is behind the target.
    ancestors: ancestors.length > 0 ? ancestors : loneAncestors(policy, targets, reads),
  };
}

function detachedAncestor(policy: ParsedApiPolicy, target: Target, fault: Problem, reads: PolicyReads): AncestorStatus {
  const { ref } = target;
  const ancestorRef: JsonObject = {
    group: ref.group,
    kind: ref.kind,
    namespace: policy.key.namespace,
    name: ref.name,
    ...(ref.sectionName === undefined ? {} : { sectionName: ref.sectionName }),
  };
  const problems = [...wholeProblems(policy, [target], reads), fault];
  return { ancestorRef, conditions: [condition("Accepted", policy.generation, faultOf(problems), accepted)] };
}

/** A policy whose targets exist and lead to no Gateway of ours: its own faults still show. */
function loneAncestors(
  policy: ParsedApiPolicy,
  targets: readonly Target[],
  reads: PolicyReads,
): readonly AncestorStatus[] {
  const problems = [...wholeProblems(policy, targets, reads), ...sectionProblems(policy, [], reads)];
  if (problems.length === 0) return [];
  const [ref] = policy.targetRefs;
  const ancestorRef: JsonObject = {
    group: ref?.group ?? "",
    kind: ref?.kind ?? "Namespace",
    namespace: policy.key.namespace,
    name: ref?.name ?? policy.key.namespace,
  };
  return [{ ancestorRef, conditions: verdictConditions(policy, problems) }];
}

const accepted = { reason: "Accepted", message: "the policy is valid and attached" } as const;

function gatewayAncestor(
  policy: ParsedApiPolicy,
  gateway: string,
  targets: readonly Target[],
  reads: PolicyReads,
): AncestorStatus {
  const whole = wholeProblems(policy, targets, reads);
  const problems = [...whole, ...sectionProblems(policy, targets, reads), ...placeProblems(policy, gateway, reads)];
  const conflicts = whole.length > 0 ? [] : lostSections(policy, targets, reads);
  const all = writtenSlices(policy, reads.views.slices).flatMap(({ key }) =>
    targets.map(({ text }) => `${key} ${text}`),
  );
  const conflict: readonly Problem[] =
    conflicts.length > 0 && conflicts.length === all.length
      ? [
          {
            reason: "Conflicted",
            path: "spec",
            message: conflicts.map(({ message }) => message).join("; "),
            fix: "merge the policies, or target something else",
          },
        ]
      : [];
  const floors = whole.length > 0 ? [] : lostToFloors(policy, gateway, targets, reads);
  const lost = [...conflicts, ...floors];
  const nothingLeft = floors.length > 0 && all.every((part) => lost.some((one) => one.whole && one.part === part));
  const message = lost.map((one) => one.message).join("; ");
  const gone = new Set(floors.flatMap((one) => (one.whole ? [one.part] : [])));
  const perProxy = policy.mode === "Audit" ? [] : perProxyLimits(policy, targets, gone, reads);
  return {
    ancestorRef: gatewayRef(splitId(gateway)),
    gateway,
    conditions: [...verdictConditions(policy, [...problems, ...conflict]), ...auditedCondition(policy, reads)],
    ...(conflict.length > 0 || lost.length === 0
      ? {}
      : {
          programmed: nothingLeft
            ? ({ status: "False", reason: "Overridden", message } as const)
            : ({ status: "True", reason: "PartiallyProgrammed", message } as const),
        }),
    ...(perProxy.length === 0 ? {} : { perProxy }),
  };
}

/** Of sections that this policy has at one of the targets; `gone` are parts of which nothing holds. */
function perProxyLimits(
  policy: ParsedApiPolicy,
  targets: readonly Target[],
  gone: ReadonlySet<string>,
  { views }: PolicyReads,
): readonly PerProxyLimit[] {
  return writtenSlices(policy, views.slices).flatMap((slice) => {
    if (slice.perProxy === undefined) return [];
    const state = views.state(policy, slice);
    if (!state.ok) return [];
    const holds = targets.some((target) => {
      if (gone.has(`${slice.key} ${target.text}`)) return false;
      const winner = winnerOf(slice.key, layerOf(policy, target, views), policy.mode, policy.precedence);
      return winner === undefined || policyId(winner) === policyId(policy);
    });
    return holds ? slice.perProxy(state.model) : [];
  });
}

const REF_REASONS: readonly string[] = ["RefNotFound", "RefNotPermitted", "InvalidRef"];

function verdictConditions(policy: ParsedApiPolicy, problems: readonly Problem[]): readonly Condition[] {
  const { generation } = policy;
  const errors = problems.filter(({ severity = "error" }) => severity === "error" || severity === "unmet");
  const pending = problems.filter(({ severity }) => severity === "pending");
  const warnings = problems.filter(({ severity }) => severity === "warning");
  const refs = errors.filter(({ reason }) => REF_REASONS.includes(reason));
  const others = errors.filter(({ reason }) => !REF_REASONS.includes(reason));
  const good =
    warnings.length === 0
      ? accepted
      : { reason: "Accepted", message: `${accepted.message}; ${warnings.map(sentence).join("; ")}` };
  return [
    condition("Accepted", generation, faultOf(others), good),
    refs.length === 0 && pending.length > 0
      ? unknown("ResolvedRefs", generation, { reason: "Pending", message: pending.map(sentence).join("; ") })
      : condition("ResolvedRefs", generation, faultOf(refs), {
          reason: "ResolvedRefs",
          message: "everything it names is there and may be used",
        }),
  ];
}

function auditedCondition(policy: ParsedApiPolicy, { views }: PolicyReads): readonly Condition[] {
  if (policy.mode !== "Audit") return [];
  const reasons = writtenSlices(policy, views.slices).flatMap((slice) => {
    const why = auditFault(slice, policy);
    return why === undefined ? [] : [`${slice.key}: ${why}`];
  });
  const fault = reasons.length === 0 ? undefined : { reason: "UnsupportedForTarget", message: reasons.join("; ") };
  const shows = writtenSlices(policy, views.slices).flatMap(({ key, auditShows }) => {
    const spec = policy.sections[key];
    const where = spec === undefined ? undefined : auditShows?.(spec as never);
    return where === undefined ? [] : [`; ${key}: ${where}`];
  });
  return [
    condition("Audited", policy.generation, fault, {
      reason: "Audited",
      message: `evaluated beside what is enforced; nothing is denied${shows.join("")}`,
    }),
  ];
}

function wholeProblems(
  policy: ParsedApiPolicy,
  targets: readonly Target[],
  { views }: PolicyReads,
): readonly Problem[] {
  const overrides = targets.flatMap((target) => overrideFault(policy, layerOf(policy, target, views)) ?? []);
  return [...policy.problems.filter(({ section }) => section === undefined), ...overrides];
}

function sectionProblems(
  policy: ParsedApiPolicy,
  targets: readonly Target[],
  { views }: PolicyReads,
): readonly Problem[] {
  return writtenSlices(policy, views.slices).flatMap((slice) => {
    const state = views.state(policy, slice);
    const levels = [...new Set(targets.map(({ level }) => level))];
    const misplaced = levels.flatMap((level) => levelFault(slice, policy, level)?.problems ?? []);
    return [...misplaced, ...(state.ok ? state.warnings : state.problems)];
  });
}

function placeProblems(policy: ParsedApiPolicy, gateway: string, { wiring }: PolicyReads): readonly Problem[] {
  const elsewhere = wiring.certifiedOn.get(policyId(policy)).has(gateway);
  return [...wiring.placeProblems.get(policyId(policy))]
    .filter(([place]) => place.startsWith(`${gateway}\n`))
    .map(([, problem]) => (elsewhere && problem.perListener === true ? { ...problem, severity: "warning" } : problem));
}

/** Sections that an older policy has at the same target. */
function lostSections(policy: ParsedApiPolicy, targets: readonly Target[], { views }: PolicyReads): readonly Lost[] {
  return targets.flatMap((target) => {
    const { text } = target;
    const layer = layerOf(policy, target, views);
    return writtenSlices(policy, views.slices).flatMap(({ key }) => {
      const winner = winnerOf(key, layer, policy.mode, policy.precedence);
      if (winner === undefined || policyId(winner) === policyId(policy)) return [];
      const message = `${key} of ${text}: the older policy ${policyText(winner)} has it`;
      return [{ part: `${key} ${text}`, whole: true, message }];
    });
  });
}
