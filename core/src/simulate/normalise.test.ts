import { expect, test } from "@jest/globals";
import { hasPathParameter, headerFault, methodFault, normalisePath } from "./normalise.ts";

/** What Envoy 1.40 made of them over HTTP/1.1. */
test.each([
  ["//x", "/x"],
  ["/a/..", "/"],
  ["/..", "/"],
  ["/a/.", "/a/"],
  ["/%2e%2e/x", "/x"],
  ["/a/%2E", "/a/"],
  ["/a%2", "/a%2"],
  ["/a%zz", "/a%zz"],
  ["/a//b//", "/a/b/"],
  ["///", "//"],
  ["/..//", "//"],
  ["/a//..", "/a/"],
  ["/a/b//../c", "/a/b/c"],
  ["/a/b/../../..//c", "/c"],
  ["/a%252e", "/a%252e"],
  ["/%41%7e%2d", "/A~-"],
  ["/a\\b", "/a/b"],
  ['/a"<>^`{|}b', "/a%22%3C%3E%5E%60%7B%7C%7Db"],
  ["/a%20%3a", "/a%20%3a"],
  ["/a?b=%2f//../x", "/a?b=%2f//../x"],
])("%s is read as %s", (raw, path) => {
  expect(normalisePath(raw)).toEqual({ ok: true, path });
});

test.each(["", "a", "*", "/a b", "/é", "/a#b", "/a?x#y", "/a%2fb", "/a%5Cb", "/a%00b"])("%j is refused", (raw) => {
  expect(normalisePath(raw)).toMatchObject({ ok: false });
});

test("a semicolon counts in the path only", () => {
  expect([hasPathParameter("/a;b"), hasPathParameter("/a%3Bb"), hasPathParameter("/a?b;c")]).toEqual([
    true,
    true,
    false,
  ]);
});

test("methods and headers that no HTTP/1.1 request gets through with", () => {
  expect(methodFault("GET")).toBeUndefined();
  expect([methodFault("get"), methodFault("FOO")].every((fault) => fault !== undefined)).toBe(true);
  expect(headerFault([["x-plan", "free"]])).toBeUndefined();
  expect(headerFault([["x_plan", "free"]])).toContain("underscore");
  expect(headerFault([["x-plan", "a\r\nb"]])).toContain("control");
  expect(headerFault([["x plan", ""]])).toContain("no header name");
});
