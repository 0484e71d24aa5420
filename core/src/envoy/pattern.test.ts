/** Patterns that Envoy gets, tried with JavaScript's regular expressions, which agree with RE2 in what is used here. */
import { describe, expect, it, test } from "@jest/globals";
import fc from "fast-check";
import { anyValue, oneOf, pathRegex, quote } from "./pattern.ts";
import type { JsonObject } from "../world.ts";

/** As Envoy does: over the whole text. */
function matches(matcher: JsonObject, text: string): boolean {
  if (typeof matcher["exact"] === "string") return matcher["exact"] === text;
  const { regex } = matcher["safe_regex"] as { readonly regex: string };
  return whole(regex).test(text);
}

const whole = (regex: string): RegExp => new RegExp(`^(?:${regex})$`, "s");

test("a quoted text matches itself and nothing else", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (text, other) => {
      expect(whole(quote(text)).test(text)).toBe(true);
      expect(whole(quote(text)).test(other)).toBe(text === other);
    }),
  );
});

test("one of some texts is one of them; none of none", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1 }), { maxLength: 4 }), fc.string({ minLength: 1 }), (texts, text) => {
      expect(matches(oneOf(texts), text)).toBe(texts.includes(text));
    }),
  );
});

it.each([
  ["free", "free", true],
  ["free", "gold, free", true],
  ["free", "free,gold", true],
  ["free", " free ", true],
  ["free", "freedom", false],
  ["free", "gold, freedom", false],
  ["f.ee", "free", false],
  ["a,b", "a,b", true],
])("any value %j in header %j: %s", (value, header, expected) => {
  expect(matches(anyValue(value), header)).toBe(expected);
});

describe("path templates", () => {
  it.each([
    ["/", "/", true],
    ["/", "/?a=b", true],
    ["/", "/a", false],
    ["/orders", "/orders", true],
    ["/orders", "/orders?x=/", true],
    ["/orders", "/orders/", false],
    ["/orders/*", "/orders/1", true],
    ["/orders/*", "/orders/", false],
    ["/orders/*", "/orders/1/2", false],
    ["/orders/{id}/items", "/orders/1/items", true],
    ["/orders/{id}/items", "/orders/1/itemsx", false],
    ["/orders/**", "/orders", true],
    ["/orders/**", "/orders/", true],
    ["/orders/**", "/orders/1/2?a", true],
    ["/orders/**", "/ordersx", false],
    ["/a.b", "/axb", false],
    ["/**", "/anything/at/all", true],
    ["/**", "/", true],
  ])("%s on %s: %s", (template, path, expected) => {
    expect(whole(pathRegex([template])).test(path)).toBe(expected);
  });

  it("match one of several", () => {
    const regex = whole(pathRegex(["/a", "/b/*"]));
    expect(["/a", "/b/1", "/c"].map((path) => regex.test(path))).toEqual([true, true, false]);
  });
});
