/** What a section can say wrong that its schema cannot see. Works offline. */
import { checkExpression } from "../../cel/check.ts";
import { regexFault } from "../../envoy/re2.ts";
import type { Problem } from "../../problems.ts";
import { invalid } from "../../schema/parse.ts";
import type { At } from "../../slice.ts";
import type { RuleSpec, Spec } from "./schema.ts";

export function validate(spec: Spec, at: At): readonly Problem[] {
  return (spec.rules ?? []).flatMap((rule, index) => {
    const path = `${at.path}.rules[${String(index)}]`;
    return [...expressionProblems(rule, path), ...identityProblems(rule, path)];
  });
}

function expressionProblems({ when }: RuleSpec, path: string): readonly Problem[] {
  if (when === undefined) return [];
  const checked = checkExpression(when);
  if (checked.ok) return [];
  const { line, column, message } = checked;
  const what = `${message} (line ${String(line)}, column ${String(column)})`;
  return [invalid(`${path}.when`, what, "write CEL as docs/authorization.md has it")];
}

function identityProblems({ identities = [] }: RuleSpec, path: string): readonly Problem[] {
  return identities.flatMap(({ type, value }, index) => {
    const fault = type === "Regex" ? regexFault(value) : undefined;
    if (fault === undefined) return [];
    const field = `${path}.identities[${String(index)}].value`;
    return [invalid(field, fault, "write RE2 (https://github.com/google/re2/wiki/Syntax)")];
  });
}
