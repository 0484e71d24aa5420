import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { simulate } from "@gatewarden/core/simulate/simulate.ts";
import { openObjects } from "../src/offline/inspect.ts";
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
