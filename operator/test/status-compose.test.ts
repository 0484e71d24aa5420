import { describe, expect, test } from "@jest/globals";
import type { AncestorStatus, Condition, ObjectStatus } from "@gatewarden/core/world.ts";
import { composeStatus, type ComposeContext } from "../src/status/compose.ts";
import { canonicalJson, ownPart } from "../src/status/own-part.ts";
import type { Standing } from "../src/status/programmed.ts";

const OURS = "gatewarden.io/gateway-controller";
const NOW = "2026-11-24T12:00:00Z";
const EARLIER = "2026-11-01T00:00:00Z";
const programmed: Standing = { state: "programmed", proxies: 2 };

const context = (standing: Standing = programmed): ComposeContext => ({
  controllerName: OURS,
  gatewayClass: "gatewarden",
  now: NOW,
  self: "shop/web",
  standing: () => standing,
});

const condition = (type: string, status: Condition["status"] = "True", reason = type, message = ""): Condition => ({
  type,
  status,
  reason,
  message,
  observedGeneration: 3,
});

const ancestor = (name: string, rest: Partial<AncestorStatus> = {}): AncestorStatus => ({
  ancestorRef: { group: "gateway.networking.k8s.io", kind: "Gateway", namespace: "shop", name },
  gateway: `shop/${name}`,
  conditions: [condition("Accepted"), condition("ResolvedRefs")],
  ...rest,
});

const policy = (...ancestors: readonly AncestorStatus[]): ObjectStatus => ({
  kind: "ApiPolicy",
  generation: 3,
  target: "HTTPRoute orders",
  ancestors,
});

interface Written {
  readonly observedGeneration: number;
  readonly conditions: readonly (Condition & { readonly lastTransitionTime: string })[];
  readonly ancestors: readonly {
    readonly controllerName: string;
    readonly ancestorRef: { readonly kind: string; readonly name: string };
    readonly conditions: readonly (Condition & { readonly lastTransitionTime: string })[];
  }[];
}

const compose = (current: unknown, wanted: ObjectStatus | undefined, standing?: Standing): Written =>
  composeStatus(current, wanted, context(standing)) as unknown as Written;
const ready = (status: Written): string => {
  const found = status.conditions.find(({ type }) => type === "Ready");
  return `${found?.status ?? ""} ${found?.reason ?? ""}`;
};

