/**
 * From a checked expression to the tree that Envoy evaluates: our variables as Envoy's attributes, long chains balanced, and comparisons of
 * headers made safe against headers that are sent more than once (rules A7).
 */
import type { Expr } from "@bufbuild/cel-spec/cel/expr/syntax_pb.js";
import { quote } from "../envoy/pattern.ts";
import { CONSUMER_HEADER } from "../translate/chain.ts";
import type { JsonObject } from "../world.ts";
import { callOf, literal } from "./check.ts";
import { celLibrary } from "./library.ts";
import { celRegexFault } from "./regex-size.ts";

/** Where jwt_authn leaves the claims of the one token that it verified. */
export const TOKENS = "envoy.filters.http.jwt_authn";

/** What becomes of a call for which the expression is true. */
export type Leads = "Allow" | "Deny";

/** The value of an attribute for each ApiConsumer (`namespace/name`) that has it. */
export type AttributeOf = (name: string) => ReadonlyMap<string, string>;

export function envoyTree(expr: Expr, leads: Leads, attribute: AttributeOf): JsonObject {
  return numbered(tree(expr, { leads, attribute }));
}

/** True where the expression is false: neither it nor this is true of an expression that fails. */
export function negated(ast: JsonObject): JsonObject {
  return numbered(call("!_", ast));
}

/** Whether the person signed in (`auth_time`) at most so long ago. */
export function signedInWithin(seconds: number): JsonObject {
  const now = call("int", select(ident("request"), "time"));
  const then = call("int", select(claims(), "auth_time"));
  return numbered(call("_<=_", call("_-_", now, then), constant({ int64Value: String(seconds) })));
}

interface Context {
  /** Undefined: it cannot be told. */
  readonly leads: Leads | undefined;
  readonly attribute: AttributeOf;
}

function tree(expr: Expr, context: Context): JsonObject {
  const inner: Context = { ...context, leads: undefined };
  const { exprKind } = expr;
  switch (exprKind.case) {
    case "constExpr": {
      const { ExprSchema, toJson } = celLibrary();
      return { constExpr: (toJson(ExprSchema, expr) as { constExpr: JsonObject }).constExpr };
    }
    case "identExpr":
      return exprKind.value.name === "claims" ? claims() : ident(exprKind.value.name);
    case "selectExpr": {
      const { operand, field, testOnly } = exprKind.value;
      const own = operand === undefined ? undefined : ofConsumer(operand, field, context.attribute);
      if (own !== undefined) return own;
      const selected = operand === undefined ? ident("request") : tree(operand, inner);
      return { selectExpr: { operand: selected, field, ...(testOnly ? { testOnly } : {}) } };
    }
    case "callExpr":
      return callTree(expr, context);
    case "listExpr":
      return { listExpr: { elements: exprKind.value.elements.map((element) => tree(element, inner)) } };
    case "structExpr":
      return mapTree(
        exprKind.value.entries.flatMap(({ keyKind, value }) =>
          keyKind.case === "mapKey" && value !== undefined
            ? [[tree(keyKind.value, inner), tree(value, inner)] as const]
            : [],
        ),
      );
    default:
      return constant({ boolValue: false });
  }
}

function callTree(expr: Expr, context: Context): JsonObject {
  if (expr.exprKind.case !== "callExpr") return constant({ boolValue: false });
  const { function: name, target, args } = expr.exprKind.value;
  const inner: Context = { ...context, leads: undefined };
  if (name === "_&&_" || name === "_||_")
    return balanced(
      name,
      terms(expr, name).map((term) => tree(term, context)),
    );
  if (name === "!_") return call(name, ...args.map((arg) => tree(arg, { ...context, leads: opposite(context.leads) })));
  if (name === "_?_:_") return call(name, ...args.map((arg, at) => tree(arg, at === 0 ? inner : context)));
  const whole = headerTest(name, target, args, context);
  if (whole !== undefined) return whole;
  const named = headerName(name, args);
  if (named !== undefined) return named;
  if (name === "_[_]") {
    const [of, key] = args;
    const attribute = isAttributes(of) ? literal(key) : undefined;
    if (attribute !== undefined) return attributeOf(attribute, context.attribute);
  }
  if (name === "matches") {
    const [subject, pattern] = target === undefined ? args : [target, ...args];
    if (subject !== undefined) return matches(tree(subject, inner), literal(pattern) ?? "");
  }
  const given = args.map((arg) => tree(arg, inner));
  return target === undefined
    ? call(name, ...given)
    : { callExpr: { target: tree(target, inner), function: name, args: given } };
}

