/**
 * zod → structural schema of a CRD. Everything that the API server would refuse, drop silently or not enforce is an error here, with the
 * path (docs of each pitfall: crds/test/structural.test.ts, and structural.api.test.ts on the real server).
 */
import * as z from "zod";
import { DEFAULT, OWN_RULES } from "@gatewarden/core/schema/rule.ts";
import { OFF_IS_FALSE } from "@gatewarden/core/schema/word.ts";

export type SchemaNode = { readonly [key: string]: unknown };

/** What happens to keys that the schema does not know: a spec keeps them, so that they can be reported and close; a status drops them. */
export type Unknown = "preserve" | "prune";

/** JSON Schema as zod emits it, with our metadata: descriptions, rules, list types, documented defaults. */
export function jsonSchema(schema: z.ZodType): SchemaNode {
  return z.toJSONSchema(schema, { target: "openapi-3.0", io: "input", reused: "inline", cycles: "throw" });
}

export function structural(schema: z.ZodType, unknown: Unknown): SchemaNode {
  return convert(jsonSchema(schema), "", unknown);
}

/** Keys that may be copied as they are, by type. */
const COPIED = {
  object: ["minProperties"],
  map: ["minProperties"],
  array: ["minItems", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"],
  string: ["minLength", "maxLength", "enum", "pattern", "format"],
  integer: ["minimum", "maximum"],
  boolean: [],
} as const;
const ALWAYS = ["type", "description", "x-kubernetes-validations"] as const;
/** Said by other means, or to people only. */
const LEFT_OUT: ReadonlySet<string> = new Set([DEFAULT, OWN_RULES, "additionalProperties", "propertyNames"]);

/** Formats that the API server enforces; it takes any other with a warning and checks nothing. */
const FORMATS: ReadonlySet<unknown> = new Set(["date-time"]);
const INT32_MAX = 2 ** 31 - 1;

function convert(node: SchemaNode, path: string, unknown: Unknown): SchemaNode {
  const type = node["type"];
  switch (type) {
    case "object":
      return isMap(node) ? map(node, path, unknown) : object(node, path, unknown);
    case "array": {
      need(node, "maxItems", path);
      const listType = need(node, "x-kubernetes-list-type", path);
      const items = convert(node["items"] as SchemaNode, `${path}[]`, unknown);
      if (listType === "set" && items["type"] === "object") fail(path, "is a set of objects, which cannot be merged");
      if (listType === "map") keysAreRequired(node, items, path);
      return { ...copy(node, path, "array", ["items", "maxItems"]), items, maxItems: node["maxItems"] };
    }
    case "string":
      if (node[OFF_IS_FALSE] === true) return wordOrFalse(node, path);
      if (node["enum"] === undefined) need(node, "maxLength", path);
      if (typeof node["pattern"] === "string" && /\(\?/.test(node["pattern"])) fail(path, "has a pattern outside RE2");
      if (node["format"] !== undefined && !FORMATS.has(node["format"])) fail(path, "has a format nobody enforces");
      return copy(node, path, "string", []);
    case "integer": {
      const [minimum, maximum] = [need(node, "minimum", path), need(node, "maximum", path)];
      if (![minimum, maximum].every((bound) => Math.abs(Number(bound)) < Number.MAX_SAFE_INTEGER)) {
        fail(path, "has no real bounds");
      }
      return { ...copy(node, path, "integer", []), format: Number(maximum) > INT32_MAX ? "int64" : "int32" };
    }
    case "boolean":
      return copy(node, path, "boolean", []);
    default:
      return fail(path, `has the type ${JSON.stringify(type)} (unions, any and tuples are not structural)`);
  }
}

function isMap(node: SchemaNode): boolean {
  return typeof node["additionalProperties"] === "object" && node["properties"] === undefined;
}

function map(node: SchemaNode, path: string, unknown: Unknown): SchemaNode {
  need(node, "maxProperties", path);
  const values = convert(node["additionalProperties"] as SchemaNode, `${path}{}`, unknown);
  return {
    ...copy(node, path, "map", ["maxProperties"]),
    maxProperties: node["maxProperties"],
    additionalProperties: values,
  };
}

function object(node: SchemaNode, path: string, unknown: Unknown): SchemaNode {
  if (node["additionalProperties"] !== false) fail(path, "is not strict");
  const properties = Object.entries(node["properties"] as Readonly<Record<string, SchemaNode>>).map(([key, child]) => [
    key,
    convert(child, path === "" ? key : `${path}.${key}`, unknown),
  ]);
  const required = node["required"] as readonly string[] | undefined;
  return {
    ...copy(node, path, "object", ["properties", "required"]),
    properties: Object.fromEntries(properties) as SchemaNode,
    ...(required === undefined || required.length === 0 ? {} : { required }),
    ...(unknown === "preserve" ? { "x-kubernetes-preserve-unknown-fields": true } : {}),
  };
}

/** Two JSON types in one field: no `type`, and then the server wants the field to keep what it does not know. */
function wordOrFalse(node: SchemaNode, path: string): SchemaNode {
  const { type: _type, ...rest } = copy(node, path, "string", [OFF_IS_FALSE]);
  return {
    ...rest,
    enum: [...(node["enum"] as readonly string[]), false],
    "x-kubernetes-preserve-unknown-fields": true,
  };
}

/** The server merges entries by these keys, so each entry must have them. */
function keysAreRequired(node: SchemaNode, items: SchemaNode, path: string): void {
  const keys = need(node, "x-kubernetes-list-map-keys", path) as readonly string[];
  const required = (items["required"] ?? []) as readonly string[];
  for (const key of keys) if (!required.includes(key)) fail(path, `is keyed by ${key}, which is optional`);
}

function copy(node: SchemaNode, path: string, type: keyof typeof COPIED, handled: readonly string[]): SchemaNode {
  const known: readonly string[] = [...ALWAYS, ...COPIED[type]];
  const stray = Object.keys(node).find((key) => !known.includes(key) && !handled.includes(key) && !LEFT_OUT.has(key));
  if (stray !== undefined) fail(path, `has ${stray}, which the API server would drop or refuse`);
  return Object.fromEntries(known.flatMap((key) => (node[key] === undefined ? [] : [[key, node[key]]])));
}

function need(node: SchemaNode, key: string, path: string): unknown {
  return node[key] ?? fail(path, `has no ${key}`);
}

function fail(path: string, what: string): never {
  throw new Error(`${path === "" ? "the schema" : path} ${what}`);
}
