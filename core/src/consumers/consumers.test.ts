/** Credentials by time, by conflict and by what their Secrets hold. */
import { describe, expect, test } from "@jest/globals";
import { lookupOf } from "../../test/section.ts";
import { parseApiConsumer } from "../kinds/api-consumer.ts";
import { type Credentials, readCredentials } from "./credentials.ts";
import { type Settled, settleAll } from "./settle.ts";
import { consumerStatus } from "./status.ts";

const NOW = Date.parse("2026-12-01T00:00:00Z");
const DAY_MS = 86_400_000;
const day = (offset: number): string => new Date(NOW + offset * DAY_MS).toISOString().replace(".000", "");

interface Written {
  readonly name?: string;
  readonly namespace?: string;
  readonly created?: number;
  readonly spec?: object;
}

/** One key `k1` in Secret `<name>`, unless a spec says otherwise. */
function consumer({
  name = "erp",
  namespace = "shop",
  created = 0,
  spec,
}: Written): ReturnType<typeof parseApiConsumer> {
  return parseApiConsumer({
    metadata: { name, namespace, generation: 3, creationTimestamp: day(created - 100) },
    spec: spec ?? { apiKeys: [{ name: "k1", secretRef: { name, key: "key" } }] },
  });
}

function read(
  written: Written,
  values: Readonly<Record<string, string>>,
): Credentials & { readonly times: readonly number[] } {
  const lookup = lookupOf({ values, nowMs: NOW });
  return { ...readCredentials(consumer(written), lookup), times: lookup.times };
}

function settled(...all: readonly Credentials[]): readonly Settled[] {
  return settleAll(all);
}

const secretRef = { name: "erp", key: "key" };
const values = { "Secret/shop/erp/key": "value-1" };

describe("time", () => {
  test.each<[string, { readonly notBefore?: string; readonly expiresAt?: string }, string, readonly number[]]>([
    ["always", {}, "Active", []],
    ["within", { notBefore: day(-1), expiresAt: day(2) }, "Active", [NOW + 2 * DAY_MS]],
    ["before", { notBefore: day(1), expiresAt: day(2) }, "NotYetValid", [NOW + DAY_MS]],
    ["behind", { expiresAt: day(-1) }, "Expired", []],
    ["at its very end", { expiresAt: day(0) }, "Expired", []],
    ["at its very beginning", { notBefore: day(0) }, "Active", []],
  ])("%s", (_, window, state, times) => {
    const credentials = read({ spec: { apiKeys: [{ name: "k1", secretRef, ...window }] } }, values);
    const [own] = settled(credentials);
    expect(own?.credentials).toMatchObject([{ name: "k1", state }]);
    expect(own?.consumer.liveKeys).toEqual(state === "Active" ? ["value-1"] : []);
    expect(credentials.times).toEqual(times);
  });

  test("several live keys are a rotation with overlap", () => {
    const apiKeys = [
      { name: "old", secretRef, expiresAt: day(1) },
      { name: "new", secretRef: { name: "erp", key: "new" } },
    ];
    const [own] = settled(read({ spec: { apiKeys } }, { ...values, "Secret/shop/erp/new": "value-2" }));
    expect(own?.consumer.liveKeys).toEqual(["value-1", "value-2"]);
  });

  test("suspended ends everything", () => {
    const [own] = settled(
      read({ spec: { apiKeys: [{ name: "k1", secretRef }], basic: { secretRef }, suspended: true } }, values),
    );
    expect(own).toMatchObject({
      consumer: { suspended: true, liveKeys: [], password: undefined },
      credentials: [{ state: "Suspended" }, { state: "Suspended" }],
    });
  });
});

