/** Grants in the engine: who has a right now, what its beginning and its end change, and what the status says. */
import { beforeEach, describe, expect, test } from "@jest/globals";
import { backend, gateway, gatewayClass, gone, OPTIONS, policy, put, route, service } from "../../test/objects.ts";
import { createEngine } from "../engine.ts";
import type { Change, Engine, ObjectStatus, Output } from "../world.ts";

const NOW = Date.parse("2026-12-01T00:00:00Z");
const HOUR_MS = 3_600_000;
const at = (hours: number): string => new Date(NOW + hours * HOUR_MS).toISOString().replace(".000Z", "Z");

const consumer = (name: string, spec: object = {}): Change =>
  put("ApiConsumer", name, { spec: { apiKeys: [{ name: "k1", secretRef: { name, key: "key" } }], ...spec } });
const authorization = {
  rules: [
    { name: "export", action: "Allow", paths: ["/export"], grant: "Required" },
    { name: "read", action: "Allow", methods: ["GET"] },
  ],
};
const orders = (section: object = authorization): Change =>
  policy("orders", [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "orders" }], {
    authentication: { apiKey: {} },
    authorization: section,
  });
const grant = (spec: object = {}, name = "erp-export", generation = 1): Change =>
  put(
    "ApiGrant",
    name,
    { spec: { consumer: { name: "erp" }, policy: { name: "orders", rules: ["export"] }, expiresAt: at(10), ...spec } },
    { generation },
  );

let engine: Engine;
beforeEach(() => {
  engine = createEngine({ ...OPTIONS, requirePolicy: true });
  engine.apply(
    [
      gatewayClass,
      gateway("edge", [{ name: "http", port: 80, protocol: "HTTP" }]),
      ...service("echo", { address: "192.0.2.1", port: 8080 }),
      ...["orders", "items"].map((name) =>
        route(name, { hostnames: [`${name}.test`], rules: [{ backendRefs: [backend("echo")] }] }),
      ),
      policy("items", [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "items" }], {
        authentication: { apiKey: {} },
        authorization: { rules: [{ name: "read", action: "Allow" }] },
      }),
      orders(),
      consumer("erp"),
      put("Secret", "erp", { data: { key: Buffer.from("erp-key").toString("base64") } }),
    ],
    NOW,
  );
});

const changed = ({ resources }: Output): readonly string[] =>
  resources.map(({ type, name }) => `${type} ${name}`).sort();
/** Consumers whom the scope of orders.test names. */
const named = ({ resources }: Output): readonly string[] =>
  [
    ...new Set(
      [
        ...JSON.stringify(resources.find(({ name }) => name === "http-80|orders.test")?.json ?? {}).matchAll(
          /"(shop\/[a-z]+)"/g,
        ),
      ]
        .map(([, name = ""]) => name)
        .filter((name) => name !== "shop/orders"),
    ),
  ].sort();
type GrantStatus = Extract<ObjectStatus, { readonly kind: "ApiGrant" }>;
const statusOf = ({ statuses }: Output, name = "erp-export"): GrantStatus | undefined =>
  statuses.flatMap(({ key, status }) => (key.name === name && status?.kind === "ApiGrant" ? [status] : []))[0];
const said = (output: Output, name?: string): readonly string[] =>
  (statusOf(output, name)?.conditions ?? []).map(({ type, status, reason }) => `${type}=${status} ${reason}`);

describe("rights", () => {
  test("a grant changes the routes of its policy and nothing else", () => {
    const output = engine.apply([grant()], NOW);
    expect([changed(output), named(output)]).toEqual([["scope http-80|orders.test"], ["shop/erp"]]);
    expect(output.nextEvaluationMs).toBeLessThanOrEqual(NOW + HOUR_MS); // the time that is left
  });

  test("it begins and ends by itself, at its times", () => {
    engine.apply([grant({ notBefore: at(1), expiresAt: at(2) })], NOW);
    expect(changed(engine.apply([], NOW + HOUR_MS - 1))).toEqual([]);
    expect(named(engine.apply([], NOW + HOUR_MS))).toEqual(["shop/erp"]);
    expect(changed(engine.apply([], NOW + 2 * HOUR_MS - 1))).toEqual([]);
    const after = engine.apply([], NOW + 2 * HOUR_MS);
    expect([changed(after), named(after)]).toEqual([["scope http-80|orders.test"], []]);
    expect(after.nextEvaluationMs).toBeUndefined();
  });

  test.each<[string, () => Change]>([
    ["revoked", () => grant({ revoked: true }, "erp-export", 2)],
    ["ended earlier", () => grant({ expiresAt: at(0) }, "erp-export", 2)],
    ["deleted", () => gone(grant())],
    ["unreadable", () => grant({ unknown: true }, "erp-export", 2)],
    ["of another namespace", () => grant({ consumer: { name: "erp", namespace: "ops" } }, "erp-export", 2)],
  ])("none is left when it is %s", (_, change) => {
    engine.apply([grant()], NOW);
    const output = engine.apply([change()], NOW);
    expect([changed(output), named(output)]).toEqual([["scope http-80|orders.test"], []]);
  });

  test("another of the same right keeps it", () => {
    engine.apply([grant(), grant({ expiresAt: at(20) }, "second")], NOW);
    const output = engine.apply([], NOW + 10 * HOUR_MS);
    expect(output.resources.filter(({ type }) => type === "scope")).toEqual([]);
    expect(said(output)).toContain("Active=False Expired");
  });

  test("a grant of another policy's rule, another rule or another namespace gives nothing here", () => {
    const output = engine.apply(
      [
        grant({ policy: { name: "items", rules: ["export"] } }, "a"),
        grant({ policy: { name: "orders", rules: ["read"] } }, "b"),
        put("ApiGrant", "c", { spec: grant().object?.spec }, { namespace: "ops" }),
      ],
      NOW,
    );
    expect(named(output)).toEqual([]);
  });
});