/** Envoy finds headers in any spelling; the tree has the one that every evaluator finds. */
function headerName(name: string, [first, second]: readonly Expr[]): JsonObject | undefined {
  const headers = select(ident("request"), "headers");
  const index = isHeaders(first) ? literal(second) : undefined;
  if (name === "_[_]" && index !== undefined) return call(name, headers, text(index.toLowerCase()));
  const member = isHeaders(second) ? literal(first) : undefined;
  return name === "@in" && member !== undefined ? call(name, text(member.toLowerCase()), headers) : undefined;
}

function opposite(leads: Leads | undefined): Leads | undefined {
  return leads === undefined ? undefined : leads === "Allow" ? "Deny" : "Allow";
}

function terms(expr: Expr, name: string): readonly Expr[] {
  if (expr.exprKind.case !== "callExpr" || callOf(expr) !== name) return [expr];
  return expr.exprKind.value.args.flatMap((arg) => terms(arg, name));
}

function balanced(name: string, list: readonly JsonObject[]): JsonObject {
  const [only] = list;
  if (only === undefined || list.length === 1) return only ?? constant({ boolValue: false });
  const middle = Math.ceil(list.length / 2);
  return call(name, balanced(name, list.slice(0, middle)), balanced(name, list.slice(middle)));
}

/**
 * Envoy joins several copies of a header with commas. A comparison that leads to a refusal when it is true must be true if any copy fits;
 * one that leads to the upstream is only true of the one value. What is not compared here is the user's own expression.
 */
function headerTest(
  name: string,
  target: Expr | undefined,
  args: readonly Expr[],
  context: Context,
): JsonObject | undefined {
  const [first, second] = args;
  const any = (
    leads: Leads | undefined,
    header: Expr | undefined,
    value: string | undefined,
  ): JsonObject | undefined =>
    leads !== "Deny" || header === undefined || value === undefined || !isHeader(header)
      ? undefined
      : anyValue(tree(header, { ...context, leads: undefined }), value);
  switch (name) {
    case "_==_":
      return any(context.leads, first, literal(second)) ?? any(context.leads, second, literal(first));
    case "_!=_": {
      const leads = opposite(context.leads);
      const equal = any(leads, first, literal(second)) ?? any(leads, second, literal(first));
      return equal === undefined ? undefined : call("!_", equal);
    }
    case "@in": {
      if (second?.exprKind.case !== "listExpr") return undefined;
      const tests = second.exprKind.value.elements.map((element) => any(context.leads, first, literal(element)));
      return tests.every((test) => test !== undefined) && tests.length > 0 ? balanced("_||_", tests) : undefined;
    }
    case "startsWith":
    case "endsWith": {
      const value = literal(first);
      if (context.leads !== "Deny" || value === undefined || target === undefined || !isHeader(target))
        return undefined;
      const header = tree(target, { ...context, leads: undefined });
      const regex = name === "startsWith" ? `(?:^|,)[ \\t]*${quote(value)}` : `${quote(value)}[ \\t]*(?:,|$)`;
      return matchesOrContains(header, regex, value);
    }
    default:
      return undefined;
  }
}

function anyValue(header: JsonObject, value: string): JsonObject {
  return matchesOrContains(header, `(?:^|,)[ \\t]*${quote(value)}[ \\t]*(?:,|$)`, value);
}

/** What is too long for a pattern is refused wherever it stands. */
function matchesOrContains(header: JsonObject, regex: string, value: string): JsonObject {
  return celRegexFault(regex) === undefined ? matches(header, regex) : method(header, "contains", text(value));
}

/**
 * Envoy gives up the whole expression when it matches what is not there or no text, whatever `||` says beside it. So it is asked before, which
 * fails as CEL has it.
 */
function matches(subject: JsonObject, pattern: string): JsonObject {
  const isText = method(subject, "startsWith", text(""));
  return call("_?_:_", isText, method(subject, "matches", text(pattern)), constant({ boolValue: false }));
}

function method(target: JsonObject, name: string, ...args: readonly JsonObject[]): JsonObject {
  return { callExpr: { target, function: name, args } };
}

