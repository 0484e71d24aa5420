/** Rules about what cannot be known on a route: such a section would never say what its author meant, so the engine closes the route. */
import type { Problem } from "../../problems.ts";
import type { Callers, RouteContext } from "../../slice.ts";
import type { Model, Rule, RuleSet } from "./model.ts";
import { sizeOf } from "./translate.ts";

/** Comparisons of all sets together; one set of 64 rules is far below it. */
const MAX_COMPARISONS = 8_192;

export function unsupported(model: Model, context: RouteContext): readonly Problem[] {
  const asked = model.sets.flatMap((set) => set.rules.flatMap((rule, at) => ruleProblems(set, rule, at, context)));
  if (asked.length > 0 || model.sets.length < 2) return asked;
  const size = sizeOf(model, context.callers);
  return size <= MAX_COMPARISONS
    ? []
    : [
        problem(
          "",
          `the rules of ${model.sets.map(({ source }) => source).join(" and ")} are too many together`,
          "put rules that allow side by side, and rules that deny",
        ),
      ];
}

function ruleProblems(set: RuleSet, rule: Rule, at: number, context: RouteContext): readonly Problem[] {
  const { callers, clientCertificates } = context;
  const path = (field: string): string => `.rules[${String(at)}].${field}`;
  const where = `${set.source}/${rule.name}`;
  const missing = (field: string, what: string, fix: string): Problem =>
    problem(path(field), `${where} asks for ${field}, and ${what}`, fix);
  const uses = rule.when?.uses ?? [];
  const problems: Problem[] = [];
  const known = [
    ...(rule.consumers === undefined ? [] : ["consumers"]),
    ...(rule.granted === undefined ? [] : ["grant"]),
    ...(rule.roles === undefined ? [] : ["roles"]),
    ...(uses.includes("consumer") ? ["when"] : []),
  ];
  if (callers === undefined) {
    const what = "no authentication says who is calling";
    problems.push(...known.map((field) => missing(field, what, "write authentication with a method")));
  } else if (rule.roles !== undefined && !rolesCanBe(set, callers)) {
    const what = `neither the route's consumers (of namespace ${callers.consumers ?? "none"}) nor its tokens can carry them for this policy`;
    problems.push(missing("roles", what, "write rolesClaim in an issuer, or authenticate in the policy's namespace"));
  }
  const tokens = [
    ...(rule.scopes === undefined ? [] : ["scopes"]),
    ...(rule.claims === undefined ? [] : ["claims"]),
    ...(rule.mfa === undefined ? [] : ["mfa"]),
    ...(uses.includes("claims") ? ["when"] : []),
  ];
  const issuers = callers?.issuers ?? [];
  if (issuers.length === 0) {
    problems.push(...tokens.map((field) => missing(field, "the route takes no tokens", "write authentication.jwt")));
  } else {
    problems.push(...providerProblems(rule, issuers, missing));
  }
  if (rule.identities !== undefined && clientCertificates === "Off") {
    const what = `listener ${context.listener} asks for no client certificate`;
    const fix = "set mtls.client on the listener or Gateway, or attach the route to listeners that have it";
    problems.push({ ...missing("identities", what, fix), perListener: true });
  }
  return problems;
}

function rolesCanBe({ namespace }: RuleSet, { consumers, issuers }: Callers): boolean {
  return consumers === namespace || issuers.some(({ rolesClaim }) => rolesClaim !== undefined);
}

function providerProblems(
  { claims = [] }: Rule,
  issuers: Callers["issuers"],
  missing: (field: string, what: string, fix: string) => Problem,
): readonly Problem[] {
  const names = issuers.map(({ name }) => name);
  return claims.flatMap(({ provider }, index) => {
    const field = `claims[${String(index)}].provider`;
    if (provider === undefined) {
      const several = `the route takes tokens of ${names.join(" and ")}`;
      return issuers.length < 2 ? [] : [missing(field, several, "write which one is meant")];
    }
    return names.includes(provider)
      ? []
      : [missing(field, "no jwt entry of the route's authentication has that name", `write ${names.join(" or ")}`)];
  });
}

function problem(path: string, message: string, fix: string): Problem {
  return { reason: "UnsupportedForTarget", path: `spec.authorization${path}`, message, fix };
}
