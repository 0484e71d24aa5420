/** Evaluates the tree that Envoy gets (ast.ts) as Envoy does, for simulate: true, false, or undefined where it fails. */
import type { JsonObject, JsonValue } from "../world.ts";
import { TOKENS } from "./ast.ts";
import { celLibrary } from "./library.ts";

/** What an expression can read. Names of headers are in lower case, several copies joined with commas. */
export interface Attributes {
  readonly request: {
    readonly id: string;
    readonly method: string;
    readonly scheme: string;
    readonly host: string;
    /** Query included. */
    readonly path: string;
    readonly protocol: string;
    readonly size: number;
    readonly headers: ReadonlyMap<string, string>;
  };
  readonly nowMs: number;
  readonly source: { readonly address: string; readonly port: number };
  /** Of the verified token; absent: there is none. */
  readonly claims?: JsonObject;
}

let env: ReturnType<typeof environment> | undefined;

function environment() {
  const { celEnv, celFunc, CelScalar, mapType } = celLibrary();
  const anyMap = mapType(CelScalar.STRING, CelScalar.DYN);
  return celEnv({
    variables: { request: anyMap, source: anyMap, metadata: anyMap },
    funcs: [celFunc("re.extract", [CelScalar.STRING, CelScalar.STRING, CelScalar.STRING], CelScalar.STRING, extract)],
  });
}

const plans = new WeakMap<JsonObject, ReturnType<typeof planned>>();

export function evaluateTree(tree: JsonObject, attributes: Attributes): boolean | undefined {
  let run = plans.get(tree);
  if (run === undefined) plans.set(tree, (run = planned(tree)));
  const result: unknown = run(variablesOf(attributes));
  return typeof result === "boolean" ? result : undefined;
}

function planned(tree: JsonObject): (variables: ReturnType<typeof variablesOf>) => unknown {
  const { ExprSchema, fromJson, isCelError, plan } = celLibrary();
  env ??= environment();
  const evaluate = plan(env, fromJson(ExprSchema, tree as Parameters<typeof fromJson>[1]));
  return (variables) => {
    const result = evaluate(variables);
    return isCelError(result) ? undefined : result;
  };
}

function variablesOf({ request, nowMs, source, claims }: Attributes) {
  const [urlPath = "", ...query] = request.path.split("?");
  const header = (name: string): readonly (readonly [string, string])[] => {
    const value = request.headers.get(name);
    return value === undefined ? [] : [[name === "user-agent" ? "useragent" : name, value]];
  };
  const { headers, size, ...texts } = request;
  const seconds = Math.floor(nowMs / 1_000);
  const { create, TimestampSchema } = celLibrary();
  return {
    request: new Map<string, unknown>([
      ...Object.entries(texts),
      ...header("referer"),
      ...header("user-agent"),
      ["url_path", urlPath],
      ["query", query.join("?")],
      ["size", BigInt(size)],
      ["headers", new Map(headers)],
      ["time", create(TimestampSchema, { seconds: BigInt(seconds), nanos: (nowMs - seconds * 1_000) * 1_000_000 })],
    ]) as never,
    source: new Map<string, unknown>([
      ["address", source.address],
      ["port", BigInt(source.port)],
    ]) as never,
    metadata: new Map([
      ["filter_metadata", new Map(claims === undefined ? [] : [[TOKENS, new Map([["jwt", valueOf(claims)]])]])],
    ]) as never,
  };
}

/** As Envoy keeps JSON: objects are maps, every number is a double. */
function valueOf(json: JsonValue): unknown {
  if (Array.isArray(json)) return json.map(valueOf);
  if (typeof json !== "object" || json === null) return json;
  return new Map(Object.entries(json as JsonObject).map(([key, value]) => [key, valueOf(value)]));
}

/** Envoy's `re.extract`, for the two patterns that ast.ts writes. */
function extract(text: string, pattern: string): string {
  const found = new RegExp(pattern).exec(text)?.[1];
  if (found === undefined) throw new Error("no match");
  return found;
}
