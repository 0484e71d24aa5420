/** Where what decided stands: the line of a file, or else the object. */
import type { Manifest } from "./offline/manifests.ts";

export interface Decider {
  readonly object: string; // Kind/namespace/name
  readonly file?: string;
  readonly line?: number;
}

export type DeciderOf = (kind: "ApiPolicy" | "HTTPRoute" | "Gateway", id: string, path: string) => Decider;

export function decidersIn(objects: ReadonlyMap<string, Manifest>): DeciderOf {
  return (kind, id, path) => {
    const object = `${kind}/${id}`;
    const at = objects.get(object)?.at;
    return at === undefined ? { object } : { object, file: at.file, line: at.line(path) };
  };
}

/** As editors and terminals make a link of it. */
export function deciderText({ object, file, line }: Decider): string {
  return file === undefined ? object : `${file}:${String(line ?? 1)}`;
}

/** The path of a route's rule, by its name or index; of the whole where it cannot be found. */
export function rulePath(object: Manifest | undefined, rule: string, list = "spec.rules"): string {
  const spec = object?.object.spec as
    { readonly rules?: unknown; readonly authorization?: { readonly rules?: unknown } } | undefined;
  const rules = list === "spec.rules" ? spec?.rules : spec?.authorization?.rules;
  const named = Array.isArray(rules) ? rules.findIndex((one: { readonly name?: unknown }) => one.name === rule) : -1;
  if (named >= 0) return `${list}[${String(named)}]`;
  return list === "spec.rules" && /^\d+$/.test(rule) ? `${list}[${rule}]` : list;
}
