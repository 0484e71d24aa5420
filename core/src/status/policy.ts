/** Status of an ApiPolicy per ancestor (api.md "Status"), but for Programmed, which proxies decide. */
import { auditFault, levelFault, overrideFault, policyText, winnerOf, writes } from "../attach/policies.ts";
import type { ParsedApiPolicy, TargetRef } from "../kinds/api-policy.ts";
import { gatewayRef } from "../kinds/gateway-api/gateway.ts";
import { compareText } from "../kinds/meta.ts";
import type { Objects } from "../objects.ts";
import type { Problem } from "../problems.ts";
import type { Level } from "../slice.ts";
import type { AnySlice } from "../slices.ts";
import type { Wiring } from "../translate/wiring.ts";
import { policyId, type Views } from "../views.ts";
import type { AncestorStatus, Condition, JsonObject, ObjectStatus, PerProxyLimit } from "../world.ts";
import { splitId } from "../kinds/meta.ts";
import { condition, faultOf, sentence } from "./condition.ts";

export interface PolicyReads {
  readonly objects: Objects;
  readonly views: Views;
  readonly wiring: Wiring;
}

export function policyStatus(
  policy: ParsedApiPolicy,
  reads: PolicyReads,
): Extract<ObjectStatus, { kind: "ApiPolicy" }> {
  const targets = policy.targetRefs.map((ref) => readTarget(policy, ref, reads));
  const byGateway = new Map<string, Target[]>();
  const detached: AncestorStatus[] = [];
  for (const target of targets) {
    if (target.fault !== undefined) detached.push(detachedAncestor(policy, target, target.fault));
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
    ancestors: ancestors.length > 0 ? ancestors : loneAncestors(policy, reads),
  };
}

interface Target {
  readonly ref: TargetRef;
  readonly text: string;
  readonly level: Level;
  readonly gateways: readonly string[]; // of ours
  readonly fault: Problem | undefined;
}

const LEVELS: Readonly<Record<string, readonly [Level, Level]>> = {
  Gateway: ["Gateway", "Listener"],
  HTTPRoute: ["Route", "Rule"],
  Namespace: ["Namespace", "Namespace"],
};

function readTarget(policy: ParsedApiPolicy, ref: TargetRef, reads: PolicyReads): Target {
  const { namespace } = policy.key;
  const id = `${namespace}/${ref.name}`;
  const text = `${ref.kind}/${ref.name}${ref.sectionName === undefined ? "" : `/${ref.sectionName}`}`;
  const levels = LEVELS[ref.kind];
  const at = (gateways: readonly string[], fault?: Problem): Target => ({
    ref,
    text,
    level: levels?.[ref.sectionName === undefined ? 0 : 1] ?? "Route",
    gateways: fault === undefined ? gateways : [],
    fault,
  });
  const missing = (message: string, fix: string): Target =>
    at([], { reason: "TargetNotFound", path: "spec.targetRefs", message, fix });
  switch (ref.kind) {
    case "Gateway": {
      const gateway = reads.objects.gateways.get(id);
      if (gateway === undefined) return missing(`Gateway ${id} does not exist`, "create it, or name another");
      if (ref.sectionName !== undefined && !gateway.listeners.some(({ name }) => name === ref.sectionName)) {
        return missing(
          `Gateway ${id} has no listener ${ref.sectionName}`,
          `name one of ${gateway.listeners.map(({ name }) => name).join(", ")}`,
        );
      }
      return at(reads.views.gateways.get(id) === undefined ? [] : [id]);
    }
    case "HTTPRoute": {
      const route = reads.objects.routes.get(id);
      if (route === undefined) return missing(`HTTPRoute ${id} does not exist`, "create it, or name another");
      if (ref.sectionName !== undefined && !route.rules.some(({ name }) => name === ref.sectionName)) {
        const names = route.rules.flatMap(({ name }) => name ?? []).join(", ");
        return missing(
          `HTTPRoute ${id} has no rule named ${ref.sectionName}`,
          names === "" ? "give the rule a name" : `name one of ${names}`,
        );
      }
      const { parents } = reads.views.attachments.get(id);
      return at([...new Set(parents.filter(({ accepted }) => accepted).map(({ gateway }) => gateway))]);
    }
    case "Namespace":
      return at([...reads.wiring.gatewaysByNamespace.get(namespace).keys()]);
    case "GRPCRoute":
    case "Service":
      return at([], {
        reason: "UnsupportedForTarget",
        path: "spec.targetRefs",
        message: `targets of kind ${ref.kind} are not served yet`,
        fix: "target a Gateway, HTTPRoute or Namespace",
      });
  }
}

function detachedAncestor(policy: ParsedApiPolicy, { ref }: Target, fault: Problem): AncestorStatus {
  const ancestorRef: JsonObject = {
    group: ref.group,
    kind: ref.kind,
    namespace: policy.key.namespace,
    name: ref.name,
    ...(ref.sectionName === undefined ? {} : { sectionName: ref.sectionName }),
  };
  const problems = [...wholeProblems(policy), fault];
  return { ancestorRef, conditions: [condition("Accepted", policy.generation, faultOf(problems), accepted)] };
}

