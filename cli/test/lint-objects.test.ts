/** Rules about objects by themselves: each finds its misconfiguration at its line, and nothing in the sound version. */
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { lint } from "../src/lint/lint.ts";
import { inspectObjects } from "../src/offline/inspect.ts";
import { readManifests } from "../src/offline/manifests.ts";

const NOW = Date.parse("2026-11-25T00:00:00Z");
const PRIVATE_KEY = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
  type: "pkcs8",
  format: "pem",
}) as string;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** `CODE Kind/namespace/name path` of what is found about the codes that are asked for. */
async function found(text: string, ...codes: readonly string[]): Promise<readonly string[]> {
  const file = path.join(folder, "all.yaml");
  writeFileSync(file, text);
  const read = await readManifests([file]);
  if (!read.ok) throw new Error(read.message);
  return lint(inspectObjects(read.value.objects, { requirePolicy: true, nowMs: NOW }))
    .filter(({ code }) => codes.includes(code))
    .map(({ code, severity, object, path: field, line }) => `${code} ${severity} ${object} ${field} line ${line ?? 0}`);
}

function policy(spec: string, name = "p", created = "2026-01-01T00:00:00Z"): string {
  return `apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: ${name}, namespace: shop, creationTimestamp: "${created}"}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders}]
  ${spec}
`;
}

function consumer(spec: string, namespace = "shop"): string {
  return `apiVersion: gatewarden.io/v1alpha1
kind: ApiConsumer
metadata: {name: erp, namespace: ${namespace}}
spec:
  ${spec}
`;
}

function secret(namespace: string, value: string): string {
  return `apiVersion: v1
kind: Secret
metadata: {name: k, namespace: ${namespace}}
stringData: {key: ${value}}
`;
}

const key = (rest: string): string => `apiKeys: [{name: k1, secretRef: {name: k, key: key}${rest}}]`;
const both = (a: string, b: string): string => `${a}---\n${b}`;

describe("GW-LINT-005: methods", () => {
  const rules = (rest: string): string => policy(`authorization: {rules: [{name: a, ${rest}}]}`);
  test.each([
    ["none", "action: Allow", ["GW-LINT-005 warning ApiPolicy/shop/p spec.authorization.rules[0] line 6"]],
    ["some", "action: Allow, methods: [GET]", []],
    ["none in a rule that denies", "action: Deny", []],
  ])("%s", async (_what, rest, expected) => {
    expect(await found(rules(rest), "GW-LINT-005")).toEqual(expected);
  });
});

describe("GW-LINT-006 and -014: ends of keys", () => {
  test.each([
    ["a key without an end", key(""), ["GW-LINT-006 warning ApiConsumer/shop/erp spec.apiKeys[0] line 5"]],
    ["a key that lives for long", key(', expiresAt: "2027-11-01T00:00:00Z"'), []],
    [
      "a key that has ended",
      key(', expiresAt: "2026-11-01T00:00:00Z"'),
      ["GW-LINT-014 info ApiConsumer/shop/erp spec.apiKeys[0] line 5"],
    ],
    [
      "the only key ends soon",
      key(', expiresAt: "2026-12-01T00:00:00Z"'),
      ["GW-LINT-014 warning ApiConsumer/shop/erp spec.apiKeys[0] line 5"],
    ],
    [
      "the next key is there",
      'apiKeys: [{name: k1, secretRef: {name: k, key: key}, expiresAt: "2026-12-01T00:00:00Z"}, {name: k2, secretRef: {name: k, key: key}, expiresAt: "2027-12-01T00:00:00Z"}]',
      [],
    ],
  ])("%s", async (_what, spec, expected) => {
    expect(await found(consumer(spec), "GW-LINT-006", "GW-LINT-014")).toEqual(expected);
  });
});

describe("GW-LINT-007 and -016: entries of lists", () => {
  test.each([
    [
      "no note",
      "allowlist: {entries: [{cidr: 10.0.0.0/8}]}",
      ["GW-LINT-007 info ApiPolicy/shop/p spec.allowlist.entries[0] line 6"],
    ],
    ["a note", "allowlist: {entries: [{cidr: 10.0.0.0/8, note: HQ}]}", []],
    [
      "an ended entry",
      'denylist: {entries: [{cidr: 10.0.0.0/8, expiresAt: "2026-01-01T00:00:00Z"}]}',
      ["GW-LINT-016 info ApiPolicy/shop/p spec.denylist.entries[0] line 6"],
    ],
  ])("%s", async (_what, spec, expected) => {
    expect(await found(policy(spec), "GW-LINT-007", "GW-LINT-016")).toEqual(expected);
  });
});

