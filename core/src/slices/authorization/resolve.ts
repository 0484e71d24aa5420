/** From the section as written to {@link Model}: defaults, consumers with a role or a grant, expressions as trees. */
import { attributesIn, envoyTree } from "../../cel/ast.ts";
import { checkExpression } from "../../cel/check.ts";
import type { Problem } from "../../problems.ts";
import { durationMs } from "../../schema/duration.ts";
import { invalid } from "../../schema/parse.ts";
import type { At, Consumer, Lookup, Resolution } from "../../slice.ts";
import type { Action, Expression, Mfa, Model, Rule } from "./model.ts";
import { DEFAULTS, type RuleSpec, type Spec } from "./schema.ts";

/** Consumers whose attribute one expression may look up: each is an entry of a map that Envoy makes for every request. */
const MAX_ATTRIBUTE_ENTRIES = 256;

interface Reading {
  readonly at: At;
  readonly lookup: Lookup;
  readonly problems: Problem[];
}

export function resolve(spec: Spec, at: At, lookup: Lookup): Resolution<Model> {
  const { source } = at;
  const reading: Reading = { at, lookup, problems: [] };
  const rules = (spec.rules ?? []).map((rule, index) => resolveRule(rule, index, reading));
  const [problem, ...others] = reading.problems;
  if (problem !== undefined) return { ok: false, problems: [problem, ...others] };
  const defaultAction = spec.defaultAction ?? DEFAULTS.defaultAction;
  return { ok: true, model: { sets: [{ source: source.text, namespace: source.namespace, defaultAction, rules }] } };
}

function resolveRule(spec: RuleSpec, index: number, reading: Reading): Rule {
  const { at, lookup } = reading;
  const { namespace, name: policy } = at.source;
  const { name, action, roles, consumers, when, mfa, grant } = spec;
  const { methods, paths, scopes, identities, claims, sources } = spec;
  const inNamespace = (one: string): string => `${namespace}/${one}`;
  const known = (): readonly Consumer[] => lookup.consumers(namespace, undefined);
  return {
    name,
    action,
    ...(methods === undefined ? {} : { methods }),
    ...(paths === undefined ? {} : { paths }),
    ...(scopes === undefined ? {} : { scopes }),
    ...(identities === undefined ? {} : { identities }),
    ...(claims === undefined ? {} : { claims }),
    ...(sources === undefined ? {} : { sources }),
    ...(roles === undefined
      ? {}
      : { roles: { names: roles, consumers: counted(action, known()).filter(hasOneOf(roles)).map(idOf) } }),
    ...(consumers === undefined ? {} : { consumers: without(suspended(action, known()), consumers.map(inNamespace)) }),
    ...(grant === undefined
      ? {}
      : { granted: without(suspended(action, known()), lookup.grants(namespace, policy, name).map(inNamespace)) }),
    ...(when === undefined
      ? {}
      : { when: expressionOf(when, action, `${at.path}.rules[${String(index)}].when`, reading) }),
    ...(mfa === undefined ? {} : { mfa: mfaOf(mfa) }),
  };
}

/** A suspended consumer is refused before; should it ever come here, it has no right and every ban. */
function counted(action: Action, consumers: readonly Consumer[]): readonly Consumer[] {
  return action === "Deny" ? consumers : consumers.filter((one) => !one.suspended);
}

function suspended(action: Action, consumers: readonly Consumer[]): ReadonlySet<string> {
  return new Set(action === "Deny" ? [] : consumers.filter((one) => one.suspended).map(idOf));
}

function without(gone: ReadonlySet<string>, consumers: readonly string[]): readonly string[] {
  return consumers.filter((one) => !gone.has(one));
}

function hasOneOf(roles: readonly string[]): (consumer: Consumer) => boolean {
  return (consumer) => consumer.roles.some((role) => roles.includes(role));
}

function idOf({ namespace, name }: Consumer): string {
  return `${namespace}/${name}`;
}

function expressionOf(text: string, action: Action, path: string, { at, lookup, problems }: Reading): Expression {
  const checked = checkExpression(text);
  // Already said by `validate`.
  if (!checked.ok) return { text, uses: [], ast: { constExpr: { boolValue: action === "Deny" } } };
  const names = new Set(attributesIn(checked.expr));
  const consumers = names.size === 0 ? [] : lookup.consumers(at.source.namespace, undefined);
  const valuesOf = (name: string): ReadonlyMap<string, string> =>
    new Map(
      consumers.flatMap((one) =>
        Object.hasOwn(one.attributes, name) ? [[idOf(one), one.attributes[name] ?? ""] as const] : [],
      ),
    );
  for (const name of names) {
    const { size } = valuesOf(name);
    if (size <= MAX_ATTRIBUTE_ENTRIES) continue;
    const what = `asks for an attribute that ${String(size)} consumers have; ${String(MAX_ATTRIBUTE_ENTRIES)} fit`;
    problems.push(invalid(path, what, "use roles, or a claim of the token"));
  }
  return { text, uses: [...checked.uses].sort(), ast: envoyTree(checked.expr, action, valuesOf) };
}

function mfaOf({ acr, amr, maxAge }: NonNullable<RuleSpec["mfa"]>): Mfa {
  return {
    ...(acr === undefined ? {} : { acr }),
    ...(amr === undefined ? {} : { amr }),
    ...(maxAge === undefined ? {} : { maxAgeSeconds: Math.max(1, Math.floor(durationMs(maxAge) / 1_000)) }),
  };
}
