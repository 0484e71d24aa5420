/** What leaves a shared extension stays until proxies have changed over: the old name, never an old right. */
import { expect, test } from "@jest/globals";
import { createEngine } from "../src/engine.ts";
import { keyPartOf } from "../src/translate/chain.ts";
import type { Change, Engine, JsonObject, Output } from "../src/world.ts";
import { backend, gateway, gatewayClass, gone, OPTIONS, policy, put, route, service } from "./objects.ts";
import { createKeys, jwk, keySet } from "./tokens.ts";

const KEYS = keyPartOf("shop");

const NOW = Date.parse("2026-06-01T00:00:00Z");
const AFTER_GRACE = NOW + 6_000;
const keys = createKeys();
const target = [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "shop" }];
const issuer = (name: string, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> => ({
  name,
  issuer: `https://${name}.test`,
  audiences: ["shop"],
  jwks: { type: "Ref", ref: { kind: "ConfigMap", name, key: "jwks.json" } },
  ...more,
});
const issuers = (generation: number, ...jwt: readonly Record<string, unknown>[]): Change =>
  policy("shop", target, { authentication: { jwt } }, { generation });
const keySetOf = (name: string, kid: string): Change =>
  put("ConfigMap", name, { data: { "jwks.json": keySet(jwk(keys.p256, { kid, alg: "ES256" })) } });
const apiKeys = policy("shop", target, { authentication: { apiKey: {} } }, { generation: 9 });
const erp = put("ApiConsumer", "erp", { spec: { apiKeys: [{ name: "k", secretRef: { name: "erp", key: "key" } }] } });
const world: readonly Change[] = [
  gatewayClass,
  gateway("edge", [{ name: "http", port: 80, protocol: "HTTP" }]),
  ...service("app", { address: "10.0.0.1", port: 80 }),
  route("shop", { hostnames: ["shop.test"], rules: [{ backendRefs: [backend("app")] }] }),
  put("Secret", "erp", { data: { key: Buffer.from("the-secret-key").toString("base64") } }),
  erp,
  keySetOf("a", "first"),
  keySetOf("b", "first"),
];

function extension(outputs: readonly Output[], slot: string): JsonObject | undefined {
  const change = outputs.flatMap(({ resources }) => resources).findLast(({ name }) => name === slot);
  return change?.json?.["typed_config"] as JsonObject | undefined;
}
const requirements = (outputs: readonly Output[]): number =>
  Object.keys((extension(outputs, "jwt")?.["requirement_map"] ?? {}) as JsonObject).length;
function start(...changes: readonly Change[]): { readonly engine: Engine; readonly outputs: Output[] } {
  const engine = createEngine(OPTIONS);
  return { engine, outputs: [engine.apply([...world, ...changes], NOW)] };
}

test("a requirement stays beside its successor and goes by itself", () => {
  const { engine, outputs } = start(issuers(1, issuer("a")));
  outputs.push(engine.apply([issuers(2, issuer("a", { clockSkew: "31s" }))], NOW + 1));
  expect(requirements(outputs)).toBe(2);
  expect(outputs.at(-1)?.nextEvaluationMs).toBe(AFTER_GRACE);
  expect(engine.apply([], AFTER_GRACE - 1).resources).toEqual([]);
  outputs.push(engine.apply([], AFTER_GRACE));
  expect(outputs.at(-1)?.resources.map(({ name }) => name)).toEqual(["jwt"]);
  expect(outputs.at(-1)?.nextEvaluationMs).toBeUndefined();
  expect(extension(outputs, "jwt")).toEqual(
    extension(start(issuers(2, issuer("a", { clockSkew: "31s" }))).outputs, "jwt"),
  );
});

test("edits one after the other each stay for their time, and what comes back is no longer leaving", () => {
  const { engine, outputs } = start(issuers(1, issuer("a", { clockSkew: "1s" })));
  for (const at of [2, 3, 4])
    outputs.push(engine.apply([issuers(at, issuer("a", { clockSkew: `${String(at)}s` }))], NOW + at * 1_000));
  expect(requirements(outputs)).toBe(4);
  outputs.push(engine.apply([issuers(5, issuer("a", { clockSkew: "1s" }))], NOW + 5_000));
  outputs.push(engine.apply([], NOW + 8_000));
  expect(requirements(outputs)).toBe(3); // now "1s", leaving "3s" and "4s"
  outputs.push(engine.apply([], NOW + 20_000));
  expect(requirements(outputs)).toBe(1);
});

test("a policy that goes leaves its requirement for as long, and nothing after", () => {
  const { engine, outputs } = start(issuers(1, issuer("a")));
  outputs.push(engine.apply([gone(issuers(1, issuer("a")))], NOW));
  expect(requirements(outputs)).toBe(1);
  outputs.push(engine.apply([], AFTER_GRACE));
  expect(extension(outputs, "jwt")).toEqual(extension(start().outputs, "jwt"));
});

test("an entry that stays never brings back keys that its provider has no longer", () => {
  const { engine, outputs } = start(issuers(1, issuer("a"), issuer("b")));
  outputs.push(engine.apply([issuers(2, issuer("a"))], NOW));
  outputs.push(engine.apply([keySetOf("a", "second")], NOW + 1));
  const { providers = {} } = extension(outputs, "jwt") ?? {};
  const byIssuer = Object.values(providers as JsonObject).map((provider) => {
    const { issuer: of, local_jwks: local } = provider as { issuer: string; local_jwks: { inline_string: string } };
    return [of, local.inline_string.includes('"second"')];
  });
  expect(Object.fromEntries(byIssuer)).toEqual({ "https://a.test": true, "https://b.test": false });
});

test("keys of a namespace stay for its last route, a revoked one does not", () => {
  const { engine, outputs } = start(apiKeys);
  outputs.push(engine.apply([gone(apiKeys)], NOW));
  expect(JSON.stringify(extension(outputs, KEYS) ?? {})).toContain("the-secret-key");
  outputs.push(engine.apply([gone(erp)], NOW + 1));
  expect(JSON.stringify(extension(outputs, KEYS))).not.toContain("the-secret-key");
  outputs.push(engine.apply([], AFTER_GRACE));
  expect(extension(outputs, KEYS)).toEqual(extension(start().outputs, KEYS));
});

test("a Gateway that goes takes them with it", () => {
  const { engine, outputs } = start(issuers(1, issuer("a")));
  outputs.push(engine.apply([issuers(2, issuer("b"))], NOW));
  outputs.push(engine.apply([gone(gateway("edge", []))], NOW + 1));
  expect(extension(outputs, "jwt")).toBeUndefined();
  expect(outputs.at(-1)?.nextEvaluationMs).toBeUndefined();
});
