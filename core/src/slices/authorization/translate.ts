/** Sets of rules as one matcher of slot authz. Every outcome has a name, so that also the refusal of "no rule fits" says whose it is. */
import { allOf, anyOf, type Decision, firstOf, not, type Predicate, type Verdict } from "../../envoy/matcher.ts";
import { collectCertificate, tellEmail } from "../../envoy/collect.ts";
import { RBAC_PER_ROUTE } from "../../envoy/type-url.ts";
import type { Callers, RouteContext, RoutePiece } from "../../slice.ts";
import type { JsonObject } from "../../world.ts";
import { ruleMatches, signedInWith } from "./match.ts";
import type { Mfa, Model, Rule, RuleSet } from "./model.ts";

/** Behind the rule's name in the name of an outcome: the rule fits and the person has to sign in again. */
const STEP_UP = "!mfa";
const NOBODY: Callers = { issuers: [] };

export function route(model: Model, { audit, callers = NOBODY }: RouteContext): RoutePiece {
  const matcher = matcherOf(model.sets.map((set) => outcomesOf(set, callers)));
  const certificate = certificatePiece(model);
  const slots = { authz: perRoute(matcher, audit), ...certificate.slots };
  if (audit) return { ...certificate, slots };
  const stepUp = challenges(model);
  return {
    ...certificate,
    slots,
    metadata: {
      authorization: [...new Set(model.sets.map(({ source }) => source))].join(", "),
      ...(stepUp.length === 0 ? {} : { stepUp: Object.fromEntries(stepUp) }),
    },
  };
}

function perRoute(matcher: JsonObject, audit: boolean): JsonObject {
  return {
    "@type": RBAC_PER_ROUTE,
    rbac: audit
      ? { shadow_matcher: matcher, shadow_rules_stat_prefix: "authz_" }
      : { matcher, rules_stat_prefix: "authz_" },
  };
}

interface Outcome {
  readonly when: Predicate;
  readonly action: "ALLOW" | "DENY";
  readonly name: string;
}

/** What a set says, in order; the last always holds. */
function outcomesOf(set: RuleSet, callers: Callers): readonly Outcome[] {
  const rules = set.rules.flatMap((rule): readonly Outcome[] => {
    const name = `${set.source}/${rule.name}`;
    const when = ruleMatches(rule, callers);
    if (rule.action === "Deny") return [{ when, action: "DENY", name }];
    if (rule.mfa === undefined) return [{ when, action: "ALLOW", name }];
    return [
      { when: allOf([when, signedInWith(rule.mfa)]), action: "ALLOW", name },
      { when, action: "DENY", name: `${name}${STEP_UP}` },
    ];
  });
  return [...rules, { when: true, action: set.defaultAction === "Allow" ? "ALLOW" : "DENY", name: set.source }];
}

/**
 * All sets must allow. Envoy's matcher ends at the first action, so each set but the last is asked whether it does not allow, and if so who
 * of it refuses; only then comes the next. That is linear in the sets' sizes, where continuing behind every rule that allows would multiply them.
 */
function matcherOf(sets: readonly (readonly Outcome[])[]): JsonObject {
  const floors = sets.slice(0, -1).map((set): Decision => ({ when: not(allows(set)), then: refusal(set) }));
  const own = listOf(sets.at(-1) ?? []);
  return floors.length === 0 ? own : firstOf(floors, { next: own });
}

function listOf(outcomes: readonly Outcome[]): JsonObject {
  const decisions = outcomes.map(({ when, ...then }) => ({ when, then }));
  // Nothing to say is nothing allowed.
  return firstOf(decisions, { action: "DENY", name: "none" });
}

/** Whether the first outcome that holds allows: any that does, unless one before it refuses. Those side by side are taken together. */
function allows(outcomes: readonly Outcome[]): Predicate {
  const refused: Predicate[] = [];
  const allowed: Predicate[] = [];
  for (const [action, run] of runs(outcomes)) {
    const any = anyOf(run.map(({ when }) => when));
    if (action === "DENY") refused.push(any);
    else allowed.push(allOf([not(anyOf(refused)), any]));
  }
  return anyOf(allowed);
}

function runs(outcomes: readonly Outcome[]): readonly (readonly ["ALLOW" | "DENY", readonly Outcome[]])[] {
  const found: ["ALLOW" | "DENY", Outcome[]][] = [];
  for (const outcome of outcomes) {
    const last = found.at(-1);
    if (last?.[0] === outcome.action) last[1].push(outcome);
    else found.push([outcome.action, [outcome]]);
  }
  return found;
}

/** Who refuses, where it is known that the set does: outcomes that allow cannot come first. */
function refusal(outcomes: readonly Outcome[]): Verdict {
  const denied = outcomes.filter(({ action }) => action === "DENY");
  const last = denied.at(-1);
  if (last === undefined) return { action: "DENY", name: "none" };
  if (denied.length === 1) return { action: "DENY", name: last.name };
  return { next: listOf([...denied.slice(0, -1), { ...last, when: true }]) };
}

/** How many comparisons the matcher has; what Envoy parses and a request may have to go through. */
export function sizeOf(model: Model, callers: Callers = NOBODY): number {
  const count = (value: unknown): number => {
    if (typeof value !== "object" || value === null) return 0;
    const own = Object.hasOwn(value, "single_predicate") ? 1 : 0;
    return Object.values(value).reduce<number>((sum, child) => sum + count(child), own);
  };
  return count(matcherOf(model.sets.map((set) => outcomesOf(set, callers))));
}

/** `WWW-Authenticate` of each rule that asks to sign in again (RFC 9470), by the name of its outcome. */
function challenges({ sets }: Model): readonly (readonly [string, string])[] {
  return sets.flatMap(({ source, rules }) =>
    rules.flatMap(({ name, mfa }) =>
      mfa === undefined ? [] : [[`${source}/${name}${STEP_UP}`, challenge(mfa)] as const],
    ),
  );
}

export function challenge({ acr, maxAgeSeconds }: Mfa): string {
  return [
    'Bearer error="insufficient_user_authentication"',
    'error_description="a stronger or more recent authentication is required"',
    ...(acr === undefined ? [] : [`acr_values="${acr.join(" ")}"`]),
    ...(maxAgeSeconds === undefined ? [] : [`max_age="${String(maxAgeSeconds)}"`]),
  ].join(", ");
}

/** Names of the client's certificate, where a rule asks for them. */
function certificatePiece({ sets }: Model): Pick<RoutePiece, "slots" | "select"> {
  const asked = sets.flatMap(({ rules }) => rules.flatMap(({ identities = [] }: Rule) => identities));
  if (asked.length === 0) return {};
  return {
    slots: { collect: collectCertificate() },
    ...(asked.some(({ san }) => san === "Email") ? { select: [tellEmail()] } : {}),
  };
}
