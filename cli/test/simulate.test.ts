/** `simulate` and `explain` as a user starts them: exit statuses, both outputs, and the examples of their pages. */
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { askedRequest, type Flags } from "../src/asked.ts";

jest.setTimeout(60_000); // each test starts Node, which reads the sources

const REPOSITORY = path.join(import.meta.dirname, "..", "..");
const BIN = path.join(import.meta.dirname, "..", "bin", "gatewarden.js");
let folder = "";

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gatewarden-simulate-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function gatewarden(...args: readonly string[]): SpawnSyncReturns<string> {
  const flags = ["--conditions=source", "--disable-warning=ExperimentalWarning", BIN, ...args];
  return spawnSync(process.execPath, flags, {
    encoding: "utf8",
    cwd: folder,
    env: { PATH: process.env["PATH"] },
    timeout: 30_000,
  });
}

test.each<readonly [readonly string[], Partial<Flags>, string]>([
  [[], {}, "expected METHOD URL"],
  [["GET", "http://a.test/", "more"], {}, "expected METHOD URL"],
  [["GET", "shop.test/"], {}, "expected an absolute http or https URL"],
  [["GET", "http://a.test/"], { as: "erp" }, "expected consumer/NAMESPACE/NAME"],
  [["GET", "http://a.test/"], { header: ["x"] }, "expected 'NAME: VALUE'"],
  [["GET", "http://a.test/"], { from: "here" }, "expected an IP address"],
  [["GET", "http://a.test/"], { at: "tomorrow" }, "expected a time"],
  [["GET", "http://a.test/"], { san: ["x"] }, "expected URI:"],
  [["GET", "http://a.test/"], { gateway: "edge" }, "expected NAMESPACE/NAME"],
  [["GET", "http://a.test/"], { output: "xml" }, "expected table or json"],
])("%j with %j is refused", (positionals, flags, message) => {
  const asked = askedRequest(positionals, { output: "table", ...flags }, 0);
  expect(asked).toEqual({ ok: false, message: expect.stringContaining(message) });
});

test("flags become the request, in their order", () => {
  const flags = {
    as: "consumer/shop/erp",
    header: ["X-A: 1", "x-a=2"],
    from: "2001:db8::1",
    at: "2026-12-01T00:00:00Z",
    san: ["URI:spiffe://x"],
    output: "json",
  };
  expect(askedRequest(["GET", "https://a.test:8443/x?y"], flags, 0)).toEqual({
    ok: true,
    notes: [],
    request: {
      method: "GET",
      scheme: "https",
      host: "a.test",
      port: 8443,
      path: "/x?y",
      headers: [
        ["X-A", "1"],
        ["x-a", "2"],
      ],
      from: "2001:db8::1",
      as: "shop/erp",
      atMs: Date.parse("2026-12-01T00:00:00Z"),
      certificate: { uris: ["spiffe://x"], dns: [], emails: [] },
    },
  });
});

test.each<readonly [readonly string[], number, string]>([
  [["simulate"], 2, "expected METHOD URL"],
  [["explain", "GET", "http://a.test/", "-f", "/nonexistent"], 2, "ENOENT"],
  [["simulate", "GET", "http://a.test/", "--kubeconfig", "/nonexistent"], 3, "the cluster cannot be read"],
])("gatewarden %j ends with %i", (args, status, message) => {
  const result = gatewarden(...args);
  expect([result.status, result.stderr]).toEqual([status, expect.stringContaining(message)]);
});

describe.each(["simulate", "explain"])("docs/%s.md", (page) => {
  const text = readFileSync(path.join(REPOSITORY, "docs", `${page}.md`), "utf8");
  const [, manifests = ""] = /^```yaml\n(.*?)^```$/ms.exec(text) ?? [];
  const runs = [...text.matchAll(/^```console\n\$ gatewarden (.*?)\n(.*?)^```$/gms)].map(
    ([, command = "", output = ""]) => [command, output] as const,
  );

  beforeAll(() => writeFileSync(path.join(folder, "orders.yaml"), manifests));

  test("has examples", () => {
    expect(manifests).not.toBe("");
    expect(runs.length).toBeGreaterThan(1);
  });

  test.each(runs)("gatewarden %s prints what the page says", (command, output) => {
    const args = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? "");
    const result = gatewarden(...args);
    expect(result.stderr).toBe("");
    expect(result.status).toBe(0);
    expect(result.stdout).toBe(output);
  });
});

test("the JSON is as it is promised, and holds no secret", () => {
  writeFileSync(
    path.join(folder, "orders.yaml"),
    /^```yaml\n(.*?)^```$/ms.exec(readFileSync(path.join(REPOSITORY, "docs", "simulate.md"), "utf8"))?.[1] ?? "",
  );
  const request = [
    "GET",
    "http://orders.test/orders",
    "-f",
    "orders.yaml",
    "-o",
    "json",
    "--header",
    "x-api-key: example-key",
  ];
  const simulated = gatewarden("simulate", ...request);
  expect(JSON.parse(simulated.stdout)).toMatchObject({
    verdict: "Allow",
    status: 200,
    code: "",
    policy: "",
    route: "shop/orders/read",
    stages: expect.arrayContaining([
      expect.objectContaining({
        section: "authentication",
        result: "Pass",
        policy: "shop/orders",
        file: "orders.yaml",
        line: expect.any(Number),
      }),
    ]),
  });
  const explained = gatewarden("explain", ...request);
  expect(JSON.parse(explained.stdout)).toMatchObject({
    gateway: "shop/edge/http",
    route: "shop/orders/read",
    sections: expect.arrayContaining([
      expect.objectContaining({ section: "authentication", from: "shop/orders", level: "Route", how: "own" }),
      expect.objectContaining({ section: "denylist", from: "shop/platform", level: "Gateway", how: "enforced" }),
    ]),
  });
  expect(simulated.stdout + explained.stdout).not.toContain("example-key");
});