/** A policy whose targets exist and lead to no Gateway of ours: its own faults still show. */
function loneAncestors(policy: ParsedApiPolicy, reads: PolicyReads): readonly AncestorStatus[] {
  const problems = [...wholeProblems(policy), ...sectionProblems(policy, [], reads)];
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
  const problems = [
    ...wholeProblems(policy),
    ...sectionProblems(policy, targets, reads),
    ...placeProblems(policy, gateway, reads),
  ];
  const lost = wholeProblems(policy).length > 0 ? [] : lostSections(policy, targets, reads);
  const all = writtenSlices(policy, reads.views.slices).flatMap(({ key }) =>
    targets.map(({ text }) => `${key} ${text}`),
  );
  const conflict: readonly Problem[] =
    lost.length > 0 && lost.length === all.length
      ? [
          {
            reason: "Conflicted",
            path: "spec",
            message: lost.map(({ message }) => message).join("; "),
            fix: "merge the policies, or target something else",
          },
        ]
      : [];
  const perProxy = policy.mode === "Audit" ? [] : perProxyLimits(policy, targets, reads);
  const partial = conflict.length === 0 && lost.length > 0 ? lost.map(({ message }) => message).join("; ") : undefined;
  return {
    ancestorRef: gatewayRef(splitId(gateway)),
    gateway,
    conditions: [...verdictConditions(policy, [...problems, ...conflict]), ...auditedCondition(policy, reads)],
    ...(partial === undefined
      ? {}
      : { programmed: { status: "True", reason: "PartiallyProgrammed", message: partial } as const }),
    ...(perProxy.length === 0 ? {} : { perProxy }),
  };
}

/** Of sections that this policy has at one of the targets. */
function perProxyLimits(
  policy: ParsedApiPolicy,
  targets: readonly Target[],
  { views }: PolicyReads,
): readonly PerProxyLimit[] {
  return writtenSlices(policy, views.slices).flatMap((slice) => {
    if (slice.perProxy === undefined) return [];
    const state = views.state(policy, slice);
    if (!state.ok) return [];
    const holds = targets.some(({ ref }) => {
      const rivals = views.policiesAt(ref.kind, policy.key.namespace, ref.name, ref.sectionName);
      const winner = winnerOf(slice.key, rivals, policy.mode);
      return winner === undefined || policyId(winner) === policyId(policy);
    });
    return holds ? slice.perProxy(state.model) : [];
  });
}

const REF_REASONS: readonly string[] = ["RefNotFound", "RefNotPermitted", "InvalidRef"];

function verdictConditions(policy: ParsedApiPolicy, problems: readonly Problem[]): readonly Condition[] {
  const { generation } = policy;
  const errors = problems.filter(({ severity }) => severity !== "warning");
  const warnings = problems.filter(({ severity }) => severity === "warning");
  const refs = errors.filter(({ reason }) => REF_REASONS.includes(reason));
  const others = errors.filter(({ reason }) => !REF_REASONS.includes(reason));
  const good =
    warnings.length === 0
      ? accepted
      : { reason: "Accepted", message: `${accepted.message}; ${warnings.map(sentence).join("; ")}` };
  return [
    condition("Accepted", generation, faultOf(others), good),
    condition("ResolvedRefs", generation, faultOf(refs), {
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
  const shows = writtenSlices(policy, views.slices).flatMap(({ key, auditShows }) =>
    auditShows === undefined ? [] : [`; ${key}: ${auditShows}`],
  );
  return [
    condition("Audited", policy.generation, fault, {
      reason: "Audited",
      message: `evaluated beside what is enforced; nothing is denied${shows.join("")}`,
    }),
  ];
}

function wholeProblems(policy: ParsedApiPolicy): readonly Problem[] {
  const override = overrideFault(policy);
  return [
    ...policy.problems.filter(({ section }) => section === undefined),
    ...(override === undefined ? [] : [override]),
  ];
}

function writtenSlices(policy: ParsedApiPolicy, slices: readonly AnySlice[]): readonly AnySlice[] {
  return slices.filter(({ key }) => writes(policy, key));
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
  return [...wiring.placeProblems.get(policyId(policy))]
    .filter(([place]) => place.startsWith(`${gateway}\n`))
    .map(([, problem]) => problem);
}

interface Lost {
  readonly message: string;
}

/** Sections that an older policy has at the same target. */
function lostSections(policy: ParsedApiPolicy, targets: readonly Target[], { views }: PolicyReads): readonly Lost[] {
  return targets.flatMap(({ ref, text }) => {
    const rivals = views.policiesAt(ref.kind, policy.key.namespace, ref.name, ref.sectionName);
    return writtenSlices(policy, views.slices).flatMap(({ key }) => {
      const winner = winnerOf(key, rivals, policy.mode);
      if (winner === undefined || policyId(winner) === policyId(policy)) return [];
      return [{ message: `${key} of ${text}: the older policy ${policyText(winner)} has it` }];
    });
  });
}
