import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { simulate } from "@gatewarden/core/simulate/simulate.ts";
import { lint } from "../src/lint/lint.ts";
import { inspectObjects, openObjects } from "../src/offline/inspect.ts";
import { loadObjects } from "../src/source.ts";
import { WORLD } from "./world.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const NOW = Date.parse("2026-11-25T00:00:00Z");
const documents = WORLD.split("\n---\n");
const without = (...kinds: readonly string[]): string =>
  documents.filter((one) => !kinds.some((kind) => one.includes(`kind: ${kind}\n`))).join("\n---\n");

async function call(text: string, as?: string) {
  const file = path.join(folder, "all.yaml");
  writeFileSync(file, text);
  const loaded = await loadObjects({ files: [file] });
  if (!loaded.ok) throw new Error(loaded.message);
  const { open } = openObjects(loaded.value.objects, { requirePolicy: true, nowMs: NOW });
  const request = {
    method: "GET",
    scheme: "http",
    host: "orders.test",
    path: "/orders",
    headers: [],
    from: "192.0.2.1",
  } as const;
  const { verdict, status } = simulate(open, { ...request, atMs: NOW, ...(as === undefined ? {} : { as }) });
  return { verdict, status, notes: loaded.value.notes };
}

test("Services and credentials that files do not hold are taken to be there, and said", async () => {
  const policies = without("Service", "Secret", "EndpointSlice");
  const notes = expect.arrayContaining([
    "Service shop/orders is not given and taken to be there",
    "Secret shop/keys is not given and taken to be there",
  ]);
  expect(await call(policies, "shop/erp")).toEqual({ verdict: "Allow", status: 200, notes });
  expect(await call(policies)).toMatchObject({ verdict: "Deny", status: 401 });
});

test("where a namespace's Services are given, a missing one is a mistake", async () => {
  const other = `${without("Service")}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: other, namespace: shop}\nspec: {ports: [{port: 80}]}\n`;
  expect(await call(other, "shop/erp")).toMatchObject({ verdict: "Deny", status: 500 });
});

test("where a namespace's Secrets are given, a missing one is a mistake", async () => {
  const other = `${without("Secret")}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: other, namespace: shop}\nstringData: {a: b}\n`;
  expect(await call(other, "shop/erp")).toMatchObject({ verdict: "Deny", status: 401 });
});

const SECURE = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec:
  gatewayClassName: gatewarden
  listeners: [{name: https, hostname: orders.test, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: web-tls}]}}]
`;
const ORDERED = `
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: web, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: web}]
  transport: {certificate: {issuerRef: {kind: ClusterIssuer, name: letsencrypt}}}
`;
const CERTIFICATE = `
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: by-hand, namespace: shop}
spec: {secretName: web-tls, dnsNames: [orders.test], issuerRef: {name: letsencrypt}}
`;
const written = "Secret shop/web-tls is not given and taken to be there, written by cert-manager";

/** What lint says of the Gateway and its policies, and what was assumed. */
async function linted(...more: readonly string[]) {
  const file = path.join(folder, "secure.yaml");
  writeFileSync(file, [without("Gateway"), ...more].join("\n---\n"));
  const loaded = await loadObjects({ files: [file] });
  if (!loaded.ok) throw new Error(loaded.message);
  const found = lint(inspectObjects(loaded.value.objects, { requirePolicy: true, nowMs: NOW }));
  return {
    findings: found.filter(({ code }) => code === "GW-LINT-013").map(({ object, message }) => `${object} ${message}`),
    notes: loaded.value.notes.filter((note) => note.startsWith("Secret ")),
  };
}

const annotated = SECURE.replace("shop}", 'shop, annotations: {cert-manager.io/cluster-issuer: "letsencrypt"}}');

test.each([
  ["a policy asks cert-manager for", [SECURE, ORDERED]],
  ["a Certificate writes", [SECURE, CERTIFICATE]],
  ["the annotation of the Gateway makes cert-manager write", [annotated]],
])("the Secret that %s is taken to be there, also beside other Secrets", async (_, more) => {
  expect(await linted(...more)).toEqual({ findings: [], notes: [written] });
});

test("a Secret that nobody writes is missed, and one that is given is read", async () => {
  const missed = expect.stringContaining("Secret shop/web-tls: does not exist");
  expect(await linted(SECURE)).toEqual({ findings: [missed], notes: [] });
  expect(await linted(SECURE.replace("hostname: orders.test, ", ""), ORDERED)).toMatchObject({
    findings: expect.arrayContaining([missed]),
    notes: [],
  });
  const empty = `${CERTIFICATE}---\napiVersion: v1\nkind: Secret\nmetadata: {name: web-tls, namespace: shop}\n`;
  expect(await linted(SECURE, empty)).toEqual({
    findings: [expect.stringContaining("tls.crt or tls.key is empty")],
    notes: [],
  });
});

test("a certificate for calls to the service is taken to be issued", async () => {
  const mutual = `
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: mutual, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders}]
  mtls:
    backend: {mode: Mutual, certificate: {issuerRef: {kind: ClusterIssuer, name: ca}}}
`;
  expect(await call(`${WORLD}---${mutual}`, "shop/erp")).toEqual({
    verdict: "Allow",
    status: 200,
    notes: expect.arrayContaining([
      "Secret shop/mutual-backend-tls is not given and taken to be there, written by cert-manager",
    ]),
  });
});
