/** Consumers in the engine: what a credential that comes, goes or ends changes, and what it leaves alone. */
import { beforeEach, expect, test } from "@jest/globals";
import { backend, gateway, gatewayClass, gone, OPTIONS, policy, put, route, service } from "../../test/objects.ts";
import { lookupOf } from "../../test/section.ts";
import { createEngine } from "../engine.ts";
import { keyPartOf } from "../translate/chain.ts";
import type { Change, Engine, Output } from "../world.ts";

const KEYS = keyPartOf("shop");

const NOW = Date.parse("2026-12-01T00:00:00Z");
const HOUR_MS = 3_600_000;
const httpRoute = (name: string) => ({ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name });
const secret = (name: string, value: string): Change =>
  put("Secret", name, { data: { key: Buffer.from(value).toString("base64") } });
const consumer = (name: string, spec: object = {}, created = 0): Change =>
  put(
    "ApiConsumer",
    name,
    {
      metadata: { labels: { tier: "partner" } },
      spec: { apiKeys: [{ name: "k1", secretRef: { name, key: "key" }, ...spec }] },
    },
    { created },
  );
const open = (name: string): Change =>
  route(name, { hostnames: [`${name}.test`], rules: [{ backendRefs: [backend("echo")] }] });

let engine: Engine;
let first: Output;
beforeEach(() => {
  engine = createEngine({ ...OPTIONS, requirePolicy: true });
  first = engine.apply(
    [
      gatewayClass,
      gateway("edge", [{ name: "http", port: 80, protocol: "HTTP" }]),
      ...service("echo", { address: "192.0.2.1", port: 8080 }),
      ...["all", "some"].map(open),
      policy("all", [httpRoute("all")], { authentication: { apiKey: {} } }),
      policy("some", [httpRoute("some")], {
        authentication: { apiKey: { consumerSelector: { matchLabels: { tier: "partner" } } } },
      }),
      consumer("erp"),
      secret("erp", "erp-key"),
    ],
    NOW,
  );
});

/** `type name` of what changed. */
const changed = ({ resources }: Output): readonly string[] =>
  resources.map(({ type, name }) => `${type} ${name}`).sort();
const credentials = ({ resources }: Output): readonly unknown[] => {
  const text = JSON.stringify(resources.find(({ name }) => name === KEYS)?.json ?? {});
  return [...text.replace('"key":"no key","client":"nobody"', "").matchAll(/"key":"([^"]*)","client":"([^"]*)"/g)].map(
    ([, key, client]) => `${String(client)} ${String(key)}`,
  );
};
const stateOf = ({ statuses }: Output, name: string): unknown =>
  statuses.flatMap(({ key, status }) =>
    key.name === name && status?.kind === "ApiConsumer" ? status.credentials.map(({ state }) => state) : [],
  );

test("a new key changes the credentials of the Gateway and only the routes that list consumers", () => {
  const output = engine.apply([consumer("crm"), secret("crm", "crm-key")], NOW);
  expect(credentials(output)).toEqual(["shop/crm crm-key", "shop/erp erp-key"]);
  expect(changed(output)).toEqual([`extension ${KEYS}`, "scope http-80|some.test"]);
});

test("another key of a consumer changes no route", () => {
  const output = engine.apply([secret("erp", "erp-key-2")], NOW);
  expect(credentials(output)).toEqual(["shop/erp erp-key-2"]);
  expect(changed(output)).toEqual([`extension ${KEYS}`]);
});

test("a key ends by itself, at its time", () => {
  const expiresAt = new Date(NOW + HOUR_MS).toISOString();
  const before = engine.apply([consumer("erp", { expiresAt })], NOW);
  expect(before.nextEvaluationMs).toBe(NOW + HOUR_MS);
  expect(changed(engine.apply([], NOW + HOUR_MS - 1))).toEqual([]);
  const after = engine.apply([], NOW + HOUR_MS);
  expect(credentials(after)).toEqual([]);
  expect(changed(after)).toEqual([`extension ${KEYS}`, "scope http-80|some.test"]);
  expect(stateOf(after, "erp")).toEqual(["Expired"]);
  expect(after.nextEvaluationMs).toBeUndefined();
});

test("a key begins by itself", () => {
  const notBefore = new Date(NOW + HOUR_MS).toISOString();
  const before = engine.apply([consumer("erp", { notBefore })], NOW);
  expect([credentials(before), stateOf(before, "erp")]).toEqual([[], ["NotYetValid"]]);
  const after = engine.apply([], NOW + HOUR_MS);
  expect([credentials(after), stateOf(after, "erp")]).toEqual([["shop/erp erp-key"], ["Active"]]);
});