describe("the status of a policy", () => {
  test.each<[string, Standing, string, string]>([
    ["acknowledged by all", programmed, "True Programmed", "True Programmed"],
    ["lacking at one proxy", { state: "reconciling", done: 2, proxies: 3 }, "False Reconciling", "False Reconciling"],
    ["without proxies", { state: "noProxies", turnedAway: undefined }, "False NoProxies", "Unknown NoProxies"],
    ["refused", { state: "rejected", message: "bad regex" }, "False RejectedByProxy", "False RejectedByProxy"],
  ])("%s", (_what, standing, expectedProgrammed, expectedReady) => {
    const status = compose(undefined, policy(ancestor("web")), standing);
    const found = status.ancestors[0]?.conditions.find(({ type }) => type === "Programmed");
    expect(`${found?.status ?? ""} ${found?.reason ?? ""}`).toBe(expectedProgrammed);
    expect(found?.observedGeneration).toBe(3);
    expect(ready(status)).toBe(expectedReady);
  });

  test("says the count only while proxies lack it", () => {
    const waiting = compose(undefined, policy(ancestor("web")), { state: "reconciling", done: 2, proxies: 3 });
    expect(waiting.ancestors[0]?.conditions.at(-1)?.message).toBe("2/3 proxies");
    expect(canonicalJson(compose(undefined, policy(ancestor("web")), { state: "programmed", proxies: 9 }))).toBe(
      canonicalJson(compose(undefined, policy(ancestor("web")), programmed)),
    );
  });

  test("says what each proxy lets pass alone, in words that the number of proxies does not change", () => {
    const perProxy = [
      { name: "each-app", requests: 100, per: "1m" },
      { name: "all", requests: 5, per: "1s" },
    ];
    const messageFor = (standing: Standing, rest: Partial<AncestorStatus> = {}): string => {
      const status = compose(undefined, policy(ancestor("web", { perProxy, ...rest })), standing);
      return status.ancestors[0]?.conditions.find(({ type }) => type === "Programmed")?.message ?? "";
    };
    const message = messageFor({ state: "programmed", proxies: 3 });
    expect(message).toBe(
      "every connected proxy has acknowledged it; each-app: 100/1m on each proxy; all: 5/1s on each proxy",
    );
    expect(messageFor({ state: "programmed", proxies: 1 })).toBe(message);
    expect(messageFor({ state: "reconciling", done: 2, proxies: 3 })).toBe("2/3 proxies");
    expect(messageFor({ state: "noProxies", turnedAway: undefined })).not.toContain("each proxy");
    const partly = { status: "True", reason: "PartiallyProgrammed", message: "denylist: shop/older" } as const;
    expect(messageFor({ state: "programmed", proxies: 2 }, { programmed: partly })).toMatch(
      /^denylist: shop\/older; each-app: 100\/1m on each proxy;/,
    );
  });

  test("has no Programmed where it is not accepted", () => {
    const status = compose(
      undefined,
      policy(ancestor("web", { conditions: [condition("Accepted", "False", "Invalid")] })),
    );
    expect(status.ancestors[0]?.conditions.map(({ type }) => type)).toEqual(["Accepted"]);
    expect(ready(status)).toBe("False Invalid");
  });

  test("of targets that nobody serves is not attached", () => {
    expect(ready(compose(undefined, policy()))).toBe("False NotAttached");
  });

  test("takes over what the core knows about Programmed", () => {
    const partly = { status: "True", reason: "PartiallyProgrammed", message: "rateLimit: shop/older wins" } as const;
    expect(ready(compose(undefined, policy(ancestor("web", { programmed: partly }))))).toBe("True PartiallyProgrammed");
    const waiting = compose(undefined, policy(ancestor("web", { programmed: partly })), {
      state: "noProxies",
      turnedAway: undefined,
    });
    expect(ready(waiting)).toBe("Unknown NoProxies");
    const overridden = { status: "False", reason: "Overridden", message: "by shop/floor" } as const;
    expect(ready(compose(undefined, policy(ancestor("web", { programmed: overridden }))))).toBe("False Overridden");
  });

  test("keeps times of conditions whose status stays, and other controllers' entries", () => {
    const first = compose(undefined, policy(ancestor("web")));
    const foreign = { controllerName: "other.io/c", ancestorRef: { name: "x" }, conditions: [] };
    const aged = JSON.parse(
      JSON.stringify({ ...first, ancestors: [foreign, ...first.ancestors] }).replaceAll(NOW, EARLIER),
    ) as Written;
    const next = compose(aged, policy(ancestor("web")), { state: "noProxies", turnedAway: undefined });
    expect(next.ancestors[0]).toEqual(foreign);
    const times = Object.fromEntries(
      next.ancestors[1]?.conditions.map((entry) => [entry.type, entry.lastTransitionTime]) ?? [],
    );
    expect(times).toEqual({ Accepted: EARLIER, ResolvedRefs: EARLIER, Programmed: NOW });
  });

  test("shows at most fifteen ancestors, worst first, and sums up the others", () => {
    const many = Array.from({ length: 40 }, (_, index) => ancestor(`g${index}`));
    const bad = ancestor("bad", {
      conditions: [condition("Accepted", "False", "UnsupportedForTarget", "x".repeat(30_000))],
    });
    const status = compose(undefined, policy(...many, bad));
    expect(status.ancestors).toHaveLength(16);
    expect(status.ancestors[0]?.ancestorRef.name).toBe("bad");
    expect(status.ancestors[15]?.ancestorRef).toEqual({
      group: "gateway.networking.k8s.io",
      kind: "GatewayClass",
      name: "gatewarden",
    });
    expect(status.ancestors[15]?.conditions[0]).toMatchObject({
      type: "Aggregated",
      message: "26 more: 26 accepted, 26 programmed",
    });
    expect(ready(status)).toBe("False UnsupportedForTarget");
    expect(JSON.stringify(status).length).toBeLessThan(32_768);
  });

  test("leaves sixteen entries in all where others fill the list", () => {
    const foreign = Array.from({ length: 10 }, (_, index) => ({
      controllerName: "other.io/c",
      ancestorRef: { name: `o${index}` },
      conditions: [],
    }));
    const many = Array.from({ length: 9 }, (_, index) => ancestor(`g${index}`));
    const status = compose({ ancestors: foreign }, policy(...many));
    expect(status.ancestors).toHaveLength(16);
    expect(status.ancestors.slice(0, 10)).toEqual(foreign);
    expect(status.ancestors[15]?.conditions[0]?.message).toBe("4 more: 4 accepted, 4 programmed");
  });
});

