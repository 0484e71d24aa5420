/** The slice without an Envoy: what it reads, what it cannot do somewhere, how large its matcher may become, what it says to a request. */
import { describe, expect, test } from "@jest/globals";
import { modelOf } from "../../../test/authorization.ts";
import { atOf, lookupOf, routeOf, sourceOf } from "../../../test/section.ts";
import type { RouteContext } from "../../slice.ts";
import type { Evaluating } from "../../simulate/contract.ts";
import { evaluate } from "./evaluate.ts";
import type { Model } from "./model.ts";
import { schema } from "./schema.ts";
import { authorization } from "./slice.ts";
import { sizeOf } from "./translate.ts";

const source = sourceOf("authorization");
const rules = (...list: readonly object[]): object => ({
  rules: list.map((one, at) => ({ name: `r${String(at)}`, ...one })),
});
const problems = (spec: object, context: Partial<RouteContext>): readonly string[] =>
  (authorization.unsupported?.(modelOf(spec), routeOf(source, context)) ?? []).map(
    ({ path, reason }) => `${reason} ${path}`,
  );
const tokens = { consumers: "shop", issuers: [{ name: "corp", issuer: "https://corp.test" }] };

describe("what cannot be known closes", () => {
  test.each<[field: string, rule: object, context: Partial<RouteContext>]>([
    ["roles", { roles: ["a"] }, {}],
    ["consumers", { consumers: ["a"] }, {}],
    ["grant", { grant: "Required" }, {}],
    ["when", { when: "consumer.name == 'a'" }, {}],
    ["when", { when: "claims.a == 'a'" }, { callers: { consumers: "shop", issuers: [] } }],
    ["scopes", { scopes: ["a"] }, { callers: { consumers: "shop", issuers: [] } }],
    ["mfa", { mfa: { acr: ["a"] } }, {}],
    ["claims", { claims: [{ path: ["a"], values: ["b"] }] }, {}],
    ["claims[0].provider", { claims: [{ provider: "x", path: ["a"], values: ["b"] }] }, { callers: tokens }],
    [
      "claims[0].provider",
      { claims: [{ path: ["a"], values: ["b"] }] },
      { callers: { ...tokens, issuers: [...tokens.issuers, { name: "b", issuer: "https://b.test" }] } },
    ],
    ["roles", { roles: ["a"] }, { callers: { ...tokens, consumers: "other" } }],
    ["identities", { identities: [{ type: "Exact", san: "DNS", value: "a" }] }, { callers: tokens }],
  ])("%s of %j", (field, rule, context) => {
    expect(problems(rules({ action: "Allow", ...rule }), context)).toEqual([
      `UnsupportedForTarget spec.authorization.rules[0].${field}`,
    ]);
  });

  test("what can be does not", () => {
    const all = {
      ...{ action: "Allow", roles: ["a"], consumers: ["a"], grant: "Required", scopes: ["a"], mfa: { acr: ["a"] } },
      ...{ claims: [{ provider: "corp", path: ["a"], values: ["b"] }], when: "claims.a == 'a'" },
      identities: [{ type: "Exact", san: "DNS", value: "a" }],
    };
    expect(problems(rules(all), { callers: tokens, clientCertificates: "Optional" })).toEqual([]);
    const plain = {
      action: "Deny",
      methods: ["GET"],
      paths: ["/a"],
      sources: ["10.0.0.0/8"],
      when: "request.host == 'a'",
    };
    expect(problems(rules(plain), {})).toEqual([]);
  });
});

describe("what is read", () => {
  const resolve = (spec: object, world: Parameters<typeof lookupOf>[0]) =>
    authorization.resolve(schema().parse(spec), atOf(source), lookupOf(world));

  test("a suspended consumer has no right and every ban", () => {
    const consumers = [
      { name: "a", roles: ["x"] },
      { name: "b", roles: ["x"], suspended: true },
    ];
    const asks = { roles: ["x"], consumers: ["a", "b"] };
    const resolved = resolve(rules({ action: "Allow", ...asks, grant: "Required" }, { action: "Deny", ...asks }), {
      consumers,
      grants: { "shop/orders/r0": ["a", "b"] },
    });
    if (!resolved.ok) throw new Error(resolved.problems[0].message);
    const [set] = resolved.model.sets;
    expect(set?.rules).toMatchObject([
      { roles: { consumers: ["shop/a"] }, consumers: ["shop/a"], granted: ["shop/a"] },
      { roles: { consumers: ["shop/a", "shop/b"] }, consumers: ["shop/a", "shop/b"] },
    ]);
  });

  test("an attribute that too many consumers have is a problem", () => {
    const consumers = Array.from({ length: 257 }, (_, at) => ({ name: `c${String(at)}`, attributes: { team: "a" } }));
    const spec = rules({ action: "Allow", when: "consumer.attributes.team == 'a'" });
    expect(resolve(spec, { consumers })).toMatchObject({
      ok: false,
      problems: [{ path: "spec.authorization.rules[0].when" }],
    });
    expect(resolve(spec, { consumers: consumers.slice(1) })).toMatchObject({ ok: true });
  });
});

