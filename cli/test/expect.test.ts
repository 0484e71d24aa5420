import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { testCommand } from "../src/commands/test.ts";
import { WORLD } from "./world.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
  mkdirSync(path.join(folder, "manifests"));
  writeFileSync(path.join(folder, "manifests", "all.yaml"), WORLD);
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Exit status and what was printed. */
async function run(
  expectations: string,
  ...flags: readonly string[]
): Promise<{ status: number; out: string; err: string }> {
  writeFileSync(path.join(folder, "orders.expect.yaml"), expectations);
  let out = "";
  let err = "";
  const stdout = jest.spyOn(process.stdout, "write").mockImplementation((text) => ((out += String(text)), true));
  const stderr = jest.spyOn(process.stderr, "write").mockImplementation((text) => ((err += String(text)), true));
  try {
    return { status: await testCommand([folder, ...flags]), out, err };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
}

const one = (request: string, expected: string): string =>
  `manifests: [manifests]\nexpectations:\n- name: a call\n  request: {url: "http://orders.test/orders"${request}}\n  expect: {${expected}}\n`;

test("the example of docs/test.md is as expected", async () => {
  const page = readFileSync(path.join(import.meta.dirname, "../../docs/test.md"), "utf8");
  const [, example = ""] = /^```yaml\n(.*?)^```$/ms.exec(page) ?? [];
  expect(await run(example)).toMatchObject({ status: 0, out: expect.stringContaining("2 as expected, 0 not") });
});

describe("a call", () => {
  test.each([
    [
      "with a consumer's key",
      ", as: consumer/shop/erp",
      "verdict: Allow, status: 200, route: shop/orders/0",
      0,
      "ok    a call",
    ],
    ["with a key in a header", ", headers: {x-api-key: key-of-erp-1}", "verdict: Allow", 0, "ok"],
    ["with a header that stands twice", ", headers: {x-api-key: [wrong, key-of-erp-1]}", "verdict: Deny", 0, "ok"],
    [
      "without a key",
      "",
      "verdict: Deny, status: 401, code: GW-AUTHN-001, policy: shop/orders#authentication",
      0,
      "ok",
    ],
    ["after the key has ended", ', as: consumer/shop/erp, at: "2031-01-01T00:00:00Z"', "verdict: Deny", 0, "ok"],
    ["that was expected to pass", "", "verdict: Allow", 1, "verdict is Deny, expected Allow (authentication: "],
    [
      "that was expected at another policy",
      "",
      "policy: shop/other#authentication",
      1,
      "policy is shop/orders#authentication, expected shop/other",
    ],
    ["of somebody who is nobody", ", as: erp", "verdict: Allow", 1, "request.as erp: expected consumer/NAMESPACE/NAME"],
  ])("%s", async (_what, request, expected, status, text) => {
    const result = await run(one(request, expected));
    expect(result).toMatchObject({ status, err: "" });
    expect(result.out).toContain(text);
  });
});

describe("a file that cannot be read", () => {
  test.each([
    [
      "an unknown field, at its line",
      "expectations:\n- name: a\n  request: {url: x}\n  expct: {verdict: Allow}\n",
      "orders.expect.yaml:4: unknown field expectations[0].expct",
    ],
    [
      "nothing expected",
      "expectations:\n- name: a\n  request: {url: x}\n  expect: {}\n",
      "orders.expect.yaml:4: expectations[0].expect expects nothing (write verdict",
    ],
    ["broken YAML", "expectations: [", "orders.expect.yaml:1: "],
    [
      "manifests that are not there",
      "manifests: [none]\nexpectations:\n- name: a\n  request: {url: x}\n  expect: {verdict: Allow}\n",
      "ENOENT",
    ],
  ])("%s", async (_what, text, message) => {
    const result = await run(text);
    expect(result.status).toBe(2);
    expect(result.err).toContain(message);
  });

  test("a folder without expectations is no success", async () => {
    let err = "";
    const stderr = jest.spyOn(process.stderr, "write").mockImplementation((text) => ((err += String(text)), true));
    expect(await testCommand([path.join(folder, "manifests")])).toBe(2);
    stderr.mockRestore();
    expect(err).toContain("no file named *.expect.yaml");
  });
});

test("JUnit has a case for each, with file and line", async () => {
  const { out } = await run(one("", "verdict: Allow"), "-o", "junit");
  expect(out).toContain('tests="1" failures="1"');
  expect(out).toContain('orders.expect.yaml" line="3"');
});
