/** What the operator itself would say in status: broken objects, and policies that lose against others. */
import { type Layer, olderPolicy, winnerOf } from "@gatewarden/core/attach/layer.ts";
import type { ParsedApiPolicy } from "@gatewarden/core/kinds/api-policy.ts";
import type { SectionKey } from "@gatewarden/core/slice.ts";
import type { Condition, ObjectStatus } from "@gatewarden/core/world.ts";
import { keyText } from "@gatewarden/operator/kube/kinds.ts";
import type { Hit, LintRule } from "./rule.ts";

export const invalidObject: LintRule = {
  code: "GW-LINT-013",
  title: "Object that is not accepted",
  severity: "error",
  check: ({ statuses }) =>
    [...statuses].flatMap(([object, status]) => {
      const failed = conditionsOf(status).filter(
        ({ type, status: value, reason }) =>
          // A policy that lost against another is the next rule's.
          (type === "Accepted" || type === "ResolvedRefs") && value === "False" && reason !== "Conflicted",
      );
      const told = new Set(
        failed.flatMap(({ reason, message }) => sentences(message).map((one) => `${reason}: ${one}`)),
      );
      return [...told].map((text): Hit => ({ object, ...taken(text) }));
    }),
};

function conditionsOf(status: ObjectStatus): readonly Condition[] {
  if ("ancestors" in status) return status.ancestors.flatMap(({ conditions }) => conditions);
  if ("parents" in status) return status.parents.flatMap(({ conditions }) => conditions);
  const listeners = "listeners" in status ? status.listeners.flatMap(({ conditions }) => conditions) : [];
  return [...status.conditions, ...listeners];
}

/** A condition's message is one sentence per problem, each with its mend in brackets at the end (core/src/status/condition.ts). */
function sentences(message: string): readonly string[] {
  return message.split(/(?<=\)); /);
}

function taken(text: string): Pick<Hit, "path" | "message" | "mend"> {
  const [, message = text, mend = "mend what the message names"] = /^(.*) \((.*)\)$/s.exec(text) ?? [];
  const path = /^\w+: (?:unknown field )?(spec[^\s:]*)/.exec(message)?.[1] ?? "";
  return { path, message, mend };
}

export const conflict: LintRule = {
  code: "GW-LINT-012",
  title: "Two policies write the same section for the same target",
  severity: "warning",
  check({ policies }) {
    const byTarget = new Map<string, ParsedApiPolicy[]>();
    for (const policy of policies)
      for (const { kind, name, sectionName } of policy.targetRefs) {
        const target = `${kind}/${policy.key.namespace}/${name}${sectionName === undefined ? "" : `/${sectionName}`}`;
        byTarget.set(target, [...(byTarget.get(target) ?? []), policy]);
      }
    return [...byTarget].flatMap(([target, all]) => {
      const layer: Layer = { level: "Route", policies: all.toSorted(olderPolicy), overrides: true };
      return layer.policies.flatMap((policy) =>
        (Object.keys(policy.sections) as SectionKey[]).flatMap((section): readonly Hit[] => {
          const winner = winnerOf(section, layer, policy.mode, policy.precedence);
          if (winner === undefined || winner === policy) return [];
          return [
            {
              object: keyText(policy.key),
              path: `spec.${section}`,
              message: `${keyText(winner.key)} is older and writes ${section} for ${target} too: this one has no effect there`,
              mend: `remove ${section} from one of the two`,
            },
          ];
        }),
      );
    });
  },
};

export const statusRules: readonly LintRule[] = [conflict, invalidObject];