describe("the status of other kinds", () => {
  test("a route keeps other controllers' parents, and ours go when it is no longer ours", () => {
    const foreign = { controllerName: "other.io/c", parentRef: { name: "x" }, conditions: [] };
    const wanted: ObjectStatus = {
      kind: "HTTPRoute",
      generation: 3,
      parents: [{ parentRef: { name: "web" }, conditions: [condition("Accepted")] }],
    };
    const status = composeStatus({ parents: [foreign] }, wanted, context()) as { readonly parents: readonly unknown[] };
    expect(status.parents).toHaveLength(2);
    expect(composeStatus(status, undefined, context())).toEqual({ parents: [foreign] });
  });

  test("a route's parent keeps its times although the server filled in group and kind", () => {
    const parentRef = { name: "web" };
    const stored = { group: "gateway.networking.k8s.io", kind: "Gateway", name: "web" };
    const wanted: ObjectStatus = {
      kind: "HTTPRoute",
      generation: 3,
      parents: [{ parentRef, conditions: [condition("Accepted")] }],
    };
    const current = {
      parents: [
        {
          controllerName: OURS,
          parentRef: stored,
          conditions: [{ ...condition("Accepted"), lastTransitionTime: EARLIER }],
        },
      ],
    };
    const status = composeStatus(current, wanted, context());
    expect(status).toMatchObject({ parents: [{ conditions: [{ lastTransitionTime: EARLIER }] }] });
    expect(canonicalJson(ownPart("HTTPRoute", status, OURS))).toBe(canonicalJson(ownPart("HTTPRoute", current, OURS)));
  });

  test("a Gateway says how many proxies it has, and why there is none", () => {
    const wanted: ObjectStatus = {
      kind: "Gateway",
      generation: 3,
      conditions: [condition("Accepted")],
      addresses: [],
      listeners: [{ name: "http", supportedKinds: [], attachedRoutes: 1, conditions: [condition("Programmed")] }],
    };
    const of = (standing: Standing): unknown => composeStatus(undefined, wanted, context(standing));
    expect(of(programmed)).toMatchObject({
      conditions: [
        { type: "Accepted" },
        { type: "Programmed", status: "True", message: "2 proxies have acknowledged everything" },
      ],
      listeners: [{ conditions: [{ type: "Programmed", status: "True" }] }],
    });
    expect(of({ state: "noProxies", turnedAway: "Envoy 1.36.0 is too old" })).toMatchObject({
      conditions: [{ type: "Accepted" }, { type: "Programmed", status: "False", reason: "ProxyVulnerable" }],
      listeners: [{ conditions: [{ type: "Programmed", status: "False", reason: "ProxyVulnerable" }] }],
    });
  });

  test("a consumer is programmed where every gateway that knows it says so", () => {
    const wanted = (...gateways: readonly string[]): ObjectStatus => ({
      kind: "ApiConsumer",
      generation: 3,
      conditions: [condition("Accepted"), condition("ResolvedRefs")],
      credentials: [],
      gateways,
    });
    expect(ready(compose(undefined, wanted("shop/web")))).toBe("True Programmed");
    expect(ready(compose(undefined, wanted()))).toBe("False NotAttached");
    expect(compose(undefined, wanted())).not.toHaveProperty("credentials");
  });
});

describe("the status of a grant", () => {
  const grant = (
    active: Condition,
    rest: Partial<Extract<ObjectStatus, { kind: "ApiGrant" }>> = {},
  ): Extract<ObjectStatus, { kind: "ApiGrant" }> => ({
    kind: "ApiGrant",
    generation: 3,
    conditions: [condition("Accepted"), condition("ResolvedRefs"), active],
    ended: false,
    gateways: ["shop/web"],
    ...rest,
  });
  const expired = condition("Active", "False", "Expired", "ended at 2026-11-01T00:00:00Z");
  const over = { conditions: [condition("Accepted"), expired], ended: true };
  const reconciling: Standing = { state: "reconciling", done: 1, proxies: 2 };

  test.each<[string, ObjectStatus, Standing, string]>([
    ["live", grant(condition("Active")), programmed, "True Programmed"],
    ["live, and not known to all proxies", grant(condition("Active")), reconciling, "False Reconciling"],
    ["for later", grant(condition("Active", "False", "NotYetActive")), programmed, "True Programmed"],
    ["asked for by nobody", grant(condition("Active"), { gateways: [] }), programmed, "False NotAttached"],
    ["expired", grant(expired, over), programmed, "True Expired"],
    ["expired, and not known to all proxies", grant(expired, over), reconciling, "False Reconciling"],
    ["expired, and asked for by nobody", grant(expired, { ...over, gateways: [] }), programmed, "True Expired"],
    [
      "to what is not there",
      grant(condition("Active", "False", "RefNotFound"), {
        conditions: [condition("Accepted"), condition("ResolvedRefs", "False", "RefNotFound")],
      }),
      programmed,
      "False RefNotFound",
    ],
    [
      "unreadable",
      grant(expired, { conditions: [condition("Accepted", "False", "Invalid")], gateways: [] }),
      programmed,
      "False Invalid",
    ],
  ])("%s", (_, wanted, standing, expected) => {
    expect(ready(compose(undefined, wanted, standing))).toBe(expected);
  });

  test("says how long it holds", () => {
    expect(compose(undefined, grant(condition("Active"), { timeLeft: "3d" }))).toMatchObject({ timeLeft: "3d" });
    expect(compose({ timeLeft: "3d" }, grant(expired, over))).not.toHaveProperty("timeLeft");
  });
});

describe("the status of a GatewayClass", () => {
  test("lists the supported features, and counts a difference in them as one to write", () => {
    const supportedFeatures = [{ name: "Gateway" }, { name: "HTTPRoute" }];
    const wanted: ObjectStatus = {
      kind: "GatewayClass",
      generation: 1,
      conditions: [condition("Accepted")],
      supportedFeatures,
    };
    const status = composeStatus({}, wanted, context());
    expect(status["supportedFeatures"]).toEqual(supportedFeatures);
    const part = (of: object): string => canonicalJson(ownPart("GatewayClass", of, OURS));
    expect(part({ ...status, supportedFeatures: [] })).not.toBe(part(status));
  });
});