describe("GW-LINT-008: credentials of two environments", () => {
  const pair = (test_: string, live: string, testValue: string): string =>
    [
      consumer(key(""), test_),
      secret(test_, testValue),
      consumer(key(""), live),
      secret(live, "the-same-value-1"),
    ].join("---\n");
  test("the same key in test and production", async () => {
    expect(await found(pair("shop-test", "shop-prod", "the-same-value-1"), "GW-LINT-008")).toEqual([
      "GW-LINT-008 error ApiConsumer/shop-test/erp spec.apiKeys[0].secretRef line 5",
    ]);
  });
  test("keys of their own, or two namespaces of which none is production", async () => {
    expect(await found(pair("shop-test", "shop-prod", "another-value-12"), "GW-LINT-008")).toEqual([]);
    expect(await found(pair("shop-test", "shop-dev", "the-same-value-1"), "GW-LINT-008")).toEqual([]);
  });
  test("a label says more than the name", async () => {
    const labelled = `apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {environment: production}}\n`;
    expect(await found(both(labelled, pair("shop-dev", "shop", "the-same-value-1")), "GW-LINT-008")).toHaveLength(1);
  });
});

describe("GW-LINT-009: audiences", () => {
  const jwt = (rest: string): string => `authentication: {jwt: [{name: corp, issuer: "https://sso.test"${rest}}]}`;
  test.each([
    ["none", jwt(""), ["GW-LINT-009 error ApiPolicy/shop/p spec.authentication.jwt[0] line 6"]],
    ["one", jwt(", audiences: [shop]"), []],
  ])("%s", async (_what, spec, expected) => {
    expect(await found(policy(spec), "GW-LINT-009")).toEqual(expected);
  });
});

describe("GW-LINT-010: TLS", () => {
  test.each([
    [
      "Optional client certificates",
      "mtls: {client: {mode: Optional, caRefs: [{kind: ConfigMap, name: ca, key: ca.crt}]}}",
      ["info spec.mtls.client.mode"],
    ],
    ["clear text to the Service", "mtls: {backend: {mode: Off}}", ["warning spec.mtls.backend.mode"]],
    [
      "a small RSA key",
      "transport: {certificate: {issuerRef: {kind: ClusterIssuer, name: ca}, privateKey: {algorithm: RSA}}}",
      ["warning spec.transport.certificate.privateKey"],
    ],
    [
      "ECDSA",
      "transport: {certificate: {issuerRef: {kind: ClusterIssuer, name: ca}, privateKey: {algorithm: ECDSA, size: 256}}}",
      [],
    ],
  ])("%s", async (_what, spec, expected) => {
    expect(await found(policy(spec), "GW-LINT-010")).toEqual(
      expected.map((one) => `GW-LINT-010 ${one.replace(" ", " ApiPolicy/shop/p ")} line 6`),
    );
  });
});

describe("GW-LINT-011 and -018: secrets where others read them", () => {
  test("a Secret with a value in a file, and one without", async () => {
    expect(await found(secret("shop", "v"), "GW-LINT-011")).toEqual([
      "GW-LINT-011 warning Secret/shop/k stringData line 4",
    ]);
    expect(await found("apiVersion: v1\nkind: Secret\nmetadata: {name: k, namespace: shop}\n", "GW-LINT-011")).toEqual(
      [],
    );
  });
  test("a private key in a ConfigMap, a certificate in one", async () => {
    const map = (text: string): string =>
      `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop}\ndata: {"a.pem": ${JSON.stringify(text)}}\n`;
    expect(await found(map(PRIVATE_KEY), "GW-LINT-018")).toEqual([
      'GW-LINT-018 error ConfigMap/shop/c data["a.pem"] line 4',
    ]);
    expect(await found(map('{"keys":[{"kty":"oct","k":"AAAA"}]}'), "GW-LINT-018")).toHaveLength(1);
    expect(await found(map('{"keys":[{"kty":"RSA","n":"AAAA","e":"AQAB"}]}'), "GW-LINT-018")).toEqual([]);
  });
  test("a symmetric key in a policy", async () => {
    const inline = (jwk: string): string =>
      policy(
        `authentication: {jwt: [{name: corp, issuer: "https://sso.test", jwks: {type: Inline, inline: '{"keys":[${jwk}]}'}}]}`,
      );
    expect(await found(inline('{"kty":"oct","k":"AAAA"}'), "GW-LINT-018")).toEqual([
      "GW-LINT-018 error ApiPolicy/shop/p spec.authentication.jwt[0].jwks.inline line 6",
    ]);
  });
});

describe("GW-LINT-012: two policies, one section", () => {
  const limits = (name: string, created: string, mode = "Enforce"): string =>
    policy(`mode: ${mode}\n  rateLimit: {limits: [{name: a, requests: 1, per: 1s}]}`, name, created);
  test("the newer one is named", async () => {
    expect(
      await found(
        both(limits("older", "2026-01-01T00:00:00Z"), limits("newer", "2026-02-01T00:00:00Z")),
        "GW-LINT-012",
      ),
    ).toEqual(["GW-LINT-012 warning ApiPolicy/shop/newer spec.rateLimit line 15"]);
  });
  test("an audited one does not compete", async () => {
    expect(
      await found(
        both(limits("older", "2026-01-01T00:00:00Z"), limits("newer", "2026-02-01T00:00:00Z", "Audit")),
        "GW-LINT-012",
      ),
    ).toEqual([]);
  });
});

