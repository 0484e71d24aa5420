/** Rules about what holds on a route, whoever wrote it: the same route under different policies. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { lint } from "../src/lint/lint.ts";
import { PENALTIES, scores } from "../src/lint/score.ts";
import type { LintWorld } from "../src/lint/rule.ts";
import { inspectObjects } from "../src/offline/inspect.ts";
import { readManifests } from "../src/offline/manifests.ts";

const NOW = Date.parse("2026-11-25T00:00:00Z");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const GATEWAY = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec:
  gatewayClassName: gatewarden
  listeners:
  - {name: http, port: 80, protocol: HTTP}
`;
const HTTPS_GATEWAY = GATEWAY.replace(
  "protocol: HTTP}",
  "protocol: HTTPS, hostname: orders.test, tls: {certificateRefs: [{name: tls}]}}",
);
const route = (filters = ""): string => `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders, namespace: shop}
spec:
  parentRefs: [{name: web}]
  hostnames: [orders.test]
  rules:
  - {${filters === "" ? "backendRefs: [{name: orders, port: 80}]" : filters}}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {ports: [{port: 80}]}
`;
const policy = (spec: string, target = "kind: HTTPRoute, name: orders", name = "p"): string => `---
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: ${name}, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, ${target}}]
  ${spec}
`;
const KEY = "authentication: {apiKey: {from: {headers: [x-api-key]}}}";
const LIMIT = "rateLimit: {limits: [{name: a, requests: 1, per: 1s}]}";

async function world(text: string): Promise<LintWorld> {
  const file = path.join(folder, "all.yaml");
  writeFileSync(file, text);
  const read = await readManifests([file]);
  if (!read.ok) throw new Error(read.message);
  return inspectObjects(read.value.objects, { requirePolicy: true, nowMs: NOW });
}

const ROUTE_CODES = ["GW-LINT-001", "GW-LINT-002", "GW-LINT-003", "GW-LINT-004", "GW-LINT-015"];
async function found(text: string): Promise<readonly string[]> {
  return lint(await world(text))
    .filter(({ code }) => ROUTE_CODES.includes(code))
    .map(({ code, severity, object, line }) => `${code} ${severity} ${object}:${line ?? 0}`);
}

const AT_ROUTE = "HTTPRoute/shop/orders:16";
const PLAIN = "GW-LINT-004 warning Gateway/shop/web:7";

describe("a route", () => {
  test.each([
    ["without a policy", "", [`GW-LINT-001 error ${AT_ROUTE}`, `GW-LINT-003 warning ${AT_ROUTE}`, PLAIN]],
    ["with a key and a limit", policy(`${KEY}\n  ${LIMIT}`), [PLAIN]],
    [
      "with a key that its Gateway asks for",
      policy(KEY, "kind: Gateway, name: web"),
      [`GW-LINT-003 warning ${AT_ROUTE}`, PLAIN],
    ],
    [
      "open on purpose",
      policy(`authentication: {mode: Public, reason: health}\n  ${LIMIT}`),
      [PLAIN, `GW-LINT-001 info ${AT_ROUTE}`],
    ],
    [
      "with addresses only",
      policy(
        `authentication: {mode: Public, reason: partners}\n  ${LIMIT}\n  allowlist: {entries: [{cidr: 10.0.0.0/8, note: HQ}]}`,
      ),
      [`GW-LINT-002 error ${AT_ROUTE}`, PLAIN, `GW-LINT-001 info ${AT_ROUTE}`],
    ],
    [
      "with audited limits",
      policy(KEY) + policy(`mode: Audit\n  ${LIMIT}`, "kind: HTTPRoute, name: orders", "q"),
      [`GW-LINT-003 warning ${AT_ROUTE}`, PLAIN, `GW-LINT-015 info ${AT_ROUTE}`],
    ],
  ])("%s", async (_what, policies, expected) => {
    expect(await found(GATEWAY + route() + policies)).toEqual(expected.toSorted(bySeverity));
  });

  test("that only redirects needs nothing, and makes no listener bad", async () => {
    expect(
      await found(GATEWAY + route("filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]")),
    ).toEqual([]);
  });

  test("behind TLS", async () => {
    expect(await found(HTTPS_GATEWAY + route() + policy(`${KEY}\n  ${LIMIT}`))).toEqual([]);
  });

  test("that answers 503 is reported as broken and not as unprotected", async () => {
    const text = GATEWAY + route() + policy("authentication: {mood: Public}");
    expect(await found(text)).toEqual([PLAIN]);
    expect(lint(await world(text)).map(({ code }) => code)).toContain("GW-LINT-013");
  });
});

/** As reports sort: severity, then code. */
function bySeverity(a: string, b: string): number {
  const order = ["error", "warning", "info"];
  const rank = (line: string): number => order.indexOf(line.split(" ")[1] ?? "");
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}

describe("the score", () => {
  const of = async (text: string): Promise<readonly (readonly [string, number])[]> => {
    const lintable = await world(text);
    return scores(lintable.apis, lint(lintable)).map(({ api, score }) => [api, score]);
  };

  test("is 100 less what was found, once per code", async () => {
    const text = GATEWAY + route();
    const expected = 100 - PENALTIES.error - 2 * PENALTIES.warning;
    expect(await of(text)).toEqual([["HTTPRoute/shop/orders", expected]]);
  });

  test("counts what the policies and consumers of an API show", async () => {
    const consumer = `---
apiVersion: gatewarden.io/v1alpha1
kind: ApiConsumer
metadata: {name: erp, namespace: shop}
spec: {apiKeys: [{name: k1, secretRef: {name: k, key: key}}]}
`;
    const sound = HTTPS_GATEWAY + route() + policy(`${KEY}\n  ${LIMIT}`);
    const [before] = await of(sound);
    const [after] = await of(sound + consumer);
    // The key never ends. That its Secret is missing costs nothing more: the listener's is missing too, and a code counts once.
    expect((before?.[1] ?? 0) - (after?.[1] ?? 0)).toBe(PENALTIES.warning);
  });

  test("is the same for the same input", async () => {
    const text = GATEWAY + route() + policy(KEY);
    expect(await of(text)).toEqual(await of(text));
  });
});
