/** What policies read about the floors that they meet: whole, in part, at some listeners only, and after the floor is gone. */
import { expect, test } from "@jest/globals";
import { backend, gatewayClass, gone, OPTIONS, policy, put, route, service } from "../../test/objects.ts";
import { createEngine } from "../engine.ts";
import type { AncestorStatus, Change, Engine, Output } from "../world.ts";

const NOW_MS = Date.parse("2026-12-01T00:00:00Z");
const EDGE = { kind: "Gateway", name: "edge" };
const ORDERS = { kind: "HTTPRoute", name: "orders" };
const OPEN = { authentication: { mode: "Public", reason: "x" } };
const FORBID = { precedence: "Override", authentication: { forbid: ["Public"] } };

/** Two listeners; `inner` takes routes of the Gateway's namespace only. */
function started(): Engine {
  const listeners = [
    { name: "outer", port: 80, protocol: "HTTP", allowedRoutes: { namespaces: { from: "All" } } },
    { name: "inner", port: 81, protocol: "HTTP" },
  ];
  const engine = createEngine(OPTIONS);
  engine.apply(
    [
      gatewayClass,
      put("Gateway", "edge", { spec: { gatewayClassName: "gatewarden", listeners } }, { namespace: "infra" }),
      ...service("app", { address: "10.0.0.1", port: 8080 }),
      route("orders", {
        parentRefs: [{ name: "edge", namespace: "infra" }],
        hostnames: ["orders.test"],
        rules: [{ name: "all", backendRefs: [backend("app")] }],
      }),
    ],
    NOW_MS,
  );
  return engine;
}

/** What the newest status says of Programmed, or the reason of a False Accepted. */
function said({ statuses }: Output, name: string): string {
  const status = statuses.find(({ key }) => key.name === name)?.status;
  const [ancestor] = status?.kind === "ApiPolicy" ? status.ancestors : ([] as readonly AncestorStatus[]);
  if (ancestor === undefined) throw new Error(`no new status of ${name}`);
  const refused = ancestor.conditions.find(({ type, status: value }) => type === "Accepted" && value === "False");
  const { reason, message } = ancestor.programmed ?? {};
  return refused?.reason ?? (reason === undefined ? "Programmed" : `${reason}: ${String(message)}`);
}

const floor = (target: object, spec: object = FORBID, namespace = "infra"): Change =>
  policy("floor", [target as never], spec as never, { namespace });
const ask = (engine: Engine, ...changes: readonly Change[]): Output => engine.apply(changes, NOW_MS);

test("a policy that loses everything is Overridden, until the floor is gone", () => {
  const engine = started();
  expect(said(ask(engine, policy("open", [ORDERS], OPEN)), "open")).toBe("Programmed");
  expect(said(ask(engine, floor(EDGE)), "open")).toBe(
    "Overridden: authentication of HTTPRoute/orders: the Override infra/floor holds: it forbids mode Public",
  );
  expect(said(ask(engine, gone(floor(EDGE))), "open")).toBe("Programmed");
});

test("one that keeps a section is PartiallyProgrammed", () => {
  const more = { ...OPEN, denylist: { entries: [{ cidr: "10.0.0.0/8" }] } };
  expect(said(ask(started(), floor(EDGE), policy("open", [ORDERS], more)), "open")).toMatch(/^PartiallyProgrammed: /);
});

test("a floor of the same target counts, and one of a nearer target does not", () => {
  const engine = started();
  const own = policy("own", [EDGE], OPEN, { namespace: "infra" });
  const label = put("Namespace", "shop", { metadata: { labels: { "gatewarden.io/overrides": "allowed" } } });
  const nearer = policy("route-floor", [ORDERS], FORBID);
  const output = ask(engine, floor(EDGE), own, label, nearer, policy("open", [ORDERS], OPEN));
  expect(said(output, "own")).toMatch(/^Overridden: authentication of Gateway\/edge: the Override infra\/floor/);
  expect(said(output, "open")).toMatch(/infra\/floor holds.*shop\/route-floor holds/);
  // Of the Namespace's policy only what is farther is asked.
  expect(said(ask(engine, gone(floor(EDGE)), policy("house", [{ kind: "Namespace" }], OPEN)), "house")).toBe(
    "Programmed",
  );
});

test("of a listener's floor a policy hears only where its routes are reached through the listener", () => {
  const engine = started();
  const inner = { ...EDGE, sectionName: "inner" };
  const outer = { ...EDGE, sectionName: "outer" };
  const house = policy("house", [{ kind: "Namespace" }], OPEN);
  expect(said(ask(engine, floor(inner), house), "house")).toBe("Programmed");
  expect(said(ask(engine, floor(outer)), "house")).toMatch(/^Overridden/);
  const both = policy("both", [EDGE], OPEN, { namespace: "infra" });
  // A Gateway's Default is farther than its listener's floor: that replaces it there, and overrides nothing.
  expect(said(ask(engine, both), "both")).toBe("Programmed");
});

test("an Override needs the Namespace's label, which is followed", () => {
  const engine = started();
  const labelled = (labels: Readonly<Record<string, string>>): Change =>
    put("Namespace", "shop", { metadata: { labels } });
  const own = floor(ORDERS, { precedence: "Override", denylist: { entries: [{ cidr: "10.0.0.0/8" }] } }, "shop");
  expect(said(ask(engine, labelled({}), own), "floor")).toBe("OverrideNotPermitted");
  expect(said(ask(engine, labelled({ "gatewarden.io/overrides": "allowed" })), "floor")).toBe("Programmed");
  expect(said(ask(engine, labelled({ "gatewarden.io/overrides": "yes" })), "floor")).toBe("OverrideNotPermitted");
});

test("in Audit mode a floor is one for what is audited, and no more", () => {
  const engine = started();
  const audited = { mode: "Audit", rateLimit: { limits: [{ name: "each", requests: 100, per: "1m" }] } };
  const allowance = {
    ...audited,
    precedence: "Override",
    rateLimit: { limits: [{ name: "each", requests: 1, per: "1m" }] },
  };
  const enforced = { ...audited, mode: "Enforce" };
  const output = ask(engine, floor(EDGE, allowance), policy("a", [ORDERS], audited), policy("e", [ORDERS], enforced));
  expect(said(output, "a")).toMatch(/^Overridden/);
  expect(said(output, "e")).toBe("Programmed");
});
