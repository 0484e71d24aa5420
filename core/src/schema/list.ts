/** Lists and maps as the API server knows them: each has a bound (CEL's cost estimate needs it) and a list type (server-side apply needs it). */
import * as z from "zod";

const LIST_TYPE = "x-kubernetes-list-type";

/** Entries merge by `key`, which the server keeps unique. */
export function listMap<T extends z.ZodObject>(item: T, key: keyof z.output<T> & string, max: number): z.ZodArray<T> {
  return unique(z.array(item).min(1).max(max), (entry) => [String(entry[key]), [key]]).meta({
    [LIST_TYPE]: "map",
    "x-kubernetes-list-map-keys": [key],
  });
}

/** Strings in no order, each once. `min` 0 only where api.md writes an empty list to say "none of these". */
export function listSet<T extends z.ZodType<string>>(item: T, max: number, min = 1): z.ZodArray<T> {
  return unique(z.array(item).min(min).max(max), (entry) => [entry, []]).meta({ [LIST_TYPE]: "set" });
}

/** One value as a whole: order counts, or entries have no key. */
export function atomicList<T extends z.ZodType>(item: T, max: number, min = 1): z.ZodArray<T> {
  return z
    .array(item)
    .min(min)
    .max(max)
    .meta({ [LIST_TYPE]: "atomic" });
}

/** String keys to values. Keys are checked by a rule of the caller (structural schemas have no pattern for keys). */
export function textMap<V extends z.ZodType>(value: V, max: number): z.ZodRecord<z.ZodString, V> {
  return z
    .record(z.string(), value)
    .refine((map) => Object.keys(map).length >= 1, { error: "is empty", params: { fix: "leave it out" } })
    .refine((map) => Object.keys(map).length <= max, {
      error: `has more than ${max} entries`,
      params: { fix: "take some away" },
    })
    .meta({ minProperties: 1, maxProperties: max });
}

function unique<T extends z.ZodType>(
  list: z.ZodArray<T>,
  identity: (entry: z.output<T>) => readonly [string, readonly string[]],
): z.ZodArray<T> {
  return list.superRefine((entries, context) => {
    const seen = new Set<string>();
    entries.forEach((entry, index) => {
      const [id, path] = identity(entry);
      if (seen.has(id)) {
        const params = { fix: "keep one of them" };
        context.addIssue({ code: "custom", path: [index, ...path], message: "is a duplicate", params });
      }
      seen.add(id);
    });
  });
}
