/**
 * What we take for CEL, a real Envoy takes, and both evaluate it alike. An expression that fails allows nothing: not as a rule that allows, nor
 * as one that denies.
 */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { send } from "../../../e2e/client/http1.ts";
import { type Policies, startPolicies, translate } from "../../test/authorization.ts";
import type { Chain } from "../../test/chain.ts";
import { createKeys, jwk, keySet, token } from "../../test/tokens.ts";
import { envoyTree } from "./ast.ts";
import { checkExpression } from "./check.ts";
import { type Attributes, evaluateTree } from "./evaluate.ts";

const CORP = "https://sso.corp.test";
const keys = createKeys();
const claims = {
  ...{ iss: CORP, sub: "ann", exp: Math.floor(Date.now() / 1000) + 600, dept: "sales", level: 7, ok: true },
  org: { id: "a", roles: ["x", "y"] },
};
const authentication = {
  apiKey: {},
  jwt: [{ name: "corp", issuer: CORP, jwks: { type: "Inline", inline: keySet(jwk(keys.p256)) } }],
} as const;
const world = { consumers: [{ name: "erp", liveKeys: ["erp-key"], attributes: { department: "sales" } }] };
const HEADERS: readonly (readonly [string, string])[] = [
  ["x-a", "v"],
  ["x-b", "b1"],
  ["x-b", "b2"],
  ["user-agent", "ua/1.0"],
  ["x-gatewarden-consumer", "forged/forged"],
];

/** True, false, or failing; who asks with a token or with a key. */
const EXPRESSIONS: readonly (readonly [text: string, value: boolean | undefined, by?: "key"])[] = [
  ["request.time.getHours('Asia/Shanghai') in [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23]", true],
  ["request.time.getHours('+08:00') == request.time.getHours('Asia/Shanghai')", true],
  ["request.time.getFullYear() < 2000", false],
  ["request.time.getDayOfWeek('Europe/Berlin') < 7 && request.time.getMinutes() >= 0", true],
  ["request.time > timestamp('2025-01-01T00:00:00Z') && request.time < timestamp('2125-01-01T00:00:00Z')", true],
  ["request.time - timestamp('2025-01-01T00:00:00Z') > duration('1h30m')", true],
  ["request.time + duration('1h') > request.time", true],
  ["request.method == 'GET' && request.host == 'shop.test' && request.scheme == 'http'", true],
  ["request.url_path.endsWith('/x') && request.query == 'q=1' && request.path.endsWith('/x?q=1')", true],
  ["request.headers['x-a'] == 'v' && request.headers['X-A'] != 'w'", true],
  ["'x-a' in request.headers && 'X-A' in request.headers && !('x-none' in request.headers)", true],
  ["has(request.headers.host) && request.headers.host.size() == 9", true],
  ["request.headers['x-b'] == 'b1,b2'", true],
  ["request.headers['x-b'].startsWith('b1') && request.headers['x-b'].contains('b2')", true],
  ["request.headers['x-none'] == 'v'", undefined],
  ["!(request.headers['x-none'] == 'v')", undefined],
  ["request.headers['x-none'] == 'v' || request.method == 'GET'", true],
  ["request.headers['x-none'] == 'v' && request.method == 'PUT'", false],
  ["request.useragent.matches('^ua/[0-9.]+$') && matches(request.useragent, '(?i)UA')", true],
  ["request.headers['x-none'].matches('a') || request.method == 'GET'", true],
  ["claims.level.matches('7')", undefined],
  ["request.protocol == 'HTTP/1.1' && request.size == 0", true],
  ["source.address.startsWith('127.0.0.1')", true],
  ["claims.sub == 'ann' && claims.dept in ['sales', 'hr'] && claims['level'] > 6 && claims.level == 7", true],
  ["claims.ok && claims.org.id == 'a' && 'x' in claims.org.roles && !('z' in claims.org.roles)", true],
  ["has(claims.org.id) && !has(claims.org.nothing) && !('nothing' in claims)", true],
  ["claims.nothing == 'x'", undefined],
  ["claims.dept == 7", false],
  ["claims.dept > 7", undefined],
  ["claims.dept", undefined],
  ["claims.ok", true],
  ["claims.sub.startsWith('a') ? claims.level < 8 : false", true],
  ["int(claims.level) % 4 == 3 && double(1) == 1.0 && int('2') == 2", true],
  ["claims.org.roles[0] == 'x' && size(claims.org.roles) == 2", true],
  ["claims.org.roles[2] == 'x'", undefined],
  ["{'ann': true, 'bob': false}[claims.sub]", true],
  ["consumer.name == 'erp' && consumer.namespace == 'shop'", true, "key"],
  ["consumer.attributes.department == 'sales' && consumer.attributes['department'] != 'hr'", true, "key"],
  ["consumer.attributes.floor == '3'", undefined, "key"],
  ["consumer.name == 'erp'", undefined],
  ["claims.sub == 'ann'", undefined, "key"],
  [Array.from({ length: 90 }, (_, at) => `request.method == 'M${String(at)}'`).join(" || "), false],
  [`${"!(".repeat(30)}true${")".repeat(30)}`, true],
  ["1 + 2 * 3 - 4 / 2 == 5 && -1 < 0 && 7u > 6u", true],
  ["null == null && [1, 2] == [1, 2] && b'a' == b'a'", true],
];

