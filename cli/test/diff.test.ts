import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { compare, type Difference, type World } from "../src/diff/compare.ts";
import { openObjects } from "../src/offline/inspect.ts";
import { readManifests } from "../src/offline/manifests.ts";
import { WORLD } from "./world.ts";

const NOW = Date.parse("2026-11-25T00:00:00Z");
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function world(text: string): Promise<World> {
  const file = path.join(folder, "all.yaml");
  writeFileSync(file, text);
  const read = await readManifests([file]);
  if (!read.ok) throw new Error(read.message);
  const manifests = read.value.objects;
  return { manifests, open: openObjects(manifests, { requirePolicy: true, nowMs: NOW }).open };
}

async function difference(before: string, after: string): Promise<Difference> {
  return compare(await world(before), await world(after), NOW);
}

const told = ({ changes }: Difference): readonly string[] => [
  ...new Set(changes.map(({ change, who, method }) => `${change} ${who} ${method}`)),
];

const KEY = "authentication: {apiKey: {from: {headers: [x-api-key]}}}";
const withSpec = (spec: string): string => WORLD.replace(KEY, spec);

test("the same world is no difference, and something was asked", async () => {
  const same = await difference(WORLD, WORLD);
  expect(same.changes).toEqual([]);
  expect(same.asked).toBeGreaterThanOrEqual(6); // two methods for nobody and two consumers
});

test("a policy that goes refuses those who had a key", async () => {
  const [before, after] = [WORLD, WORLD.replace("name: orders}]\n  auth", "name: other}]\n  auth")];
  expect(told(await difference(before, after)).toSorted()).toEqual([
    "Differs nobody GET", // refused before, and now for want of a policy
    "Differs nobody POST",
    "Loses consumer/shop/crm GET",
    "Loses consumer/shop/crm POST",
    "Loses consumer/shop/erp GET",
    "Loses consumer/shop/erp POST",
  ]);
});

test("Public lets everybody in", async () => {
  const opened = await difference(WORLD, withSpec("authentication: {mode: Public, reason: test}"));
  expect(told(opened).toSorted()).toEqual(["Gains nobody GET", "Gains nobody POST"]);
});

test("a selector takes access from the one that it leaves out", async () => {
  const selected = withSpec(
    "authentication: {apiKey: {from: {headers: [x-api-key]}, consumerSelector: {matchLabels: {tier: partner}}}}",
  );
  expect(told(await difference(WORLD, selected)).toSorted()).toEqual([
    "Loses consumer/shop/crm GET",
    "Loses consumer/shop/crm POST",
  ]);
});

test("an address on a denylist loses, from there only", async () => {
  const listed = withSpec(`${KEY}\n  denylist: {entries: [{cidr: 203.0.113.7/32}]}`);
  const { changes } = await difference(WORLD, listed);
  expect([...new Set(changes.filter(({ change }) => change === "Loses").map(({ from }) => from))]).toEqual([
    "203.0.113.7",
  ]);
});

test("a rule about paths is asked at its paths and methods", async () => {
  const ruled = withSpec(
    `${KEY}\n  authorization: {rules: [{name: r, action: Deny, methods: [DELETE], paths: ["/orders/{id}"]}], defaultAction: Allow}`,
  );
  const { changes } = await difference(WORLD, ruled);
  expect(
    changes.filter(({ change }) => change === "Loses").map(({ who, method, url }) => `${who} ${method} ${url}`),
  ).toEqual([
    "consumer/shop/crm DELETE http://orders.test:80/orders/x",
    "consumer/shop/erp DELETE http://orders.test:80/orders/x",
  ]);
});