describe("GW-LINT-013: what the operator would not accept", () => {
  const route = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders, namespace: shop}
spec: {parentRefs: [{name: web}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec: {gatewayClassName: gatewarden, listeners: [{name: http, port: 80, protocol: HTTP}]}
`;
  test("an unknown field, at its line", async () => {
    expect(await found(both(policy("authentication: {mood: Required}"), route), "GW-LINT-013")).toContain(
      "GW-LINT-013 error ApiPolicy/shop/p spec.authentication.mood line 6",
    );
  });
});

test("GW-LINT-017: failurePolicy Open", async () => {
  const spec = "failurePolicy: Open\n  rateLimit: {limits: [{name: a, requests: 1, per: 1s}]}";
  expect(await found(policy(spec), "GW-LINT-017")).toEqual([
    "GW-LINT-017 warning ApiPolicy/shop/p spec.failurePolicy line 6",
  ]);
  expect(
    await found(policy("failurePolicy: Closed\n  denylist: {entries: [{cidr: 10.0.0.1/32}]}"), "GW-LINT-017"),
  ).toEqual([]);
});

describe("GW-LINT-019: floors that believe any issuer", () => {
  const at = (kind: string, name: string, rest = ""): string => `targetRefs: [{kind: ${kind}, name: ${name}${rest}}]`;
  const floor = (
    namespace: string,
    name: string,
    target: string,
    section: string,
    more = "precedence: Override",
  ): string =>
    `apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  ${target}
  ${more}
  ${section}
`;
  const asking = (condition: string): string =>
    `authorization: {rules: [{name: a, action: Allow, methods: [GET]}, {name: b, action: Deny, ${condition}}]}`;
  const roles = asking("roles: [admin]");
  const issuers = 'authentication: {jwt: [{name: corp, issuer: "https://sso.test", audiences: [shop]}]}';
  const edge = at("Gateway", "edge");
  const listener = at("Gateway", "edge", ", sectionName: http");
  const orders = at("HTTPRoute", "orders");
  const inForce = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {gatewarden.io/overrides: allowed}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: infra}
spec: {gatewayClassName: gatewarden, listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders, namespace: shop}
spec: {parentRefs: [{name: edge, namespace: infra}], rules: [{backendRefs: [{name: orders, port: 80}]}]}
`;
  const hit = (field: string, object = "infra/floor"): readonly string[] => [
    `GW-LINT-019 warning ApiPolicy/${object} spec.authorization.rules[1].${field}`,
  ];
  const all = async (...documents: readonly string[]): Promise<readonly string[]> =>
    (await found(documents.join("---\n"), "GW-LINT-019")).map((one) => one.replace(/ line \d+$/, ""));

  test.each([
    ["claims", "claims: [{provider: corp, path: [dept], values: [x]}]"],
    ["roles", "roles: [admin]"],
    ["scopes", "scopes: [admin]"],
    ["when", 'when: "claims.dept == 1"'],
  ])("%s", async (field, condition) => {
    expect(await all(floor("infra", "floor", edge, asking(condition)))).toEqual(hit(field));
  });
  test.each([
    ["addresses", edge, asking("sources: [10.0.0.0/8]"), undefined],
    ["CEL without claims", edge, asking(`when: "request.method == 'GET'"`), undefined],
    ["a Default", edge, roles, "precedence: Default"],
    ["an audited Override", edge, roles, "precedence: Override\n  mode: Audit"],
    ["its own issuers", edge, `${roles}\n  ${issuers}`, undefined],
  ])("are none with %s", async (_what, target, section, more) => {
    expect(await all(floor("infra", "floor", target, section, more))).toEqual([]);
  });
  test("are none where a floor at the same target or above names the methods", async () => {
    const asked = floor("infra", "floor", listener, roles);
    expect(await all(asked, floor("infra", "who", edge, issuers))).toEqual([]);
    expect(await all(asked, floor("infra", "who", listener, issuers))).toEqual([]);
    const wider = floor("infra", "floor", edge, roles);
    expect(await all(wider, floor("infra", "who", listener, issuers))).toEqual(hit("roles"));
    expect(await all(wider, floor("infra", "who", edge, "authentication: {forbid: [Public]}"))).toEqual(hit("roles"));
    expect(await all(wider, floor("infra", "who", edge, issuers, "precedence: Default"))).toEqual(hit("roles"));
  });
  test("are judged by what is in force: a Gateway's issuers stand above a route's floor, a route's below its Gateway's", async () => {
    const near = floor("shop", "near", orders, roles);
    expect(await all(inForce, near)).toEqual(hit("roles", "shop/near"));
    expect(await all(inForce, near, floor("infra", "who", edge, issuers))).toEqual([]);
    expect(await all(inForce, near, floor("infra", "who", listener, issuers))).toEqual([]);
    const far = floor("infra", "floor", edge, roles);
    expect(await all(inForce, far, floor("shop", "who", orders, issuers))).toEqual(hit("roles"));
    expect(await all(inForce, far, floor("infra", "who", listener, issuers))).toEqual(hit("roles"));
  });
});