describe("several sets", () => {
  const alternating = (count: number): Model =>
    modelOf(
      rules(
        ...Array.from({ length: count }, (_, at) => ({
          action: at % 2 === 0 ? "Allow" : "Deny",
          paths: [`/p${String(at)}`],
        })),
      ),
    );
  const sided = modelOf(
    rules(...Array.from({ length: 64 }, (_, at) => ({ action: "Allow", paths: [`/p${String(at)}`] }))),
  );

  test("are put one behind the other, floors first", () => {
    const floor = modelOf(rules({ action: "Deny", methods: ["DELETE"] }), {}, "floor");
    const near = modelOf(rules({ action: "Allow" }));
    expect(authorization.tighten?.(floor, near)).toEqual({ model: { sets: [...floor.sets, ...near.sets] } });
  });

  test("grow with what they hold, and are bounded where they would not", () => {
    const twice = (model: Model): Model => ({ sets: [...model.sets, ...model.sets] });
    expect(sizeOf(sided)).toBe(64);
    expect(sizeOf(twice(sided))).toBe(128);
    expect(sizeOf(twice(alternating(64)))).toBeLessThan(1_500);
    const many: Model = { sets: Array.from({ length: 16 }, () => alternating(64).sets).flat() };
    expect(authorization.unsupported?.(many, routeOf(source))).toMatchObject([{ reason: "UnsupportedForTarget" }]);
  });
});

describe("a request", () => {
  const asked = (method: string, path: string): Evaluating => ({
    call: {
      ...{
        method,
        path,
        host: "shop.test",
        scheme: "http",
        address: "10.1.2.3",
        certificate: undefined,
        as: undefined,
      },
      headers: { all: () => [], joined: () => undefined, names: () => [] },
      nowMs: Date.parse("2026-12-01T02:30:00Z"),
    },
    caller: {},
    route: routeOf(source),
    consumers: () => [],
    keyHolder: () => undefined,
  });
  const model = modelOf(
    rules(
      { action: "Deny", paths: ["/closed/**"] },
      {
        action: "Allow",
        methods: ["GET"],
        sources: ["10.0.0.0/8"],
        when: "request.time.getHours('Asia/Shanghai') in [9,10,11]",
      },
    ),
  );
  test.each([
    ["GET", "/closed", { result: "Deny", code: "GW-AUTHZ-002", rule: "r0", policy: "shop/orders#authorization" }],
    ["GET", "/open?a=/closed", { result: "Pass", policy: "shop/orders#authorization" }],
    ["POST", "/open", { result: "Deny", code: "GW-AUTHZ-001", status: 403 }],
  ])("%s %s", (method, path, expected) => {
    expect(evaluate.authorization?.(model, asked(method, path))).toMatchObject(expected);
  });

  test("that no rule allows hears which came nearest, and why it does not fit", () => {
    const near = modelOf(
      rules(
        { action: "Deny", paths: ["/elsewhere"] },
        { action: "Allow", methods: ["PUT"], paths: ["/open"], roles: ["user"] },
        { action: "Allow", methods: ["POST"], grant: "Required" },
      ),
    );
    const reason = (method: string): string | undefined =>
      evaluate.authorization?.(near, asked(method, "/open"))?.reason;
    expect(reason("POST")).toBe("no rule allows this call; nearest is rule r2, which fails on grant");
    expect(reason("GET")).toBe("no rule allows this call; nearest is rule r1, which fails on methods, roles");
    expect(reason("PUT")).toBe("no rule allows this call; nearest is rule r1, which fails on roles");
    const none = modelOf(rules({ action: "Deny", paths: ["/elsewhere"] }));
    expect(evaluate.authorization?.(none, asked("GET", "/open"))?.reason).toBe("no rule allows this call");
  });
});
