/** From any JSON to a typed spec, or to problems that name the field and the mend. Never throws and never repeats a value. */
import type { z } from "zod";
import type { Problem } from "../problems.ts";

/** More than this many problems of one object help nobody. */
const MAX_PROBLEMS = 16;
const MAX_KEY_LENGTH = 64;

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly [Problem, ...Problem[]] };

export function parse<S extends z.ZodType>(schema: S, value: unknown, path: string): Parsed<z.output<S>> {
  const plain = isPlain(value, 0);
  const hidden = plain ? undefined : prototypeKey(value, path);
  if (hidden !== undefined) return { ok: false, problems: [unknownField(hidden)] };
  const result = schema.safeParse(plain ? value : withoutNulls(value), { reportInput: true });
  if (result.success) return { ok: true, value: result.data };
  const [first, ...rest] = result.error.issues.flatMap((issue) => problemsOf(issue, path)).slice(0, MAX_PROBLEMS);
  return { ok: false, problems: [first ?? invalid(path, "is not as it should be"), ...rest] };
}

/** Whether neither {@link prototypeKey} nor {@link withoutNulls} has anything to do, as nearly always; both cost more than zod does. */
function isPlain(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (depth > MAX_DEPTH || Object.hasOwn(value, "__proto__")) return false;
  const children: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  return children.every((child) => child !== null && isPlain(child, depth + 1));
}

/** zod drops a map entry named `__proto__` without a word; in a selector that would widen it. Iterative: depth is the user's choice. */
function prototypeKey(root: unknown, path: string): string | undefined {
  const open: (readonly [unknown, readonly PropertyKey[]])[] = [[root, []]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [value, keys] = next;
    if (typeof value !== "object" || value === null) continue;
    if (Object.hasOwn(value, "__proto__")) return fieldPath(path, [...keys, "__proto__"]);
    for (const [key, child] of Object.entries(value)) {
      if (typeof child === "object") open.push([child, [...keys, Array.isArray(value) ? Number(key) : key]]);
    }
  }
  return undefined;
}

/** Deeper than any of our schemas. */
const MAX_DEPTH = 16;

/** The API server drops nulls of fields that cannot be null; so must we, or files would mean something else than the cluster. */
function withoutNulls(value: unknown, depth = 0): unknown {
  if (typeof value !== "object" || value === null || depth > MAX_DEPTH) return value;
  if (Array.isArray(value)) return value.map((entry) => withoutNulls(entry, depth + 1));
  const kept = Object.entries(value).filter(([, child]) => child !== null);
  return Object.fromEntries(kept.map(([key, child]) => [key, withoutNulls(child, depth + 1)]));
}

/** `spec.a` and `["b", 0]` → `spec.a.b[0]`; keys that are no plain words are quoted and cut. */
export function fieldPath(base: string, keys: readonly PropertyKey[]): string {
  return keys.reduce<string>((path, key) => {
    if (typeof key === "number") return `${path}[${key}]`;
    const word = String(key);
    if (/^[A-Za-z0-9_]{1,64}$/.test(word)) return path === "" ? word : `${path}.${word}`;
    const cut = word.length > MAX_KEY_LENGTH ? `${word.slice(0, MAX_KEY_LENGTH)}…` : word;
    return `${path}[${JSON.stringify(cut)}]`;
  }, base);
}

export function invalid(path: string, what: string, fix?: string): Problem {
  return { reason: "Invalid", path, message: `${path} ${what}`, ...(fix === undefined ? {} : { fix }) };
}

/** The sentence of api.md: a key that this version does not know is never ignored. */
export function unknownField(path: string): Problem {
  return {
    reason: "Invalid",
    path,
    message: `unknown field ${path}`,
    fix: "correct its spelling, remove it, or install a version of Gatewarden that knows it",
    unknown: true,
  };
}

type Issue = z.core.$ZodIssue;

function problemsOf(issue: Issue, base: string): readonly Problem[] {
  const path = fieldPath(base, issue.path);
  const missing = issue.input === undefined && (issue.code === "invalid_type" || issue.code === "invalid_value");
  if (missing) return [invalid(path, "is missing", "write it")];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.slice(0, MAX_PROBLEMS).map((key) => unknownField(fieldPath(path, [key])));
    case "invalid_type":
      return [invalid(path, `is not ${article(issue.expected)}`, `write ${article(issue.expected)}`)];
    case "invalid_value":
      return [invalid(path, "has a value that is not known", `write ${oneOf(issue.values)}`)];
    case "too_small":
      return [invalid(path, "is too small", `write at least ${bound(issue.minimum, issue.origin)}`)];
    case "too_big":
      return [invalid(path, "is too big", `write at most ${bound(issue.maximum, issue.origin)}`)];
    case "custom":
      return [invalid(path, issue.message, fixOf(issue.params))];
    default:
      return [invalid(path, "is not as it should be")];
  }
}

function fixOf(params: Readonly<Record<string, unknown>> | undefined): string | undefined {
  return typeof params?.["fix"] === "string" ? params["fix"] : undefined;
}

const NOUNS: Readonly<Record<string, string>> = {
  string: "a text",
  int: "a whole number",
  number: "a number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

function article(expected: string): string {
  return NOUNS[expected] ?? `a ${expected}`;
}

function oneOf(values: readonly unknown[]): string {
  return values.length === 1 ? String(values[0]) : `one of ${values.map(String).join(", ")}`;
}

function bound(size: number | bigint, origin: string): string {
  if (origin === "string") return `${size} characters`;
  if (origin === "array") return size === 1 || size === 1n ? "1 entry" : `${size} entries`;
  return String(size);
}
