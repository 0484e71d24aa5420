/**
 * A CEL expression of a policy: parsed, and checked against what Envoy's matcher can evaluate, so that what it would refuse (and with it the
 * whole scope) is a problem with line and column here. Never throws, whatever the text.
 */
import type { Expr } from "@bufbuild/cel-spec/cel/expr/syntax_pb.js";
import { celLibrary } from "./library.ts";
import { DATE_TIME, dateTimeMs } from "../schema/date-time.ts";
import { FIELDS, FUNCTIONS, INSTEAD, type Signature, type Type, VARIABLES } from "./functions.ts";
import { celRegexFault } from "./regex-size.ts";

const MAX_NODES = 500;
/** Envoy reads messages that nest up to 100 deep; a level of CEL is two of them. */
const MAX_DEPTH = 32;
const MAX_BRACKETS = 64;

export type Checked =
  | { readonly ok: true; readonly expr: Expr; readonly uses: ReadonlySet<string> }
  | { readonly ok: false; readonly line: number; readonly column: number; readonly message: string };

class Fault extends Error {
  readonly id: bigint;
  constructor(expr: Expr, message: string) {
    super(message);
    this.id = expr.id;
  }
}

/** `uses`: the variables that it reads. It is a boolean, as far as that can be told. */
export function checkExpression(text: string): Checked {
  const deep = tooDeep(text);
  if (deep !== undefined) return at(text, deep, "has brackets that nest too deeply");
  const { parse } = celLibrary();
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(text);
  } catch (error) {
    return syntaxFault(text, error);
  }
  const { expr, sourceInfo } = parsed;
  if (expr === undefined) return at(text, 0, "is no expression");
  const state: State = { uses: new Set(), nodes: 0 };
  try {
    const type = typeOf(expr, state, 0);
    if (type !== "bool" && type !== "dyn") throw new Fault(expr, `is ${named(type)}, not true or false`);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return at(text, sourceInfo?.positions[error.id.toString()] ?? 0, error.message);
  }
  return { ok: true, expr, uses: state.uses };
}

function at(text: string, offset: number, message: string): Checked {
  const before = text.slice(0, offset).split("\n");
  return { ok: false, line: before.length, column: (before.at(-1)?.length ?? 0) + 1, message };
}

/** Where brackets nest deeper than the parser's stack bears; those inside of texts count too. */
function tooDeep(text: string): number | undefined {
  let depth = 0;
  for (const { index, 0: bracket } of text.matchAll(/[()[\]{}]/g)) {
    depth += "([{".includes(bracket) ? 1 : -1;
    if (depth > MAX_BRACKETS) return index;
  }
  const signs = /(?:[!-]\s*){64}/.exec(text);
  return signs === null ? undefined : signs.index;
}

function syntaxFault(text: string, error: unknown): Checked {
  const { location, found } = error as { location?: { start: { offset: number } }; found?: string };
  const offset = location?.start.offset ?? 0;
  const what =
    typeof found === "string" && found.length === 1 ? `'${found}' is not expected here` : "something is missing here";
  return at(text, offset, `is no CEL: ${what}`);
}

interface State {
  readonly uses: Set<string>;
  nodes: number;
}

function typeOf(expr: Expr, state: State, depth: number): Type {
  state.nodes += 1;
  if (state.nodes > MAX_NODES) throw new Fault(expr, `has more than ${String(MAX_NODES)} parts`);
  if (depth > MAX_DEPTH) throw new Fault(expr, "nests too deeply");
  const { exprKind } = expr;
  switch (exprKind.case) {
    case "constExpr":
      return constantType(exprKind.value.constantKind.case);
    case "identExpr":
      return variable(expr, exprKind.value.name, state);
    case "selectExpr": {
      const { operand, field, testOnly } = exprKind.value;
      const of = typeOf(need(operand, expr), state, depth + 1);
      const type = fieldType(expr, of, field);
      return testOnly ? "bool" : type;
    }
    case "callExpr":
      return callType(expr, state, depth);
    case "listExpr":
      for (const element of exprKind.value.elements) typeOf(element, state, depth + 1);
      return "list";
    case "structExpr":
      if (exprKind.value.messageName !== "") throw new Fault(expr, "makes a message, which is not possible here");
      for (const { keyKind, value } of exprKind.value.entries) {
        if (keyKind.case === "mapKey") typeOf(keyKind.value, state, depth + 1);
        typeOf(need(value, expr), state, depth + 1);
      }
      return "map";
    case "comprehensionExpr":
      throw new Fault(
        expr,
        "uses exists, all, map or filter, which Envoy does not evaluate: write `in`, or several comparisons",
      );
    case undefined:
      throw new Fault(expr, "is empty");
  }
}

