/**
 * How long `gatewarden simulate` takes as a user starts it, on files of N manifests, beside Node alone: `npm run build`, then `node
 * --conditions=source bench/src/command.ts [N,N,…]`. Prints a table, asserts nothing.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "./statistics.ts";

const RUNS = 30;
const COMMAND = join(import.meta.dirname, "..", "..", "cli", "bin", "gatewarden.js");
const sizes = (process.argv[2] ?? "10,1000,10000").split(",").map(Number);

/** Half of them routes with a host of their own, each with a policy. */
function manifests(count: number): string {
  const gateway = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: gatewarden
  listeners: [{name: http, port: 80, protocol: HTTP}]
`;
  const apis = Array.from({ length: Math.floor(count / 2) }, (_, at) => {
    const name = `api-${String(at)}`;
    return `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: ${name}
  namespace: shop
spec:
  parentRefs:
  - name: edge
  hostnames:
  - ${name}.test
  rules:
  - matches:
    - path:
        type: PathPrefix
        value: /orders
    backendRefs:
    - name: orders
      port: 80
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata:
  name: ${name}
  namespace: shop
spec:
  targetRefs:
  - group: gateway.networking.k8s.io
    kind: HTTPRoute
    name: ${name}
  authentication:
    apiKey:
      from:
        headers: [x-api-key]
  rateLimit:
    limits:
    - name: each-app
      requests: 100
      per: 1m
      by:
      - type: ClientIP
`;
  });
  return [gateway, ...apis].join("---\n");
}

function milliseconds(args: readonly string[]): number {
  const before = performance.now();
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return performance.now() - before;
}

function row(what: string, args: readonly string[]): string {
  milliseconds(args); // fills the compile cache
  const times = Array.from({ length: RUNS }, () => milliseconds(args));
  return `| ${what} | ${median(times).toFixed(0)} | ${Math.min(...times).toFixed(0)} | ${Math.max(...times).toFixed(0)} |`;
}

const folder = mkdtempSync(join(tmpdir(), "gatewarden-command-"));
try {
  const asked = (count: number, command: string): readonly string[] => {
    const file = join(folder, `${String(count)}.yaml`);
    writeFileSync(file, manifests(count));
    return [COMMAND, command, "GET", "http://api-1.test/orders", "-f", file, "--from", "203.0.113.9"];
  };
  console.log(`${execFileSync("uptime", { encoding: "utf8" }).trim()}\n`);
  console.log("| command, ms | p50 | least | most |\n|---|---|---|---|");
  console.log(row("node, doing nothing", ["-e", "0"]));
  for (const count of sizes) console.log(row(`simulate, ${String(count)} manifests`, asked(count, "simulate")));
  for (const count of sizes) console.log(row(`explain, ${String(count)} manifests`, asked(count, "explain")));
} finally {
  rmSync(folder, { recursive: true });
}