describe("status", () => {
  const good = ["Accepted=True Accepted", "ResolvedRefs=True ResolvedRefs", "Active=True Active"];

  test("live", () => {
    const output = engine.apply([grant()], NOW);
    expect(said(output)).toEqual(good);
    expect(statusOf(output)).toMatchObject({ timeLeft: "10h", ended: false, gateways: ["shop/edge"] });
    expect(statusOf(output)?.conditions[2]?.message).toBe("until 2026-12-01T10:00:00Z");
    expect(statusOf(engine.apply([], NOW + 1))).toMatchObject({ timeLeft: "9h" });
    expect(engine.apply([], NOW + 2).statuses).toEqual([]);
  });

  test("not yet, then live, then over", () => {
    const before = engine.apply([grant({ notBefore: at(1), expiresAt: at(2) })], NOW);
    expect(said(before)).toContain("Active=False NotYetActive");
    expect(statusOf(before)).not.toHaveProperty("timeLeft");
    expect(said(engine.apply([], NOW + HOUR_MS))).toEqual(good);
    const after = engine.apply([], NOW + 2 * HOUR_MS);
    expect(said(after)).toEqual(["Accepted=True Accepted", "Active=False Expired"]);
    expect(statusOf(after)).toMatchObject({ ended: true });
    expect(statusOf(after)).not.toHaveProperty("timeLeft");
  });

  test("revoked", () => {
    expect(said(engine.apply([grant({ revoked: true })], NOW))).toContain("Active=False Revoked");
  });

  test.each<[string, readonly Change[], string, RegExp]>([
    ["a consumer that is not there", [gone(consumer("erp"))], "RefNotFound", /^ApiConsumer erp does not exist$/],
    ["a policy that is not there", [gone(orders())], "RefNotFound", /^ApiPolicy orders does not exist$/],
    [
      "a rule that is not there",
      [orders({ rules: [{ name: "read", action: "Allow" }] })],
      "RefNotFound",
      /^ApiPolicy orders has no rule export$/,
    ],
    [
      "a rule that asks for none",
      [orders({ rules: [{ name: "export", action: "Allow" }] })],
      "InvalidRef",
      /asks for no grant in rule export \(write grant: Required\)/,
    ],
    ["a policy without rules", [orders({ defaultAction: "Deny" })], "RefNotFound", /no rule export/],
  ])("%s, until it is", (_, changes, reason, message) => {
    engine.apply([grant()], NOW);
    const output = engine.apply(changes, NOW);
    expect(said(output)).toEqual(["Accepted=True Accepted", `ResolvedRefs=False ${reason}`, `Active=False ${reason}`]);
    expect(statusOf(output)?.conditions[1]?.message).toMatch(message);
    expect(said(engine.apply([consumer("erp"), orders()], NOW))).toEqual(good);
  });

  test("a consumer that is suspended", () => {
    engine.apply([grant()], NOW);
    expect(said(engine.apply([consumer("erp", { suspended: true })], NOW))).toContain("Active=False Suspended");
  });

  test("what has ended asks for nothing any more", () => {
    engine.apply([grant({ revoked: true })], NOW);
    const output = engine.apply([gone(orders()), gone(consumer("erp"))], NOW);
    expect(said(output)).toEqual(["Accepted=True Accepted", "Active=False Revoked"]); // no Gateway asks for it now
    expect(statusOf(output)).toMatchObject({ ended: true, gateways: [] });
  });
});
