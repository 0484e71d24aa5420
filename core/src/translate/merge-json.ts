/** Protobuf-like merge of JSON objects: fields of `over` win, objects merge, lists are joined. */
import type { JsonObject, JsonValue } from "../world.ts";

export function mergeJson(base: JsonObject, over: JsonObject): JsonObject {
  const merged: Record<string, JsonValue> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = merged[key];
    if (isObject(before) && isObject(value)) merged[key] = mergeJson(before, value);
    else merged[key] = isList(before) && isList(value) ? [...before, ...value] : value;
  }
  return merged;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}
