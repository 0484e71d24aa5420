import { describe, expect, test } from "@jest/globals";
import type { RouteMatch } from "../kinds/gateway-api/http-route.ts";
import { PRESENT, ruleFault, widened } from "./route-faults.ts";

const match = (more: Partial<RouteMatch>): RouteMatch => ({
  path: { type: "PathPrefix", value: "/a" },
  headers: [],
  query: [],
  ...more,
});
const regex = (value: string) => ({ type: "RegularExpression", value });
const pathOf = (value: string): string => widened(match({ path: regex(value) })).path.value;

describe("what stands for a match that cannot be sent", () => {
  test.each([
    ["/users/[0-9", "/users/"],
    ["/users/me/(a", "/users/me/"],
    // The last segment may be longer or shorter than it looks.
    ["/users(", "/"],
    ["/users/?x(", "/"],
    ["/users/m*(", "/users/"],
    ["/a/b{2,1}", "/a/"],
    // An alternative may lead anywhere, and what does not begin with a slash too.
    ["/a/(b|/c[", "/"],
    [".*(", "/"],
    ["", "/"],
  ])("of the path %j are all paths below %j", (value, prefix) => {
    expect(widened(match({ path: regex(value) })).path).toEqual({ type: "PathPrefix", value: prefix });
  });

  test("covers every path that the sound beginning of an expression covers", () => {
    const expressions = ["/users/[0-9]+", "/users/?x", "/a/b*c/d", "/a/b{0,2}/c", "/shop/(x|y)"];
    const paths = ["/users/1", "/usersx", "/users/x", "/a/c/d", "/a/bbc/d", "/a//c", "/a/bb/c", "/shop/x", "/shop/y"];
    for (const expression of expressions) {
      const prefix = pathOf(`${expression}(`);
      const matching = paths.filter((path) => new RegExp(`^(?:${expression})$`).test(path));
      for (const path of matching)
        expect([expression, prefix, `${path}/`.startsWith(prefix)]).toEqual([expression, prefix, true]);
    }
  });

  test("asks for a header or parameter whose expression is broken to be there, and keeps what is sound", () => {
    const sound = { name: "x-a", type: "Exact", value: "1" };
    const broken = { name: "x-b", ...regex("[") };
    const wide = widened(match({ headers: [sound, broken], query: [{ ...broken, name: "q[]" }], method: "GET" }));
    expect(wide.headers).toEqual([sound, { ...broken, type: PRESENT }]);
    expect(wide.query).toEqual([{ name: "q[]", type: PRESENT, value: "[" }]);
    expect(wide).toMatchObject({ path: { type: "PathPrefix", value: "/a" }, method: "GET" });
  });

  test("can be sent itself, but for the type that only says that something is there", () => {
    const broken = match({ path: regex("/a/("), headers: [{ name: "bad name", ...regex("[") }], method: "get it" });
    expect(ruleFault({ matches: [broken], filters: [], backends: [] }, 0)).toBeDefined();
    expect(ruleFault({ matches: [widened(broken)], filters: [], backends: [] }, 0)).toBeUndefined();
  });
});
