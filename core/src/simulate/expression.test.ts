import { expect, test } from "@jest/globals";
import { fits } from "./expression.ts";

test.each([
  ["a.c", "abc", true],
  ["a.c", "a\nc", false],
  ["(?s)a.c", "a\nc", true],
  ["b", "abc", false], // the whole text
  ["(?i)abc", "ABC", true],
  ["a(?i)b|c", "aB", true],
  ["a(?i)b|c", "C", true],
  ["a(?i)b|c", "AB", false],
  ["(?:(?i)a)b", "AB", false],
  ["(?i:a)b", "Ab", true],
  ["(?P<x>a)(?<y>b)", "ab", true],
  ["[[:alpha:]]+", "abZ", true],
  ["[[:^digit:]]", "5", false],
  ["[]a]+", "]a", true],
  ["\\Qa.b\\E+", "a.bb", true],
  ["\\Qa.b\\E", "axb", false],
  ["\\Aab\\z", "ab", true],
  ["\\x41\\x{42}\\103", "ABC", true],
  ["\\s", "\u000b", false], // RE2's \s has no vertical tab
  ["[^\\S]", " ", true],
  ["\\pL+", "abc", true],
  ["\\PL", "1", true],
  ["\\p{Lu}", "a", false],
  ["a+?b*?", "aab", true],
  ["(?U)a+", "aa", true],
  ["a/b-c", "a/b-c", true],
  ["..", "é", true], // two bytes
  ["é", "é", true],
])("%s on %j: %s", (expression, text, verdict) => {
  expect(fits(expression, text)).toBe(verdict);
});