describe("conflicts", () => {
  const same = { ...values, "Secret/shop/crm/key": "value-1", "Secret/ops/erp/key": "value-1" };
  const older = { name: "erp", created: 1 };
  const newer = { name: "crm", created: 2 };

  test.each([
    ["in this order", [older, newer]],
    ["in the other order", [newer, older]],
  ])("the older keeps the key, %s", (_, written) => {
    const all = settled(...written.map((each) => read(each, same)));
    expect(
      Object.fromEntries(
        all.map(({ consumer, credentials }) => [consumer.name, [consumer.liveKeys, credentials[0]?.state]]),
      ),
    ).toEqual({ erp: [["value-1"], "Active"], crm: [[], "Conflicted"] });
  });

  test("of the same age, the first by name does", () => {
    const [crm, erp] = settled(read({ name: "crm" }, same), read({ name: "erp" }, same));
    expect([crm?.consumer.liveKeys, erp?.consumer.liveKeys]).toEqual([["value-1"], []]);
  });

  test.each([
    ["expired", { apiKeys: [{ name: "k1", secretRef, expiresAt: day(-1) }] }],
    ["suspended", { apiKeys: [{ name: "k1", secretRef }], suspended: true }],
  ])("a key keeps its owner while it is %s", (_, spec) => {
    const [first, second] = settled(read({ ...older, spec }, same), read(newer, same));
    expect([first?.consumer.liveKeys, second?.consumer.liveKeys]).toEqual([[], []]);
  });

  test("twice in one consumer is no conflict", () => {
    const apiKeys = [
      { name: "k1", secretRef },
      { name: "k2", secretRef },
    ];
    expect(settled(read({ spec: { apiKeys } }, values))).toMatchObject([{ consumer: { liveKeys: ["value-1"] } }]);
  });

  test("names the other in the same namespace only, and never the value", () => {
    const [, sameNamespace] = settled(read(older, same), read(newer, same));
    expect(sameNamespace?.credentials[0]?.message).toContain("ApiConsumer erp");
    const [, elsewhere] = settled(read(older, same), read({ ...newer, name: "erp", namespace: "ops" }, same));
    expect(elsewhere?.credentials[0]).toMatchObject({
      state: "Conflicted",
      message: expect.stringMatching(/another namespace/),
    });
    expect(elsewhere?.credentials[0]?.message).not.toContain("shop");
    expect(JSON.stringify(sameNamespace?.credentials)).not.toContain("value-1");
  });
});

describe("tokens and certificates", () => {
  const token = { issuer: "https://sso.corp.test", claim: "azp", value: "erp" };
  const identity = { type: "Exact", san: "URI", value: "spiffe://corp/erp" } as const;
  const spec = { jwt: [token], identities: [identity] };
  const older = { name: "erp", created: 1, spec };
  const newer = { name: "crm", created: 2, spec: { jwt: [token, { ...token, value: "crm" }], identities: [identity] } };
  const known = ({ consumer: { name, tokens, identities }, credentials }: Settled): unknown => [
    name,
    tokens.map(({ value }) => value),
    identities.length,
    credentials.map((one) => `${one.name} ${one.state}`),
  ];

  test.each([
    ["in this order", [older, newer]],
    ["in the other order", [newer, older]],
  ])("the older keeps them, %s", (_, written) => {
    const all = settled(...written.map((each) => read(each, {})));
    expect(all.map(known).sort()).toEqual([
      ["crm", ["crm"], 0, ["jwt[0] Conflicted", "jwt[1] Active", "identities[0] Conflicted"]],
      ["erp", ["erp"], 1, ["jwt[0] Active", "identities[0] Active"]],
    ]);
    expect(JSON.stringify(all.flatMap(({ credentials }) => credentials))).not.toMatch(/corp|azp/);
  });

  test("namespaces have nothing to do with each other", () => {
    const all = settled(read(older, {}), read({ ...older, namespace: "ops" }, {}));
    expect(all.flatMap(({ credentials }) => credentials.map(({ state }) => state))).toEqual(Array(4).fill("Active"));
  });

  test("a suspended consumer keeps them, so that they can be refused", () => {
    const all = settled(read({ ...older, spec: { ...spec, suspended: true } }, {}), read(newer, {}));
    expect(all.map(known)).toEqual([
      ["erp", ["erp"], 1, ["jwt[0] Suspended", "identities[0] Suspended"]],
      ["crm", ["crm"], 0, ["jwt[0] Conflicted", "jwt[1] Active", "identities[0] Conflicted"]],
    ]);
    expect(all[0]?.consumer.suspended).toBe(true);
  });
});

