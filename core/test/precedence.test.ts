import { expect, test } from "@jest/globals";
import type { RouteMatch } from "../src/kinds/gateway-api/http-route.ts";
import { byPrecedence, type Ranked } from "../src/translate/match.ts";

const DEFAULTS = { namespace: "shop", uid: "", generation: 1 };

function ranked(
  name: string,
  match: Partial<RouteMatch>,
  more: { readonly age?: number; readonly rule?: number; readonly at?: number } = {},
): Ranked {
  const { age = 0, rule = 0, at = 0 } = more;
  return {
    route: { ...DEFAULTS, name, createdMs: age },
    match: { path: { type: "PathPrefix", value: "/" }, headers: [], query: [], ...match },
    rule,
    at,
  };
}

const value = { name: "x", type: "Exact", value: "1" };
const prefix = (path: string): Partial<RouteMatch> => ({ path: { type: "PathPrefix", value: path } });

/** From first to last, as Gateway API orders them. */
const inOrder: readonly Ranked[] = [
  ranked("exact", { path: { type: "Exact", value: "/a" } }),
  ranked("expression", { path: { type: "RegularExpression", value: "/a.*" } }),
  ranked("long", prefix("/a/b/c")),
  ranked("method", { ...prefix("/a/b"), method: "GET" }),
  ranked("headers", { ...prefix("/a/b"), headers: [value, { ...value, name: "y" }] }),
  ranked("header", { ...prefix("/a/b"), headers: [value], query: [value, value] }),
  ranked("query", { ...prefix("/a/b"), query: [value] }),
  ranked("b-older", prefix("/a/b"), { age: 1 }),
  ranked("a-younger", prefix("/a/b"), { age: 2 }),
  ranked("b-younger", prefix("/a/b"), { age: 2, rule: 0, at: 1 }),
  ranked("b-younger", prefix("/a/b"), { age: 2, rule: 1, at: 0 }),
  ranked("rest", {}),
];

test("matches stand in the order of the Gateway API", () => {
  for (let turn = 0; turn < inOrder.length; turn++) {
    const turned = [...inOrder.slice(turn), ...inOrder.slice(0, turn)];
    expect(turned.sort(byPrecedence)).toEqual(inOrder);
  }
});
