/** `gatewarden run` with the real Envoy: a folder in, requests through, an edit, and a clean end. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, get, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { freePorts } from "../../e2e/cluster/port.ts";
import { ensureEnvoy } from "../../e2e/envoy/binary.ts";

const BIN = path.join(import.meta.dirname, "..", "bin", "gatewarden.js");
const LIMIT_MS = 60_000;

const manifests = (port: number, upstream: number, authentication: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec: {gatewayClassName: gatewarden, addresses: [{type: IPAddress, value: 127.0.0.1}], listeners: [{name: http, port: ${port}, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders}
spec: {parentRefs: [{name: web}], hostnames: [orders.test], rules: [{backendRefs: [{name: echo, port: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: echo, labels: {kubernetes.io/service-name: echo}}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1]}]
ports: [{port: ${upstream}}]
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: orders}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders}]
  authentication: ${authentication}
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: logs}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: web}]
  logging: {sinks: [{name: f, type: File, file: {name: calls.jsonl}}]}
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiConsumer
metadata: {name: erp}
spec: {type: Application, apiKeys: [{name: k1, secretRef: {name: erp, key: api-key}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: erp}
stringData: {api-key: run-key-0001}
`;

let folder: string;
let upstream: Server;
let port: number;
let running: ChildProcess;
let said = "";

const request = (key: string): Promise<number> =>
  new Promise((resolve) => {
    get(
      { host: "127.0.0.1", port, path: "/", headers: { host: "orders.test", "x-api-key": key }, agent: false },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    ).on("error", () => resolve(0));
  });
const until = async (what: string, condition: () => Promise<boolean>): Promise<void> => {
  const end = Date.now() + LIMIT_MS;
  while (!(await condition())) {
    if (Date.now() > end || running.exitCode !== null) throw new Error(`waited for ${what}:\n${said}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};
const write = (authentication: string): void =>
  writeFileSync(
    path.join(folder, "all.yaml"),
    manifests(port, (upstream.address() as AddressInfo).port, authentication),
  );

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
  upstream = createServer((_request, response) => response.end("hello"));
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  [port = 0] = await freePorts(1, "127.0.0.1");
  write("{mode: Required, apiKey: {from: {headers: [x-api-key]}}}");
  const envoy = await ensureEnvoy(() => undefined);
  const flags = ["--conditions=source", "--disable-warning=ExperimentalWarning", BIN, "run", folder, "--envoy", envoy];
  running = spawn(process.execPath, flags, { stdio: ["ignore", "ignore", "pipe"], env: { PATH: process.env["PATH"] } });
  running.stderr?.on("data", (data) => (said += String(data)));
}, LIMIT_MS);

afterAll(async () => {
  if (running.exitCode === null) {
    // Not killed: it would leave its Envoy behind.
    const ended = new Promise((resolve) => running.once("exit", resolve));
    running.kill("SIGTERM");
    await ended;
  }
  await new Promise((resolve) => upstream.close(resolve));
  rmSync(folder, { recursive: true });
});

test(
  "a folder is enforced, an edit of it too, and nothing is left at the end",
  async () => {
    await until("the key to be let in", async () => (await request("run-key-0001")) === 200);
    expect(await request("wrong")).toBe(401);
    await until("a status", () => Promise.resolve(said.includes("ApiPolicy default/orders Ready=True Programmed")));
    expect(said).not.toContain("run-key-0001");
    await until("a status of the sink", () => Promise.resolve(said.includes("ApiPolicy default/logs Ready=True")));
    expect(existsSync(path.join(folder, "logs", "calls.jsonl"))).toBe(true);

    write("{mode: Public, reason: test}");
    await until("the edit", async () => (await request("wrong")) === 200);
    writeFileSync(path.join(folder, "broken.yaml"), "a: [");
    await until("the complaint", () => Promise.resolve(said.includes("what was good before stays in force")));
    expect(await request("wrong")).toBe(200);

    const envoy = Number(/envoy of default\/web started, process (\d+)/.exec(said)?.[1]);
    const ended = new Promise((resolve) => running.once("exit", resolve));
    running.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(() => process.kill(envoy, 0)).toThrow();
  },
  LIMIT_MS * 2,
);