/** `request.headers[…]` or `request.headers.x`. */
function isHeader({ exprKind }: Expr): boolean {
  if (exprKind.case === "selectExpr") return isHeaders(exprKind.value.operand);
  return exprKind.case === "callExpr" && exprKind.value.function === "_[_]" && isHeaders(exprKind.value.args[0]);
}

function isHeaders(expr: Expr | undefined): boolean {
  return isField(expr, "request", "headers");
}

function isAttributes(expr: Expr | undefined): boolean {
  return isField(expr, "consumer", "attributes");
}

function isField(expr: Expr | undefined, of: string, field: string): boolean {
  if (expr?.exprKind.case !== "selectExpr" || expr.exprKind.value.field !== field) return false;
  const { operand } = expr.exprKind.value;
  return operand?.exprKind.case === "identExpr" && operand.exprKind.value.name === of;
}

/** Fields of `consumer`: Envoy knows it as `namespace/name` in a header of ours. */
function ofConsumer(operand: Expr, field: string, attribute: AttributeOf): JsonObject | undefined {
  if (isAttributes(operand)) return attributeOf(field, attribute);
  if (operand.exprKind.case !== "identExpr" || operand.exprKind.value.name !== "consumer") return undefined;
  if (field === "name") return extract(consumer(), "^[^/]*/(.*)$");
  return field === "namespace" ? extract(consumer(), "^([^/]*)/") : undefined;
}

function attributeOf(name: string, attribute: AttributeOf): JsonObject {
  const entries = [...attribute(name)].map(([key, value]) => [text(key), text(value)] as const);
  return call("_[_]", mapTree(entries), consumer());
}

/** Attributes of consumers that an expression names. */
export function attributesIn(expr: Expr | undefined): readonly string[] {
  if (expr === undefined) return [];
  const { exprKind } = expr;
  switch (exprKind.case) {
    case "selectExpr":
      return isAttributes(exprKind.value.operand) ? [exprKind.value.field] : attributesIn(exprKind.value.operand);
    case "callExpr": {
      const { target, args } = exprKind.value;
      const named = callOf(expr) === "_[_]" && isAttributes(args[0]) ? literal(args[1]) : undefined;
      return [...(named === undefined ? [] : [named]), ...attributesIn(target), ...args.flatMap(attributesIn)];
    }
    case "listExpr":
      return exprKind.value.elements.flatMap(attributesIn);
    case "structExpr":
      return exprKind.value.entries.flatMap(({ keyKind, value }) => [
        ...(keyKind.case === "mapKey" ? attributesIn(keyKind.value) : []),
        ...attributesIn(value),
      ]);
    default:
      return [];
  }
}

function claims(): JsonObject {
  return select(call("_[_]", select(ident("metadata"), "filter_metadata"), text(TOKENS)), "jwt");
}

function consumer(): JsonObject {
  return call("_[_]", select(ident("request"), "headers"), text(CONSUMER_HEADER));
}

function extract(value: JsonObject, regex: string): JsonObject {
  return method(ident("re"), "extract", value, text(regex), text("\\1"));
}

function ident(name: string): JsonObject {
  return { identExpr: { name } };
}

function select(operand: JsonObject, field: string): JsonObject {
  return { selectExpr: { operand, field } };
}

function call(name: string, ...args: readonly JsonObject[]): JsonObject {
  return { callExpr: { function: name, args } };
}

function constant(value: JsonObject): JsonObject {
  return { constExpr: value };
}

function text(value: string): JsonObject {
  return constant({ stringValue: value });
}

function mapTree(entries: readonly (readonly [JsonObject, JsonObject])[]): JsonObject {
  return { structExpr: { entries: entries.map(([mapKey, value]) => ({ mapKey, value })) } };
}

/** Every node with an id of its own, as a parser gives them. */
function numbered(root: JsonObject): JsonObject {
  let next = 0;
  const isExpr = (value: object): boolean => Object.keys(value).some((key) => key.endsWith("Expr"));
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value !== "object" || value === null) return value;
    const { id: _, ...rest } = value as JsonObject;
    const entry = Object.hasOwn(value, "mapKey");
    const id = isExpr(value) || entry ? { id: String((next += 1)) } : {};
    return { ...id, ...Object.fromEntries(Object.entries(rest).map(([key, child]) => [key, walk(child)])) };
  };
  return walk(root) as JsonObject;
}
