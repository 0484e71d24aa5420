/** Overrides that ask less than they seem to. */
import type { ParsedApiPolicy } from "@gatewarden/core/kinds/api-policy.ts";
import type { SectionSpecs } from "@gatewarden/core/kinds/sections.ts";
import type { Level } from "@gatewarden/core/slice.ts";
import { keyText } from "@gatewarden/operator/kube/kinds.ts";
import type { Api, Floor } from "./apis.ts";
import type { Hit, LintRule } from "./rule.ts";

type Rule = NonNullable<NonNullable<SectionSpecs["authorization"]>["rules"]>[number];
type TargetRef = ParsedApiPolicy["targetRefs"][number];

/**
 * What a floor compares is what the nearest authentication made of the caller: where no floor says whose tokens count, a nearer policy names an
 * issuer of its own, which signs any claim.
 */
export const floorOnOthersWord: LintRule = {
  code: "GW-LINT-019",
  title: "Floor that believes any issuer",
  severity: "warning",
  check: ({ policies, apis }) =>
    policies.filter(isFloor).flatMap((policy) => {
      const asked = (policy.sections.authorization?.rules ?? []).flatMap((rule, index) => {
        const field = believed(rule);
        return field === undefined ? [] : [{ rule, path: `spec.authorization.rules[${index}].${field}`, field }];
      });
      if (asked.length === 0 || isBacked(policy, policies, apis)) return [];
      return asked.map(({ rule, path, field }): Hit => ({
        object: keyText(policy.key),
        path,
        message: `rule ${rule.name} of this Override asks for ${field}, and a nearer policy may choose who issues the tokens`,
        mend: "write authentication with the issuers that count, with precedence: Override, for the same targets",
      }));
    }),
};

function isFloor({ precedence, mode }: ParsedApiPolicy): boolean {
  return precedence === "Override" && mode === "Enforce";
}

/** The first of its fields that holds for what a token says. */
function believed({ claims, roles, scopes, mfa, when }: Rule): string | undefined {
  const fields = { claims, roles, scopes, mfa, when: when !== undefined && /\bclaims\b/.test(when) ? when : undefined };
  return Object.entries(fields).find(([, value]) => value !== undefined)?.[0];
}

/** It chooses who is believed; one that only forbids modes leaves that to others. */
function choosesMethods({ sections }: ParsedApiPolicy): boolean {
  const { jwt, apiKey, basic, clientCertificate } = sections.authentication ?? {};
  return [jwt, apiKey, basic, clientCertificate].some((method) => method !== undefined);
}

/** Whether a floor of authentication stands at its targets or farther away: by what they name, or everywhere where it holds. */
function isBacked(policy: ParsedApiPolicy, policies: readonly ParsedApiPolicy[], apis: readonly Api[]): boolean {
  const backing = policies.filter(
    (one) => isFloor(one) && choosesMethods(one) && one.key.namespace === policy.key.namespace,
  );
  if (policy.targetRefs.every((ref) => backing.some((one) => one.targetRefs.some((other) => covers(other, ref)))))
    return true;
  const held = apis.filter((api) => floorsOf(api, "authorization").some((floor) => isOf(floor, policy)));
  return held.length > 0 && held.every((api) => isBackedAt(policy, api));
}

function covers(far: TargetRef, near: TargetRef): boolean {
  return (
    far.kind === near.kind &&
    far.name === near.name &&
    (far.sectionName === undefined || far.sectionName === near.sectionName)
  );
}

const FAR_TO_NEAR: readonly Level[] = ["Gateway", "Listener", "Namespace", "Route", "Rule"];

function isBackedAt(policy: ParsedApiPolicy, api: Api): boolean {
  // Named twice on the way, the farther one has to be backed as well.
  const own = floorsOf(api, "authorization").filter((floor) => isOf(floor, policy));
  const farthest = Math.min(...own.map(({ level }) => FAR_TO_NEAR.indexOf(level)));
  return floorsOf(api, "authentication").some(
    (floor) => choosesMethods(floor.policy) && FAR_TO_NEAR.indexOf(floor.level) <= farthest,
  );
}

function floorsOf(api: Api, section: "authentication" | "authorization"): readonly Floor[] {
  return api.floors.get(section) ?? [];
}

function isOf({ policy: { key } }: Floor, { key: own }: ParsedApiPolicy): boolean {
  return keyText(key) === keyText(own);
}