function constantType(kind: string | undefined): Type {
  switch (kind) {
    case "boolValue":
      return "bool";
    case "int64Value":
      return "int";
    case "uint64Value":
      return "uint";
    case "doubleValue":
      return "double";
    case "stringValue":
      return "string";
    case "bytesValue":
      return "bytes";
    default:
      return "null";
  }
}

function variable(expr: Expr, name: string, state: State): Type {
  const type = Object.hasOwn(VARIABLES, name) ? VARIABLES[name] : undefined;
  if (type === undefined)
    throw new Fault(expr, `names ${quoted(name)}; there are ${Object.keys(VARIABLES).join(", ")}`);
  state.uses.add(name);
  return type;
}

function fieldType(expr: Expr, of: Type, field: string): Type {
  if (of === "dyn" || of === "map") return "dyn";
  if (of === "headers" || of === "attributes") return "string";
  const fields = FIELDS[of];
  if (fields === undefined) throw new Fault(expr, `asks ${named(of)} for the field ${quoted(field)}`);
  const type = Object.hasOwn(fields, field) ? fields[field] : undefined;
  if (type === undefined)
    throw new Fault(expr, `names ${of}.${quoted(field)}; there are ${Object.keys(fields).join(", ")}`);
  return type;
}

function callType(expr: Expr, state: State, depth: number): Type {
  if (expr.exprKind.case !== "callExpr") return "dyn";
  const { function: name, target, args } = expr.exprKind.value;
  const chain = name === "_&&_" || name === "_||_";
  // A chain of && or || is as deep as it is long; Envoy gets it balanced.
  const types = args.map((arg) => typeOf(arg, state, chain && callOf(arg) === name ? depth : depth + 1));
  if (chain) {
    for (const [index, type] of types.entries()) {
      if (type !== "bool" && type !== "dyn")
        throw new Fault(args[index] ?? expr, `is ${named(type)}, not true or false`);
    }
    return "bool";
  }
  switch (name) {
    case "_==_":
    case "_!=_":
      return equality(expr, types);
    case "_?_:_":
      return conditional(expr, types);
    case "@in":
      if (!["list", "map", "headers", "dyn"].includes(types[1] ?? "dyn"))
        throw new Fault(expr, `looks for something in ${named(types[1] ?? "dyn")}`);
      return "bool";
    case "_[_]":
      return indexed(expr, types, args);
    default: {
      const of = target === undefined ? undefined : targetType(expr, name, target, state, depth);
      return called(expr, name, of, types, args);
    }
  }
}

function targetType(expr: Expr, name: string, target: Expr, state: State, depth: number): Type {
  if (!FUNCTIONS.has(name)) throw unknownFunction(expr, name);
  return typeOf(target, state, depth + 1);
}

function unknownFunction(expr: Expr, name: string): Fault {
  const instead = INSTEAD.get(name);
  const known = [...FUNCTIONS.keys()].filter((one) => /^[a-z]/.test(one));
  return new Fault(
    expr,
    `calls ${quoted(name)}, which Envoy does not have: ${instead ?? `there are ${known.join(", ")}`}`,
  );
}

function equality(expr: Expr, [a = "dyn", b = "dyn"]: readonly Type[]): Type {
  const numbers: readonly Type[] = ["int", "uint", "double"];
  const comparable = a === b || [a, b].some((type) => type === "dyn") || (numbers.includes(a) && numbers.includes(b));
  if (!comparable || FIELDS[a] !== undefined) throw new Fault(expr, `compares ${named(a)} with ${named(b)}`);
  return "bool";
}

function conditional(expr: Expr, [condition = "dyn", a = "dyn", b = "dyn"]: readonly Type[]): Type {
  if (condition !== "bool" && condition !== "dyn") throw new Fault(expr, `chooses by ${named(condition)}`);
  return a === b ? a : "dyn";
}

