/**
 * The part of CEL that Envoy's matcher evaluates (measured on 1.40, cel.envoy.test.ts): no comprehensions, no conversion to text, no joining of
 * texts or lists. Types are those that can be told before a request is there; `dyn` is everything else.
 */

export type Type =
  | "bool"
  | "int"
  | "uint"
  | "double"
  | "string"
  | "bytes"
  | "null"
  | "timestamp"
  | "duration"
  | "list"
  | "map"
  | "dyn"
  | "headers"
  | "request"
  | "source"
  | "consumer"
  | "attributes";

/** Variables of an expression, and the fields of those that have some. */
export const VARIABLES: Readonly<Record<string, Type>> = {
  request: "request",
  source: "source",
  claims: "dyn",
  consumer: "consumer",
};

export const FIELDS: Readonly<Partial<Record<Type, Readonly<Record<string, Type>>>>> = {
  request: {
    id: "string",
    method: "string",
    scheme: "string",
    host: "string",
    path: "string",
    url_path: "string",
    query: "string",
    headers: "headers",
    referer: "string",
    useragent: "string",
    protocol: "string",
    time: "timestamp",
    size: "int",
  },
  source: { address: "string", port: "int" },
  consumer: { name: "string", namespace: "string", attributes: "attributes" },
};

export interface Signature {
  readonly target?: Type;
  readonly args: readonly Type[];
  readonly result: Type;
}

const same = (types: readonly Type[], result: Type | "same"): readonly Signature[] =>
  types.map((type) => ({ args: [type, type], result: result === "same" ? type : result }));
const NUMBERS: readonly Type[] = ["int", "uint", "double"];
const compared: readonly Signature[] = [
  ...same(["bool", "string", "bytes", "timestamp", "duration"], "bool"),
  ...NUMBERS.flatMap((a) => NUMBERS.map((b): Signature => ({ args: [a, b], result: "bool" }))),
];
const part = (): readonly Signature[] => [
  { target: "timestamp", args: [], result: "int" },
  { target: "timestamp", args: ["string"], result: "int" },
];
const ofDuration: Signature = { target: "duration", args: [], result: "int" };
const textTest: readonly Signature[] = [{ target: "string", args: ["string"], result: "bool" }];
const sized: readonly Type[] = ["string", "bytes", "list", "map", "headers"];

/** By name as the parser gives it. Equality, `&&`, `||`, `?:`, `[]` and `in` are checked apart. */
export const FUNCTIONS: ReadonlyMap<string, readonly Signature[]> = new Map<string, readonly Signature[]>([
  ["!_", [{ args: ["bool"], result: "bool" }]],
  [
    "-_",
    [
      { args: ["int"], result: "int" },
      { args: ["double"], result: "double" },
    ],
  ],
  ["_<_", compared],
  ["_<=_", compared],
  ["_>_", compared],
  ["_>=_", compared],
  [
    "_+_",
    [
      ...same([...NUMBERS, "duration"], "same"),
      { args: ["timestamp", "duration"], result: "timestamp" },
      { args: ["duration", "timestamp"], result: "timestamp" },
    ],
  ],
  [
    "_-_",
    [
      ...same([...NUMBERS, "duration"], "same"),
      { args: ["timestamp", "timestamp"], result: "duration" },
      { args: ["timestamp", "duration"], result: "timestamp" },
    ],
  ],
  ["_*_", same(NUMBERS, "same")],
  ["_/_", same(NUMBERS, "same")],
  ["_%_", same(["int", "uint"], "same")],
  ["startsWith", textTest],
  ["endsWith", textTest],
  ["contains", textTest],
  ["matches", [...textTest, { args: ["string", "string"], result: "bool" }]],
  [
    "size",
    [
      ...sized.map((type): Signature => ({ args: [type], result: "int" })),
      ...sized.map((type): Signature => ({ target: type, args: [], result: "int" })),
    ],
  ],
  ["timestamp", [{ args: ["string"], result: "timestamp" }]],
  ["duration", [{ args: ["string"], result: "duration" }]],
  ["int", (["int", "uint", "double", "string", "timestamp"] as const).map((type) => ({ args: [type], result: "int" }))],
  ["uint", (["int", "uint", "double", "string"] as const).map((type) => ({ args: [type], result: "uint" }))],
  ["double", (["int", "uint", "double", "string"] as const).map((type) => ({ args: [type], result: "double" }))],
  ...["getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"].map(
    (name): readonly [string, readonly Signature[]] => [name, part()],
  ),
  ...["getHours", "getMinutes", "getSeconds", "getMilliseconds"].map(
    (name): readonly [string, readonly Signature[]] => [name, [...part(), ofDuration]],
  ),
]);

/** What people expect and Envoy does not have, with what to write instead. */
export const INSTEAD: ReadonlyMap<string, string> = new Map([
  ["string", "compare with a number or a text literal"],
  ["lowerAscii", "use matches('(?i)…')"],
  ["upperAscii", "use matches('(?i)…')"],
  ["split", "use contains or matches"],
  ["replace", "use contains or matches"],
  ["substring", "use startsWith, endsWith or matches"],
  ["type", "compare with a literal of that type"],
]);