const rule = (action: "Allow" | "Deny", when: string): Policies[string] => ({
  rules: { defaultAction: action === "Allow" ? "Deny" : "Allow", rules: [{ name: "r", action, when }] },
  authentication,
});
const policies: Policies = Object.fromEntries(
  EXPRESSIONS.flatMap(([text], at) => [
    [`/allow-${String(at)}`, rule("Allow", text)],
    [`/deny-${String(at)}`, rule("Deny", text)],
  ]),
);

let chain: Chain;
beforeAll(async () => {
  chain = await startPolicies(policies, world);
}, 60_000);
afterAll(() => chain.stop());

const bearer = (): string => `Bearer ${token({ alg: "ES256" }, claims, keys.p256.privateKey)}`;
const ask = async (path: string, by: "key" | undefined, headers = HEADERS): Promise<number> => {
  const credential = by === "key" ? ["x-api-key", "erp-key"] : ["authorization", bearer()];
  const list = [...headers, credential as [string, string]];
  return (await send({ address: "127.0.0.1", port: chain.port }, { path, host: "shop.test", headers: list })).status;
};

function attributesOf(by: "key" | undefined, path: string): Attributes {
  const headers = new Map<string, string>([["host", "shop.test"]]);
  for (const [name, value] of HEADERS) {
    if (name.startsWith("x-gatewarden-")) continue;
    headers.set(name, headers.has(name) ? `${headers.get(name) ?? ""},${value}` : value);
  }
  if (by === "key") headers.set("x-gatewarden-consumer", "shop/erp");
  return {
    request: {
      id: "1",
      method: "GET",
      scheme: "http",
      host: "shop.test",
      path,
      protocol: "HTTP/1.1",
      size: 0,
      headers,
    },
    nowMs: Date.now(),
    source: { address: "127.0.0.1:1", port: 1 },
    ...(by === "key" ? {} : { claims }),
  };
}

describe("an expression", () => {
  test.each(EXPRESSIONS.map(([text, value, by], at) => [text.slice(0, 80), value, at, text, by] as const))(
    "%s is %s",
    async (_, value, at, text, by) => {
      expect(await ask(`/allow-${String(at)}/x?q=1`, by)).toBe(value === true ? 200 : 403);
      // What fails denies.
      expect(await ask(`/deny-${String(at)}/x?q=1`, by)).toBe(value === false ? 200 : 403);
      const checked = checkExpression(text);
      if (!checked.ok) throw new Error(checked.message);
      const departments = new Map([["shop/erp", "sales"]]);
      const tree = envoyTree(checked.expr, "Allow", (name) => (name === "department" ? departments : new Map()));
      expect(evaluateTree(tree, attributesOf(by, `/allow-${String(at)}/x?q=1`))).toBe(value);
    },
  );
});

