/** That no expression which this check lets pass is refused by Envoy; those that it refuses are mostly refused there too. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { type Chain, startChain, toUpstream } from "../../test/chain.ts";
import { regexFault } from "./re2.ts";

const sound = [
  ...["", "a", "a||b", "()", "(|a)", "x(?i)y", "(?i:a)b", "(?is-U:x)", "(?P<name>x)", "(?<name>x)", "^*", "\\b+"],
  ...[
    "a*?",
    "a{2}",
    "a{2,}?",
    "a{",
    "a{1,2",
    "a{a}",
    "a{0}",
    "a{1000}",
    "(a{500}){2}",
    "a".repeat(2_000),
    "(?:ab?){900}",
  ],
  ...["[]a]", "[^]a]", "[a-]", "[-a]", "[a\\]b]", "[[:alpha:]]", "[[:^word:]_]", "[\\pL\\d]", "[\\x41-\\x45]", "[é]"],
  ...[
    "\\d\\D\\s\\S\\w\\W",
    "\\pN\\PN\\p{Greek}\\p{^Lu}",
    "\\Qa.b\\E+",
    "\\Qa",
    "\\0\\07\\012",
    "\\x{ff}",
    "\\A\\z",
    "\\/\\-\\_",
  ],
];
const unsound = [
  ...["(", ")", "a)", "((a)", "[", "[a", "[z-a]", "[a-\\d]", "[[:foo:]]", "[\\b]", "[\\p{Nope}]", "\\", "[a\\"],
  ...[
    "*",
    "+a",
    "(*)",
    "a|*",
    "a**",
    "a{2}{3}",
    "a*??",
    "(?i)*",
    "\\Q\\E*",
    "a{1001}",
    "a{3,1}",
    "(a{2}){501}",
    "((a{100}){100}){100}",
  ],
  ...["(?=a)", "(?!a)", "(?<=a)", "(?>a)", "(?#c)", "(?x)", "(?P=a)", "(?P<>a)", "(?P<a-b>a)", "(?-)", "(?"],
  ...[
    "\\1",
    "(a)\\1",
    "\\k<a>",
    "\\Z",
    "\\e",
    "\\cA",
    "\\u0041",
    "\\h",
    "\\é",
    "\\x4",
    "\\x{}",
    "\\x{110000}",
    "\\x{100}",
    "\\400",
    "\\8",
  ],
  ...["\\p{Foo}", "\\p{greek}", "\\p{Script=Greek}", "\\pX"],
];

let chain: Chain;
let count = 0;
beforeAll(async () => {
  chain = await startChain({ routes: [] });
}, 60_000);
afterAll(() => chain.stop());

async function accepted(...patterns: readonly string[]): Promise<boolean> {
  const routes = patterns.map((regex) => ({
    name: `r${String((count += 1))}`,
    match: { safe_regex: { regex } },
    route: toUpstream,
  }));
  return chain.setRoutes(routes).then(
    () => true,
    () => false,
  );
}

describe("what passes", () => {
  const written = sound.filter((pattern) => pattern !== ""); // a route's own `safe_regex` may not be empty
  test("has no fault, and Envoy takes it", async () => {
    expect(sound.filter((pattern) => regexFault(pattern) !== undefined)).toEqual([]);
    expect(await accepted(...written)).toBe(true);
  });
});

describe("what does not pass", () => {
  test.each(unsound)("%j", async (pattern) => {
    expect(regexFault(pattern)).toMatch(/^(is|has|repeats|names|nests|ends) /);
    expect(await accepted(pattern)).toBe(false);
  });
});

test("is never let pass and then refused by Envoy", async () => {
  const pieces = fc.constantFrom(
    ...[...sound, ...unsound].filter(({ length }) => length < 12),
    ...Array.from("ab.*+?()[]{}|^$\\-:=<>!QEp1"),
  );
  const pattern = fc.array(pieces, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(""));
  const passing = pattern.filter((text) => text !== "" && regexFault(text) === undefined);
  await fc.assert(
    fc.asyncProperty(fc.array(passing, { minLength: 20, maxLength: 20 }), async (patterns) => {
      expect(await accepted(...patterns)).toBe(true);
    }),
    { numRuns: 50 },
  );
});
