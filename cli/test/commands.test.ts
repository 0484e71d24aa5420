/** The commands as a user starts them: processes, exit statuses, and what is printed. */
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { WORLD } from "./world.ts";

jest.setTimeout(60_000); // each test starts Node, which reads the sources

const BIN = path.join(import.meta.dirname, "..", "bin", "gatewarden.js");

function gatewarden(...args: readonly string[]): SpawnSyncReturns<string> {
  const flags = ["--conditions=source", "--disable-warning=ExperimentalWarning", BIN, ...args];
  return spawnSync(process.execPath, flags, { encoding: "utf8", env: { PATH: process.env["PATH"] }, timeout: 30_000 });
}

test.each([
  [["--help"], 0, "stdout", "gatewarden COMMAND"],
  [[], 2, "stderr", "gatewarden COMMAND"],
  [["fly"], 2, "stderr", "no command fly"],
  [["operator", "--help"], 0, "stdout", "--xds-address"],
  [["operator", "--xds-address", "x"], 2, "stderr", "--xds-address x: expected HOST:PORT"],
  [["operator", "--kubeconfig", "/nonexistent"], 2, "stderr", "ENOENT"],
  [["operator"], 2, "stderr", "no --kubeconfig"],
  [["bootstrap"], 2, "stderr", "are needed"],
  [
    ["bootstrap", "--gateway", "web", "--xds-address", "h:1", "--token-file", "t", "--ca-file", "c"],
    2,
    "stderr",
    "NAMESPACE/NAME",
  ],
  [
    ["bootstrap", "--gateway", "a/b", "--xds-address", ":1", "--token-file", "t", "--ca-file", "c"],
    2,
    "stderr",
    "expected HOST:PORT",
  ],
  [["translate"], 2, "stderr", "no -f"],
  [["translate", "-f", "/nonexistent"], 2, "stderr", "ENOENT"],
  [["translate", "-f", "/tmp", "-o", "xml"], 2, "stderr", "expected yaml or json"],
  [["lint", "--help"], 0, "stdout", "--severity"],
  [["lint", "-f", "/tmp", "-o", "xml"], 2, "stderr", "expected table, json, sarif, junit"],
  [["lint", "-f", "/tmp", "--severity", "bad"], 2, "stderr", "expected error, warning, info"],
  [["lint", "-f", "/nonexistent"], 2, "stderr", "ENOENT"],
  [["lint", "--kubeconfig", "/nonexistent"], 3, "stderr", "the cluster cannot be read"],
  [["score", "-f", "/tmp", "--min", "x"], 2, "stderr", "expected a number from 0 to 100"],
  [["status", "-f", "/tmp", "-o", "xml"], 2, "stderr", "expected table or json"],
  [["status", "--kubeconfig", "/nonexistent"], 3, "stderr", "the cluster cannot be read"],
  [["run"], 2, "stderr", "expected one DIR"],
  [["run", "/nonexistent"], 2, "stderr", "is no folder"],
] as const)("gatewarden %j ends with %i", (args, status, stream, text) => {
  const result = gatewarden(...args);
  expect(result[stream]).toContain(text);
  expect(result.status).toBe(status);
});

test("gatewarden bootstrap prints what an Envoy can be started with", () => {
  const result = gatewarden(
    "bootstrap",
    "--gateway",
    "shop/web",
    "--xds-address",
    "10.0.0.5:18000",
    "--token-file",
    "/t",
    "--ca-file",
    "/c",
    "--namespace",
    "ops",
    "--node-id",
    "n1",
  );
  expect(result.status).toBe(0);
  expect(JSON.parse(result.stdout)).toMatchObject({ node: { id: "n1", cluster: "shop/web" } });
  expect(result.stdout).toContain("gatewarden.ops.svc");
});

describe("gatewarden translate", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
    writeFileSync(path.join(folder, "all.yaml"), WORLD);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  interface Page {
    readonly gateways: Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>>;
    readonly objects: readonly { readonly kind: string; readonly name: string }[];
  }

  test("prints what the proxies of a Gateway get, without values of Secrets", () => {
    const result = gatewarden("translate", "-f", folder, "-o", "json");
    expect(result.status).toBe(0);
    const page = JSON.parse(result.stdout) as Page;
    expect(Object.keys(page.gateways)).toEqual(["shop/web"]);
    expect(Object.keys(page.gateways["shop/web"] ?? {})).toEqual(
      expect.arrayContaining(["cluster", "endpoint", "listener", "scope"]),
    );
    expect(page.objects.map(({ kind, name }) => `${kind} ${name}`)).toEqual(
      expect.arrayContaining(["ApiPolicy orders", "Gateway web", "HTTPRoute orders"]),
    );
    expect(result.stdout).toContain("[redacted]");
    expect(result.stdout).not.toContain("key-of-erp-1");
    expect(gatewarden("translate", "-f", folder, "--show-secrets").stdout).toContain("key-of-erp-1");
  });

  test("prints the same bytes for the same files", () => {
    expect(gatewarden("translate", "-f", folder).stdout).toBe(gatewarden("translate", folder).stdout);
  });

  test("ends with 1 where an object is not accepted", () => {
    const file = path.join(folder, "all.yaml");
    writeFileSync(file, WORLD.replace("authentication:", "authentification:"));
    expect(gatewarden("translate", "-f", file).status).toBe(1);
    writeFileSync(file, WORLD);
  });
});

describe("commands that look", () => {
  let folder: string;
  let file: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
    file = path.join(folder, "all.yaml");
    writeFileSync(file, WORLD);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("lint ends with 1 and names file, line, code and mend", () => {
    const result = gatewarden("lint", "-f", file);
    expect(result.status).toBe(1);
    expect(result.stdout).toContain(`${file}:10: warning GW-LINT-003 HTTPRoute/shop/orders spec.rules[0]`);
    expect(result.stdout).toContain("mend: write rateLimit.limits");
    expect(result.stdout).not.toContain("key-of-erp-1");
  });

  test("lint ends with 0 where nothing is as severe as asked", () => {
    const result = gatewarden("lint", "-f", file, "--severity", "error");
    expect(result).toMatchObject({ status: 0, stdout: "no findings\n" });
  });

  test("score prints a number per API and ends with 1 below --min", () => {
    const result = gatewarden("score", "-f", file, "-o", "json", "--min", "100");
    expect(result.status).toBe(1);
    expect(JSON.parse(result.stdout)).toMatchObject([{ api: "HTTPRoute/shop/orders", score: expect.any(Number) }]);
    expect(gatewarden("score", "-f", file, "--min", "10").status).toBe(0);
  });

  test("status lists what is bad first, and ends with 1", () => {
    const broken = path.join(folder, "broken.yaml");
    writeFileSync(broken, WORLD.replace("authentication:", "authentification:"));
    const result = gatewarden("status", "-f", broken);
    expect(result.status).toBe(1);
    expect(result.stdout.split("\n")[1]).toMatch(
      /^ApiPolicy\/shop\/orders +Accepted=False +Invalid +unknown field spec\.authentification/,
    );
    expect(gatewarden("status", "-f", file)).toMatchObject({ status: 0 });
  });
});