describe("a header that is sent twice", () => {
  const tests: readonly (readonly [
    action: "Allow" | "Deny",
    text: string,
    values: readonly string[],
    status: number,
  ])[] = [
    ["Deny", "request.headers['x-t'] == 'bad'", ["bad"], 403],
    ["Deny", "request.headers['x-t'] == 'bad'", ["good"], 200],
    ["Deny", "request.headers['x-t'] == 'bad'", ["good", "bad"], 403],
    ["Deny", "request.headers['x-t'] == 'bad'", ["bad", "good"], 403],
    ["Deny", "request.headers['x-t'] == 'bad'", ["good, bad"], 403],
    ["Deny", "request.headers['x-t'] == 'bad'", ["badly", "notbad"], 200],
    ["Deny", "'bad' == request.headers['x-t'] || request.method == 'PUT'", ["good", "bad"], 403],
    ["Deny", "request.headers['x-t'] in ['worse', 'b.d']", ["good", "b.d"], 403],
    ["Deny", "request.headers['x-t'] in ['worse', 'b.d']", ["good", "bad"], 200],
    ["Deny", "request.headers['x-t'].startsWith('ba')", ["good", "bad"], 403],
    ["Deny", "request.headers['x-t'].endsWith('ad')", ["bad", "good"], 403],
    ["Deny", `request.headers['x-t'] == '${"b".repeat(200)}'`, ["good", "b".repeat(200)], 403],
    ["Deny", "!(request.headers['x-t'] != 'bad')", ["good", "bad"], 403],
    ["Deny", "request.headers['x-t'] != 'good'", ["good", "bad"], 403],
    ["Deny", "true ? request.headers['x-t'] == 'bad' : false", ["good", "bad"], 403],
    ["Allow", "request.headers['x-t'] == 'good'", ["good"], 200],
    ["Allow", "request.headers['x-t'] == 'good'", ["good", "bad"], 403],
    ["Allow", "request.headers['x-t'] in ['good']", ["bad", "good"], 403],
    ["Allow", "request.headers['x-t'] != 'bad'", ["good"], 200],
    ["Allow", "request.headers['x-t'] != 'bad'", ["good", "bad"], 403],
    ["Allow", "!(request.headers['x-t'] == 'bad')", ["bad", "good"], 403],
    ["Allow", "!request.headers['x-t'].startsWith('ba')", ["good", "bad"], 403],
  ];
  let other: Chain;
  beforeAll(async () => {
    const each = tests.map(([action, text], at) => [`/t-${String(at)}`, rule(action, text)] as const);
    other = await startPolicies(Object.fromEntries(each), world);
  }, 60_000);
  afterAll(() => other.stop());

  test.each(tests.map((one, at) => [...one, at] as const))("%s when %s, %j: %i", async (_a, _t, values, status, at) => {
    const headers: [string, string][] = [
      ["x-api-key", "erp-key"],
      ...values.map((one): [string, string] => ["x-t", one]),
    ];
    const target = { address: "127.0.0.1", port: other.port };
    expect((await send(target, { path: `/t-${String(at)}`, host: "shop.test", headers })).status).toBe(status);
  });
});

test("patterns that pass our bound pass Envoy's", async () => {
  const parts = [
    "a",
    "abc",
    ".",
    "[a-z]",
    "[^/]",
    "\\w",
    "\\d",
    "\\s",
    "\\W",
    "(?:ab|cd)",
    "x*",
    "[^a-z0-9]+",
    ".*",
    "(a)",
    "\\.",
    "[\\w-]",
    "^",
    "$",
    "\\b",
  ];
  const patterns = [
    ...parts.flatMap((part) =>
      [1, 2, 3, 5, 8, 12, 16, 24, 32, 48, 64, 90].map((times) => part.replace(/[*+]$/, "").repeat(times)),
    ),
    ...parts.flatMap((a) => parts.map((b) => `(?i)^${a}${b}[kKs]{3}$`)),
    ...parts.flatMap((part) => [2, 5, 7, 20, 40].map((times) => `(?:${part}){${String(times)}}|k`)),
  ];
  const taken = patterns.filter((pattern) => checkExpression(`request.path.matches(${JSON.stringify(pattern)})`).ok);
  expect(taken.length).toBeGreaterThan(150);
  const all = translate(
    Object.fromEntries(
      taken.map((pattern, at) => [
        `/p-${String(at)}`,
        rule("Allow", `request.path.matches(${JSON.stringify(pattern)})`),
      ]),
    ),
    world,
  );
  await chain.setRoutes(all.routes);
});
