import { describe, expect, it } from "@jest/globals";
import type { KubeObject } from "../world.ts";
import { parseApiPolicy } from "./api-policy.ts";

const target = { group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "orders" };
const orders = { group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "orders", sectionName: undefined };
const limits = [{ name: "all", requests: 100, per: "1m" }];

const policy = (spec: unknown): KubeObject => ({
  metadata: { name: "orders", namespace: "shop", uid: "u1", generation: 3, creationTimestamp: "2026-01-01T00:00:00Z" },
  spec,
});

describe("parseApiPolicy", () => {
  it("reads a policy and fills in what its own fields leave out", () => {
    expect(parseApiPolicy(policy({ targetRefs: [target], rateLimit: { limits } }))).toEqual({
      key: { kind: "ApiPolicy", namespace: "shop", name: "orders" },
      uid: "u1",
      generation: 3,
      creationTimestamp: "2026-01-01T00:00:00Z",
      targetRefs: [orders],
      mode: "Enforce",
      failurePolicy: "Closed",
      precedence: "Default",
      sections: { rateLimit: { limits } },
      broken: [],
      problems: [],
    });
  });

  it("keeps the words that were written", () => {
    const spec = {
      targetRefs: [target],
      mode: "Audit",
      failurePolicy: "Open",
      precedence: "Override",
      rateLimit: { limits },
    };
    expect(parseApiPolicy(policy(spec))).toMatchObject({
      mode: "Audit",
      failurePolicy: "Open",
      precedence: "Override",
    });
  });

  it("breaks only the section that has a problem", () => {
    const spec = { targetRefs: [target], rateLimit: { limits }, allowlist: { entries: [{ cidr: "10.0.0.1" }] } };
    const parsed = parseApiPolicy(policy(spec));
    expect(parsed.sections).toEqual({ rateLimit: { limits } });
    expect(parsed.broken).toEqual(["allowlist"]);
    expect(parsed.problems).toMatchObject([{ section: "allowlist", path: "spec.allowlist.entries[0].cidr" }]);
  });

  it.each([
    ["a section", { authentcation: {} }, "unknown field spec.authentcation"],
    ["a section of a later version", { cors: { origins: ["https://a.test"] } }, "unknown field spec.cors"],
    ["a field of a section", { rateLimit: { limits, header: true } }, "unknown field spec.rateLimit.header"],
    [
      "a field of an entry",
      { denylist: { entries: [{ cidr: "10.0.0.0/8", until: "x" }] } },
      "unknown field spec.denylist.entries[0].until",
    ],
    ["a name with dots and spaces", { "a.b c": 1 }, 'unknown field spec["a.b c"]'],
    ["a prototype", JSON.parse('{"__proto__": {"mode": "Audit"}}') as object, "unknown field spec.__proto__"],
    [
      "a prototype in a section",
      { rateLimit: JSON.parse('{"limits": [], "__proto__": 1}') as object },
      "unknown field spec.rateLimit.__proto__",
    ],
    [
      "a prototype in a selector",
      JSON.parse(
        '{"authentication": {"basic": {"consumerSelector": {"matchLabels": {"a": "b", "__proto__": "c"}}}}}',
      ) as object,
      "unknown field spec.authentication.basic.consumerSelector.matchLabels.__proto__",
    ],
    ["a constructor", { constructor: 1 }, "unknown field spec.constructor"],
  ])("reports %s that it does not know", (_, extra, message) => {
    const parsed = parseApiPolicy(policy({ targetRefs: [target], ...extra }));
    expect(parsed.problems.map((problem) => problem.message)).toContain(message);
    expect(parsed.targetRefs).toEqual([orders]);
  });

  it.each([
    ["mode", "audit", { mode: "Enforce" }],
    ["failurePolicy", "open", { failurePolicy: "Closed" }],
    ["precedence", 1, { precedence: "Default" }],
  ])("takes the stricter word where %s cannot be read", (field, value, expected) => {
    const parsed = parseApiPolicy(policy({ targetRefs: [target], rateLimit: { limits }, [field]: value }));
    expect(parsed).toMatchObject({ ...expected, problems: [{ path: `spec.${field}` }] });
  });

  describe("targets", () => {
    const parse = (targetRefs: unknown) => parseApiPolicy(policy({ targetRefs, rateLimit: { limits } }));

    it("fills in group and a Namespace's name", () => {
      expect(parse([{ kind: "Gateway", name: "edge", sectionName: "web" }, { kind: "Namespace" }])).toMatchObject({
        targetRefs: [
          { group: "gateway.networking.k8s.io", kind: "Gateway", name: "edge", sectionName: "web" },
          { group: "", kind: "Namespace", name: "shop" },
        ],
        problems: [],
      });
    });

    it("closes what can be made out of a list with problems", () => {
      const parsed = parse([{ ...target, sectionNme: "read" }, { kind: "Pod", name: "x" }, "orders"]);
      expect(parsed.targetRefs).toEqual([orders]);
      expect(parsed.problems.map(({ path }) => path)).toEqual([
        "spec.targetRefs[0].sectionNme",
        "spec.targetRefs[1].kind",
        "spec.targetRefs[2]",
      ]);
    });

    it.each([
      ["another namespace", [{ kind: "Namespace", name: "other" }], "spec.targetRefs[0].name", /another namespace/],
      ["no name", [{ kind: "HTTPRoute" }], "spec.targetRefs[0]", /names nothing/],
      ["a part of a Namespace", [{ kind: "Namespace", sectionName: "a" }], "spec.targetRefs[0]", /part of a Namespace/],
      ["a group of another kind", [{ ...target, group: "" }], "spec.targetRefs[0]", /group/],
      ["a target twice", [target, target], "spec.targetRefs", /twice/],
      ["nothing", [], "spec.targetRefs", /too small/],
      ["no list", undefined, "spec.targetRefs", /missing/],
      [
        "17 targets",
        Array.from({ length: 17 }, (_, n) => ({ ...target, name: `r${n}` })),
        "spec.targetRefs",
        /too big/,
      ],
    ])("refuses %s", (_, targetRefs, path, message) => {
      expect(parse(targetRefs).problems).toMatchObject([{ path, message: expect.stringMatching(message) as unknown }]);
    });
  });

  it.each([undefined, null, 1, "spec", [], {}, [{}], { targetRefs: [target] }])(
    "says that the spec %j holds nothing",
    (spec) => {
      expect(parseApiPolicy(policy(spec)).problems).toMatchObject([{ path: "spec" }]);
    },
  );

  it.each([[], {}, { metadata: null }, { metadata: { name: 1, labels: 2, generation: "x" }, spec: [[]] }])(
    "does not throw for %j",
    (object) => {
      expect(parseApiPolicy(object as unknown as KubeObject).problems.length).toBeGreaterThan(0);
    },
  );

  it("keeps the report of a huge and hostile object short", () => {
    const hostile = Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`${"x".repeat(200)}\u0000${n}`, n]));
    const parsed = parseApiPolicy(policy({ ...hostile, targetRefs: [target], rateLimit: hostile }));
    expect(JSON.stringify(parsed.problems).length).toBeLessThan(32_768);
    expect(JSON.stringify(parsed.problems)).not.toContain("\u0000");
    expect(parsed.broken).toEqual(["rateLimit"]);
  });

  it("never repeats a value", () => {
    const spec = { targetRefs: [target], authentication: { apiKey: { from: { headers: ["hunter2 secret"] } } } };
    expect(JSON.stringify(parseApiPolicy(policy(spec)).problems)).not.toContain("hunter2");
  });
});