describe("values", () => {
  test.each([
    ["a line end that an editor left", "value\n", "value"],
    ["the same of Windows", "value\r\n", "value"],
    ["every other printable character", "a-_.~!*'()/+=@:&?%#$^{}[]<>|`", "a-_.~!*'()/+=@:&?%#$^{}[]<>|`"],
  ])("takes %s", (_, value, key) => {
    expect(settled(read({}, { "Secret/shop/erp/key": value }))).toMatchObject([{ consumer: { liveKeys: [key] } }]);
  });

  test.each([
    "",
    "\n",
    "two words",
    "two,words",
    "two;words",
    'quo"te',
    "back\\slash",
    "tab\t",
    "nul\0",
    "é",
    "a\nb",
    "x".repeat(5_000),
  ])("refuses %j", (value) => {
    const credentials = read({}, { "Secret/shop/erp/key": value });
    expect(credentials.problems).toMatchObject([{ reason: "InvalidRef", path: "spec.apiKeys[0].secretRef" }]);
    expect(settled(credentials)).toMatchObject([
      { consumer: { liveKeys: [] }, credentials: [{ state: "Unresolved" }] },
    ]);
    if (value.trim().length > 2) expect(JSON.stringify(credentials.problems)).not.toContain(value);
  });

  test("a password may hold anything", () => {
    const spec = { basic: { secretRef } };
    expect(settled(read({ spec }, { "Secret/shop/erp/key": "päss: wörd,\n" }))).toMatchObject([
      { consumer: { password: "päss: wörd," }, credentials: [{ name: "basic", state: "Active" }] },
    ]);
  });
});

describe("status", () => {
  const statusOf = (credentials: Credentials, others: readonly Credentials[] = []) => {
    const [own] = settled(credentials, ...others);
    return own && consumerStatus(credentials, own, ["infra/edge"]);
  };
  const condition = (type: string, status: string, reason: string) =>
    expect.objectContaining({ type, status, reason, observedGeneration: 3 });

  test("all well", () => {
    expect(statusOf(read({}, values))).toMatchObject({
      kind: "ApiConsumer",
      gateways: ["infra/edge"],
      conditions: [condition("Accepted", "True", "Accepted"), condition("ResolvedRefs", "True", "ResolvedRefs")],
    });
  });

  test("a Secret that is not there", () => {
    expect(statusOf(read({}, {}))).toMatchObject({
      conditions: [condition("Accepted", "True", "Accepted"), condition("ResolvedRefs", "False", "RefNotFound")],
    });
  });

  test("all credentials lost to another; some lost", () => {
    const other = read({ name: "old", created: -1 }, { "Secret/shop/old/key": "value-1" });
    expect(statusOf(read({}, values), [other])).toMatchObject({
      conditions: [condition("Accepted", "False", "Conflicted"), {}],
    });
    const spec = { apiKeys: [{ name: "k1", secretRef }], basic: { secretRef } };
    expect(statusOf(read({ spec }, values), [other])).toMatchObject({
      conditions: [condition("Accepted", "True", "Accepted"), {}],
      credentials: [{ state: "Conflicted" }, { state: "Active" }],
    });
  });

  test("a consumer that cannot be read has no credentials", () => {
    const credentials = read({ spec: { apiKeys: [{ name: "k1", secretRef }], unknown: true } }, values);
    expect(settled(credentials)).toMatchObject([{ consumer: { suspended: true, liveKeys: [] } }]);
    expect(statusOf(credentials)).toMatchObject({ conditions: [condition("Accepted", "False", "Invalid"), {}] });
  });
});
