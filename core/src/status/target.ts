/** Where a policy's targets lead: what they are, at which level, behind which Gateways of ours; and what status pages say of them. */
import { type Layer, writes } from "../attach/layer.ts";
import type { ParsedApiPolicy, TargetRef } from "../kinds/api-policy.ts";
import type { Objects } from "../objects.ts";
import type { Problem } from "../problems.ts";
import type { Level } from "../slice.ts";
import type { AnySlice } from "../slices.ts";
import type { Wiring } from "../translate/wiring.ts";
import type { Views } from "../views.ts";

export interface PolicyReads {
  readonly objects: Objects;
  readonly views: Views;
  readonly wiring: Wiring;
}

export interface Target {
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

export function readTarget(policy: ParsedApiPolicy, ref: TargetRef, reads: PolicyReads): Target {
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

export function layerOf(policy: ParsedApiPolicy, { level, ref }: Target, views: Views): Layer {
  return views.layerAt(level, policy.key.namespace, ref.name, ref.sectionName);
}

export function writtenSlices(policy: ParsedApiPolicy, slices: readonly AnySlice[]): readonly AnySlice[] {
  return slices.filter(({ key }) => writes(policy, key));
}

/** A section at one of the targets that does not hold as it is written. */
export interface Lost {
  readonly part: string; // section and target
  readonly whole: boolean; // nothing of it holds
  readonly message: string;
}
