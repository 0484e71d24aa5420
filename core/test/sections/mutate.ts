/** Small damage to sound specs, for tests that ask two judges about the same thing. */
import fc from "fast-check";
import type { JsonValue } from "../../src/world.ts";
import { ACCEPTED } from "./accepted.ts";

/** What somebody might write in the place of something else. */
const LEAVES: readonly JsonValue[] = [
  ...[
    "",
    " ",
    "a",
    "A",
    "a b",
    "a\nb",
    "a.b",
    "-a",
    "a_b",
    "x-a",
    "X-A",
    "x-request-id",
    "ä",
    "😀",
    "%",
    "'",
    '"',
    "\\",
    "/",
    "/a",
    "/**",
  ],
  ...[
    "1s",
    "24h",
    "0s",
    "1h1m1s1ms",
    "1.5s",
    "99999h",
    "1h1h1h1h1h",
    "10.0.0.0/8",
    "::/0",
    "1.2.3.4",
    "::ffff:1.2.3.4/128",
    "1::/129",
  ],
  ...[
    "2027-01-01T00:00:00Z",
    "2028-02-29T00:00:00z",
    "2027-02-29T00:00:00Z",
    "2027-01-01T00:00:00+24:00",
    "2027-01-01T23:59:60Z",
  ],
  ...[
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "https://a.test",
    "http://a.test",
    "https://a@b.test/",
    "Off",
    "None",
    "Ref",
  ],
  ...[
    "x".repeat(64),
    "x".repeat(254),
    "x".repeat(2_049),
    "HS256",
    "none",
    "1.3",
    "GET",
    "get",
    "File",
    "Inline",
    "Global",
  ],
  ...[0, 1, -1, 1.5, 32, 256, 2048, 65_536, 1e9, 1e10, true, false, null, [], {}, [[]], [{}], ["a", "a"], { a: "b" }],
];

export interface Mutant {
  readonly section: string;
  readonly spec: JsonValue;
}

/** One or two changes to an accepted section: a value replaced, removed, or an entry repeated. */
export const mutants: fc.Arbitrary<Mutant> = fc
  .tuple(
    fc.constantFrom(...ACCEPTED),
    fc.array(fc.tuple(fc.nat(), fc.constantFrom("replace", "remove", "repeat"), fc.constantFrom(...LEAVES)), {
      minLength: 1,
      maxLength: 2,
    }),
  )
  .map(([[section, , spec], changes]) => ({
    section,
    spec: changes.reduce<JsonValue>((value, [at, how, leaf]) => change(value, at % countOf(value), how, leaf), spec),
  }));

/** Places of a value, itself first. */
function countOf(value: JsonValue): number {
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce<number>((sum, child: JsonValue) => sum + countOf(child), 1);
}

const REMOVED = Symbol("removed");

function change(value: JsonValue, at: number, how: string, leaf: JsonValue): JsonValue {
  const changed = changeAt(value, at, how, leaf);
  return typeof changed === "symbol" ? {} : changed;
}

function changeAt(value: JsonValue, at: number, how: string, leaf: JsonValue): JsonValue | typeof REMOVED {
  if (at === 0) {
    if (how === "remove") return REMOVED;
    if (how === "repeat" && Array.isArray(value))
      return [...(value as readonly JsonValue[]), ...(value as readonly JsonValue[])];
    return leaf;
  }
  if (typeof value !== "object" || value === null) return value;
  let before = 1;
  const children = Object.entries(value).flatMap(([key, child]: [string, JsonValue]) => {
    const count = countOf(child);
    const here = at - before;
    before += count;
    const next = here >= 0 && here < count ? changeAt(child, here, how, leaf) : child;
    return typeof next === "symbol" ? [] : [[key, next] as const];
  });
  return Array.isArray(value) ? children.map(([, child]) => child) : Object.fromEntries(children);
}
