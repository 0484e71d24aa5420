/** What is no expression for Envoy is refused with its place; nothing throws. */
import { describe, expect, test } from "@jest/globals";
import { checkExpression } from "./check.ts";

const said = (text: string): unknown => {
  const checked = checkExpression(text);
  return checked.ok ? "taken" : [checked.line, checked.column, checked.message];
};

test("the example of the API page is taken", () => {
  expect(said("request.time.getHours('Asia/Shanghai') in [9,10,11,14,15,16,17]")).toBe("taken");
});

describe("refused, with line and column", () => {
  test.each<[text: string, line: number, column: number, message: RegExp]>([
    ["", 1, 1, /is no CEL/],
    ["request.method ==", 1, 16, /is no CEL/],
    ["request.method == 'GET' &&\n  b ==", 2, 5, /is no CEL/],
    ["'open", 1, 1, /is no CEL/],
    ["request.method", 1, 8, /is a text, not true or false/],
    ["'GET'", 1, 1, /is a text/],
    ["1 + 2", 1, 2, /is a whole number/],
    ["request", 1, 1, /`request` as a whole/],
    ["request.headers", 1, 8, /the headers/],
    ["methods == 'GET'", 1, 1, /names methods; there are request, source, claims, consumer/],
    ["metadata.filter_metadata.x == 'a'", 1, 1, /names metadata/],
    ["response.code == 200", 1, 1, /names response/],
    ["request.verb == 'GET'", 1, 8, /request\.verb; there are id, method/],
    ["true &&\n\n   request.method.lowerAscii() == 'get'", 3, 18, /lowerAscii, which Envoy does not have: use matches/],
    ["string(1) == '1'", 1, 1, /string, which Envoy does not have/],
    ["[1].exists(x, x == 1)", 1, 4, /exists, all, map or filter/],
    ["claims.roles.all(r, r != 'x')", 1, 13, /exists, all, map or filter/],
    ["request.method == 1", 1, 16, /compares a text with a whole number/],
    ["request.method + 'x' == 'y'", 1, 16, /uses `\+` with a text and a text/],
    ["[1] + [2] == [1, 2]", 1, 4, /uses `\+` with a list and a list/],
    ["request.time > '2027-01-01T00:00:00Z'", 1, 14, /uses `>` with a point in time and a text/],
    ["request.method.startsWith(1)", 1, 15, /uses `startsWith` with a text and a whole number/],
    ["request.time.getHours(1) == 9", 1, 13, /uses `getHours`/],
    ["request.time.getHours('Asia/Nowhere') == 9", 1, 23, /time zone Asia\/Nowhere/],
    ["request.time.getHours('asia/shanghai') == 9", 1, 23, /time zone asia\/shanghai/],
    ["request.time.getHours(request.method) == 9", 1, 13, /no text literal/],
    ["request.time > timestamp('yesterday')", 1, 16, /no point in time/],
    ["request.time - request.time > duration('1 day')", 1, 31, /no duration/],
    ["request.path.matches(request.method)", 1, 13, /no text literal/],
    ["request.path.matches('(')", 1, 22, /has a pattern that has a \( without its \)/],
    [`request.path.matches('${"a".repeat(98)}')`, 1, 22, /too large/],
    ["request.path.matches('\\\\pL')", 1, 22, /too large/],
    ["1 ? true : false", 1, 1, /chooses by a whole number/],
    ["true && 1", 1, 9, /is a whole number, not true or false/],
    ["'a' in 'abc'", 1, 4, /looks for something in a text/],
    ["request.method[0] == 'G'", 1, 15, /asks a text for an entry/],
    ["google.protobuf.Timestamp{seconds: 1} < request.time", 1, 1, /makes a message/],
    ["consumer == 'shop/erp'", 1, 9, /compares `consumer` as a whole/],
    ["consumer.attributes[request.method] == 'a'", 1, 20, /attribute that is no text literal/],
    [`${"(".repeat(100)}true${")".repeat(100)}`, 1, 65, /nest too deeply/],
    [`${"!".repeat(3_000)}true`, 1, 1, /nest too deeply/],
    [`size(${"[".repeat(40)}${"]".repeat(40)}) > 0`, 1, 37, /nests too deeply/],
    [Array.from({ length: 200 }, () => "request.method == 'GET'").join(" || "), 1, 1, /more than 500 parts/],
  ])("case %#", (text, line, column, message) => {
    expect(said(text)).toEqual([line, column, expect.stringMatching(message)]);
  });
});

test("what is used is told", () => {
  const checked = checkExpression("claims.a == 'b' && request.method == 'GET'");
  expect(checked.ok && [...checked.uses].sort()).toEqual(["claims", "request"]);
});

test("any text gets an answer, quickly", () => {
  const pieces = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'",
    '"',
    "\\",
    "a",
    "1",
    "&&",
    "||",
    "!",
    "-",
    "?",
    ":",
    ".",
    ",",
    "in",
    "\u0000",
    "é",
    "\n",
    "r'",
    "b'",
    "//",
    "0x",
    "1e999",
    "99999999999999999999",
  ];
  const start = performance.now();
  let state = 7;
  for (let at = 0; at < 2_000; at += 1) {
    let text = "";
    for (let length = 0; length < 12; length += 1) {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      text += pieces[state % pieces.length] ?? "";
    }
    expect(typeof checkExpression(text).ok).toBe("boolean");
  }
  for (const piece of pieces) expect(typeof checkExpression(piece.repeat(4_096 / piece.length)).ok).toBe("boolean");
  expect(performance.now() - start).toBeLessThan(60_000);
});
