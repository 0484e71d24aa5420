import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { type Manifests, readManifests } from "../src/offline/manifests.ts";
import { stepsOf } from "../src/offline/position.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function read(text: string): Promise<Manifests["objects"]> {
  writeFileSync(path.join(folder, "a.yaml"), text);
  const result = await readManifests([folder]);
  if (!result.ok) throw new Error(result.message);
  return result.value.objects;
}

test("a field is found in the second document, and in the nearest field around it where it is not written", async () => {
  const objects = await read(`apiVersion: v1
kind: Service
metadata: {name: a}
---
apiVersion: v1
kind: Service
metadata:
  name: b
  labels:
    a.b/c: x
spec:
  ports:
  - port: 80
  -
    port: 81
`);
  const line = objects.get("Service/default/b")?.at?.line;
  expect(line?.("")).toBe(5);
  expect(line?.("spec.ports[1].port")).toBe(15);
  expect(line?.("spec.ports[0]")).toBe(13);
  expect(line?.('metadata.labels["a.b/c"]')).toBe(10);
  expect(line?.("spec.ports[1].name")).toBe(15);
  expect(line?.("spec.selector.app")).toBe(11);
  expect(objects.get("Service/default/a")?.at?.line("metadata")).toBe(3);
});

test("an item of a List has its own lines", async () => {
  const objects = await read(`apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: a}}
- apiVersion: v1
  kind: Service
  metadata: {name: b}
`);
  expect(objects.get("Service/default/b")?.at?.line("metadata.name")).toBe(7);
});

test("paths are read as problems write them", () => {
  expect(stepsOf('spec.a["b.\\"c"][12].d-e')).toEqual(["spec", "a", 'b."c', 12, "d-e"]);
});
