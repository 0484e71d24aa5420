import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { covers, EVERY_HOST, intersect, isHostPattern, mostSpecific } from "../src/attach/hostname.ts";

test.each([
  ["*", "a.test", true],
  ["*", "*", true],
  ["*.test", "a.test", true],
  ["*.test", "b.a.test", true],
  ["*.test", "*.a.test", true],
  ["*.test", "test", false],
  ["*.test", "atest", false],
  ["*.test", "*", false],
  ["a.test", "a.test", true],
  ["a.test", "b.test", false],
  ["*.a.test", "*.test", false],
])("%s covers %s: %s", (outer, inner, expected) => expect(covers(outer, inner)).toBe(expected));

const label = fc.constantFrom("a", "b", "c");
const host = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join("."));
const pattern = fc.oneof(
  host,
  host.map((suffix) => `*.${suffix}`),
  fc.constant(EVERY_HOST),
);

test("the intersection of two patterns has exactly the hosts that both have", () => {
  fc.assert(
    fc.property(pattern, pattern, host, (a, b, one) => {
      const both = intersect(a, b);
      expect(both !== undefined && covers(both, one)).toBe(covers(a, one) && covers(b, one));
    }),
  );
});

test("the most specific of some patterns covers the host, and no other that does is inside it", () => {
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 6 }), host, (patterns, one) => {
      const best = mostSpecific(patterns, one);
      const covering = patterns.filter((each) => covers(each, one));
      if (best === undefined) expect(covering).toEqual([]);
      else expect(covering.every((each) => covers(each, best))).toBe(true);
    }),
  );
});

test.each(["a.test", "*.a.test", "*", "a-b.c1.test"])("%s is a host pattern", (text) =>
  expect(isHostPattern(text)).toBe(true),
);
test.each(["", "*.", "*a.test", "a..test", "A.test", "a|b", "a\nb", "a.*.test", "-a.test", "a.test."])(
  "%j is none",
  (text) => expect(isHostPattern(text)).toBe(false),
);
