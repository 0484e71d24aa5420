/**
 * What a zod schema says beyond its shape, so that the API server's CRD, our parser and the reference page have one source: a rule has a
 * CEL half for the server and a check for us; list types and documented defaults are metadata.
 */
import * as z from "zod";
import type { CelRule } from "../slice.ts";

/** Metadata key of a default that lives in code and must never be stored by the API server (api.md: no default appears in a spec). */
export const DEFAULT = "x-gatewarden-default";
export const VALIDATIONS = "x-kubernetes-validations";
/** Metadata key of rules that only we check. */
export const OWN_RULES = "x-gatewarden-rules";

export interface Rule<T> {
  /** The server's half; absent where CEL cannot see it (unknown keys, other schemas' defaults) or a list type already checks it. */
  readonly cel?: string;
  readonly message: string;
  readonly fix: string;
  readonly check: (value: T) => boolean;
}

/** Adds a rule. It is only asked about values that are otherwise sound. */
export function rule<S extends z.ZodType>(schema: S, { cel, message, fix, check }: Rule<z.output<S>>): S {
  const checked = schema.refine(check, {
    error: message,
    params: { fix },
    when: (payload) => payload.issues.length === 0,
  });
  const key = cel === undefined ? OWN_RULES : VALIDATIONS;
  const said = { ...(cel === undefined ? {} : { rule: cel }), message: `${message}: ${fix}` };
  return checked.meta({ [key]: [...((checked.meta()?.[key] ?? []) as readonly object[]), said] });
}

/** What may become of a value that is already stored. Only the server knows the old one (`oldSelf`): there is no half of ours. */
export function transition<S extends z.ZodType>(
  schema: S,
  { cel, message, fix }: Pick<Required<Rule<unknown>>, "cel" | "message" | "fix">,
): S {
  const said = { rule: cel, message: `${message}: ${fix}` };
  return schema.meta({
    ...schema.meta(),
    [VALIDATIONS]: [...((schema.meta()?.[VALIDATIONS] ?? []) as readonly object[]), said],
  });
}

export interface CelValidation {
  readonly rule: string;
  readonly message: string;
}

/** Documents what an absent field means. The value is only printed; code reads its own constant. */
export function defaultsTo<S extends z.ZodType>(schema: S, value: unknown): S {
  return schema.meta({ [DEFAULT]: typeof value === "string" ? value : JSON.stringify(value) });
}

/** Unset (`{}`) means nothing: one of `keys` must be written. The server only counts properties, since it cannot see unknown keys. */
export function oneOrMore<S extends z.ZodObject>(schema: S, keys: readonly (keyof z.output<S> & string)[]): S {
  const said = rule(schema, {
    message: "says nothing",
    fix: `write at least one of ${keys.join(", ")}, or leave it out`,
    check: (value) => keys.some((key) => !isNothing((value as Readonly<Record<string, unknown>>)[key])),
  });
  return said.meta({ minProperties: 1 });
}

function isNothing(value: unknown): boolean {
  return value === undefined || (Array.isArray(value) && value.length === 0);
}

/** All CEL rules of a schema with their paths below it (`limits[].per`; map values `headers{}`). */
export function celRules(schema: z.ZodType, path = ""): readonly CelRule[] {
  const own = ((schema.meta()?.[VALIDATIONS] ?? []) as readonly CelValidation[]).map((validation) => ({
    path,
    ...validation,
  }));
  return [...own, ...children(schema, path).flatMap(([child, at]) => celRules(child, at))];
}

function children(schema: z.ZodType, path: string): readonly (readonly [z.ZodType, string])[] {
  if (schema instanceof z.ZodObject) {
    return Object.entries(schema.shape as Readonly<Record<string, z.ZodType>>).map(([key, child]) => [
      child,
      path === "" ? key : `${path}.${key}`,
    ]);
  }
  if (schema instanceof z.ZodArray) return [[schema.element as z.ZodType, `${path}[]`]];
  if (schema instanceof z.ZodRecord) return [[schema.valueType as z.ZodType, `${path}{}`]];
  if (schema instanceof z.ZodExactOptional) return [[schema.unwrap() as z.ZodType, path]];
  return [];
}

/** A parsed spec is never changed by anybody. */
export type Immutable<T> = T extends readonly (infer E)[]
  ? readonly Immutable<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Immutable<T[K]> }
    : T;