function indexed(expr: Expr, [of = "dyn", key = "dyn"]: readonly Type[], args: readonly Expr[]): Type {
  if (of === "list") {
    if (key !== "int" && key !== "dyn") throw new Fault(expr, `counts a list with ${named(key)}`);
    return "dyn";
  }
  if (of === "map" || of === "dyn") return "dyn";
  if (of === "headers" || of === "attributes") {
    if (key !== "string") throw new Fault(expr, `asks for the entry ${named(key)}`);
    if (of === "attributes" && literal(args[1]) === undefined)
      throw new Fault(expr, "asks for an attribute that is no text literal");
    return "string";
  }
  throw new Fault(expr, `asks ${named(of)} for an entry`);
}

function called(expr: Expr, name: string, of: Type | undefined, types: readonly Type[], args: readonly Expr[]): Type {
  const known = FUNCTIONS.get(name);
  if (known === undefined) throw unknownFunction(expr, name);
  const fitting = known.filter((signature) => fits(signature, of, types));
  if (fitting.length === 0) {
    const given = [...(of === undefined ? [] : [of]), ...types].map(named).join(" and ");
    throw new Fault(expr, `uses ${readable(name)} with ${given === "" ? "nothing" : given}`);
  }
  literals(expr, name, args);
  const [first, ...others] = fitting;
  return first !== undefined && others.every(({ result }) => result === first.result) ? first.result : "dyn";
}

function fits({ target, args }: Signature, of: Type | undefined, types: readonly Type[]): boolean {
  const fit = (wanted: Type, given: Type): boolean => given === "dyn" || given === wanted;
  if ((target === undefined) !== (of === undefined) || args.length !== types.length) return false;
  if (target !== undefined && of !== undefined && !fit(target, of)) return false;
  return args.every((wanted, index) => fit(wanted, types[index] ?? "dyn"));
}

/** What Envoy would only find out at the request: then the rule could never hold. */
function literals(expr: Expr, name: string, args: readonly Expr[]): void {
  const text = literal(args.at(-1));
  if (name === "matches") {
    if (text === undefined) throw new Fault(expr, "matches a pattern that is no text literal");
    const fault = celRegexFault(text);
    if (fault !== undefined) throw new Fault(args.at(-1) ?? expr, `has a pattern that ${fault}`);
  }
  if (name === "timestamp" && text !== undefined && (!DATE_TIME.test(text) || Number.isNaN(dateTimeMs(text))))
    throw new Fault(expr, "is no point in time: write it like 2027-01-01T00:00:00Z");
  if (name === "duration" && text !== undefined && !/^-?(?:\d+(?:\.\d+)?(?:h|ms|us|ns|m|s))+$/.test(text))
    throw new Fault(expr, "is no duration: write it like 1h30m");
  if (name.startsWith("get") && args.length === 1) {
    if (text === undefined) throw new Fault(expr, "names a time zone that is no text literal");
    if (!isTimeZone(text))
      throw new Fault(args[0] ?? expr, `names the time zone ${quoted(text)}, which does not exist`);
  }
}

/** As Envoy has them: names of the IANA database in their own capitals, or an offset. */
function isTimeZone(name: string): boolean {
  if (/^[+-](?:0\d|1[0-4]):[0-5]\d$/.test(name)) return true;
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    const known = new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone;
    return known === name || known.toLowerCase() !== name.toLowerCase();
  } catch {
    return false;
  }
}

/** The text of a literal. */
export function literal(expr: Expr | undefined): string | undefined {
  if (expr?.exprKind.case !== "constExpr") return undefined;
  const { constantKind } = expr.exprKind.value;
  return constantKind.case === "stringValue" ? constantKind.value : undefined;
}

export function callOf(expr: Expr | undefined): string | undefined {
  return expr?.exprKind.case === "callExpr" ? expr.exprKind.value.function : undefined;
}

function need(expr: Expr | undefined, parent: Expr): Expr {
  if (expr === undefined) throw new Fault(parent, "is incomplete");
  return expr;
}

const NAMES: Readonly<Partial<Record<Type, string>>> = {
  bool: "true or false",
  int: "a whole number",
  uint: "a whole number without a sign",
  double: "a number",
  string: "a text",
  bytes: "bytes",
  null: "null",
  timestamp: "a point in time",
  duration: "a duration",
  list: "a list",
  map: "a map",
  headers: "the headers",
  attributes: "the attributes",
  dyn: "something",
};

function named(type: Type): string {
  return NAMES[type] ?? `\`${type}\` as a whole`;
}

function readable(name: string): string {
  return `\`${name.replaceAll("_", "")}\``;
}

/** What the user wrote, short and printable. */
function quoted(text: string): string {
  return text.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, "?");
}