test.each<[string, () => readonly Change[]]>([
  ["its consumer goes", () => [gone(consumer("erp"))]],
  ["its Secret goes", () => [gone(secret("erp", ""))]],
  ["its Secret may not be read any more", () => [{ ...gone(secret("erp", "")), denied: true }]],
  [
    "its consumer is suspended",
    () => [
      put("ApiConsumer", "erp", {
        spec: { suspended: true, apiKeys: [{ name: "k1", secretRef: { name: "erp", key: "key" } }] },
      }),
    ],
  ],
  ["its consumer becomes invalid", () => [consumer("erp", { unknown: true })]],
])("a key is gone when %s", (_, changes) => {
  const output = engine.apply(changes(), NOW);
  expect(credentials(output)).toEqual([]);
  expect(changed(output)).toContain(`extension ${KEYS}`);
  expect(JSON.stringify(output.resources)).not.toContain('"allowed_clients":[]');
});

test("a key in two hands stays with the older, and goes to the newer when that one goes", () => {
  const output = engine.apply([consumer("newer", {}, 10), secret("newer", "erp-key")], NOW);
  // It becomes an owner, so that its status can tell what proxies have; what they get stays the same.
  const extension = ({ resources }: Output) => resources.find(({ name }) => name === KEYS)?.json;
  expect(changed(output)).toEqual([`extension ${KEYS}`]);
  expect(extension(output)).toEqual(extension(first));
  expect(stateOf(output, "newer")).toEqual(["Conflicted"]);
  const after = engine.apply([gone(consumer("erp"))], NOW);
  expect([credentials(after), stateOf(after, "newer")]).toEqual([["shop/newer erp-key"], ["Active"]]);
});

test.each<[string, Parameters<ReturnType<typeof lookupOf>["consumers"]>[1], readonly string[]]>([
  ["nothing", undefined, ["a", "b", "c"]],
  ["a label", { matchLabels: { tier: "partner" } }, ["a", "b"]],
  ["one of two roles", { roles: ["admin", "user"] }, ["a", "c"]],
  ["an attribute", { attributes: { department: "sales" } }, ["b", "c"]],
  ["all of it", { matchLabels: { tier: "partner" }, roles: ["user"], attributes: { department: "it" } }, ["a"]],
  ["what nobody has", { attributes: { constructor: "sales" } }, []],
])("a selector chooses by %s", (_, selector, names) => {
  const { consumers } = lookupOf({
    consumers: [
      { name: "a", labels: { tier: "partner" }, roles: ["user"], attributes: { department: "it" } },
      { name: "b", labels: { tier: "partner" }, attributes: { department: "sales" } },
      { name: "c", roles: ["admin"], attributes: { department: "sales" } },
    ],
  });
  expect(consumers("shop", selector).map(({ name }) => name)).toEqual(names);
});

test("a consumer that is known by tokens is one resource, and the routes know only that there is one", () => {
  const issuer = "https://sso.corp.test";
  const jwt = { jwt: [{ name: "corp", issuer, jwks: { type: "Inline", inline: KEY_SET } }] };
  const known = (name: string, spec: object = {}): Change =>
    put("ApiConsumer", name, { spec: { jwt: [{ issuer, claim: "azp", value: name }], ...spec } });
  engine.apply([policy("tokens", [httpRoute("some")], { authentication: jwt }, { created: -1 })], NOW);
  expect(changed(engine.apply([known("one")], NOW))).toEqual([
    `extension ${KEYS}`, // an owner more
    "extension recognise",
    "scope http-80|some.test",
  ]);
  expect(changed(engine.apply([known("two")], NOW))).toEqual([`extension ${KEYS}`, "extension recognise"]);
  expect(changed(engine.apply([known("two", { suspended: true })], NOW))).toEqual(["extension recognise"]);
  const last = engine.apply([gone(known("one")), gone(known("two"))], NOW);
  expect(changed(last)).toContain("scope http-80|some.test");
});

const KEY_SET =
  '{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","kid":"e1","x":"Xk5YFGS6Ye2lCeXDJnJ5d_lFcViKtFWFJQPM7vBpZE0","y":"I9iVemuicQ5u_VvFNosh28Kfbo4fWADFr_wj75HcQuA"}]}';
