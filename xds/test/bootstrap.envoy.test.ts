import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { startProcess } from "../../e2e/cluster/child-process.ts";
import { eventually } from "../../e2e/cluster/condition.ts";
import { createAuthority } from "../../e2e/cluster/pki.ts";
import { freePorts } from "../../e2e/cluster/port.ts";
import { ensureEnvoy } from "../../e2e/envoy/binary.ts";
import { type EnvoyProcess, startEnvoy, validate } from "../../e2e/envoy/process.ts";
import { bootstrap, type BootstrapOptions } from "../src/bootstrap.ts";
import type { ResourceChange } from "../src/types.ts";
import { cluster, endpoint, GATEWAY, issueServer, SERVER_NAME, startServer, type TestServer } from "./test-server.ts";

let folder: string;
let test: TestServer | undefined;
let envoy: EnvoyProcess | undefined;
let stopProcess: (() => Promise<void>) | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gatewarden-bootstrap-"));
});
afterEach(async () => {
  await stopProcess?.();
  stopProcess = undefined;
  await envoy?.stop();
  await test?.stop();
  envoy = undefined;
  test = undefined;
  rmSync(folder, { recursive: true, force: true });
});

/** A token as the kubelet projects it: the file is a link through a folder that is replaced as a whole. */
function project(version: string, token: string): string {
  const data = join(folder, `..${version}`);
  mkdirSync(data);
  writeFileSync(join(data, "token"), token, { mode: 0o600 });
  symlinkSync(`..${version}`, join(folder, "..new"));
  renameSync(join(folder, "..new"), join(folder, "..data"));
  return join(folder, "token");
}

function optionsFor(server: Pick<TestServer, "authority" | "port">): BootstrapOptions {
  const caFile = join(folder, "ca.crt");
  writeFileSync(caFile, server.authority.certificate);
  const tokenFile = project("1", "good");
  symlinkSync("..data/token", tokenFile);
  return { gateway: GATEWAY, address: `127.0.0.1:${String(server.port)}`, tokenFile, caFile, serverName: SERVER_NAME };
}

describe("the bootstrap", () => {
  it("brings an Envoy to the server, which knows it by its token", async () => {
    test = await startServer();
    envoy = await startEnvoy({ bootstrap: bootstrap(optionsFor(test)) });
    const { server } = test;
    await eventually("the proxy counts", () => server.proxies(GATEWAY).complete === 1);
    expect(await envoy.admin.stat("control_plane.connected_state")).toBe(1);
    expect(envoy.log()).not.toMatch(/deprecated|unknown field/i);
  });

  it("answers /ready on every address once the whole configuration is there, and not before", async () => {
    test = await startServer();
    const [port = 0, readyPort = 0] = await freePorts(2, "127.0.0.1");
    const options = { ...optionsFor({ authority: test.authority, port }), readyPort };
    envoy = await startEnvoy({ bootstrap: bootstrap(options), wait: "started" });
    const ask = (path: string): Promise<number> =>
      fetch(`http://127.0.0.1:${String(readyPort)}${path}`).then(
        (answer) => answer.status,
        () => 0,
      );
    const trying = async (): Promise<boolean> =>
      ((await envoy?.admin.stat("grpc.gatewarden-xds.streams_total")) ?? 0) > 1;
    await eventually("it has tried to connect", trying);
    expect(await ask("/ready")).toBe(0);
    await test.server.listen(`127.0.0.1:${String(port)}`);
    await eventually("ready", async () => (await ask("/ready")) === 200);
    expect(await envoy.admin.stat("listener_manager.workers_started")).toBe(1);
    for (const path of ["/", "/ready/", "/stats", "//ready", "/ready/../stats/prometheus"])
      expect(await ask(path)).toBe(404);
  });

  it("sends the token that is on disk when a stream starts", async () => {
    const seen: string[] = [];
    let life = 2_000;
    test = await startServer({
      authenticate: (token) => {
        seen.push(token);
        return Promise.resolve({ ok: true, gateways: GATEWAY, expiresAtMs: Date.now() + life });
      },
    });
    envoy = await startEnvoy({ bootstrap: bootstrap(optionsFor(test)) });
    expect(seen).toEqual(["good"]);
    project("2", "better");
    await eventually("a stream with the new token", () => seen.includes("better"));
    life = 60_000;
    rmSync(join(folder, "token"));
    writeFileSync(join(folder, "half"), "best\n"); // as `kubectl create token` prints it
    renameSync(join(folder, "half"), join(folder, "token"));
    await eventually("a stream with the newest token", () => seen.at(-1) === "best");
  });

  it("does not trust a server whose certificate has another name", async () => {
    test = await startServer();
    const options = { ...optionsFor(test), serverName: "gatewarden.elsewhere.svc" };
    envoy = await startEnvoy({ bootstrap: bootstrap(options), wait: "started" });
    const { admin } = envoy;
    await eventually("failed streams", async () => (await admin.stat("grpc.gatewarden-xds.streams_closed_13")) > 1);
    expect(await admin.ready()).toBe(false);
    expect(test.counts["streams"]).toBeUndefined();
    expect(test.counts["denied UNAUTHENTICATED"]).toBeUndefined();
  });

  it("asks for the server by its name, wherever that is", async () => {
    const asked = new Set<string>();
    const authority = createAuthority("test");
    const { certificate: cert, privateKey: key } = issueServer(authority);
    const SNICallback = (name: string, done: (error: null) => void): void => {
      asked.add(name);
      done(null);
    };
    const listener = createServer({ cert, key, SNICallback, ALPNProtocols: ["h2"] }, (socket) => socket.destroy());
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    stopProcess = () => new Promise((resolve) => listener.close(() => resolve()));
    const { port } = listener.address() as AddressInfo;
    const options = { ...optionsFor({ authority, port }), address: `localhost:${String(port)}` };
    envoy = await startEnvoy({ bootstrap: bootstrap(options), wait: "started" });
    await eventually("a handshake", () => asked.size > 0);
    expect([...asked]).toEqual([SERVER_NAME]);
  });

  it("goes on where it was after the server was away", async () => {
    test = await startServer({ changes: [cluster("a"), endpoint("a")] });
    const { authority, port } = test;
    envoy = await startEnvoy({ bootstrap: bootstrap(optionsFor(test)) });
    await test.stop();
    const { admin } = envoy;
    await eventually("the stream is gone", async () => (await admin.stat("control_plane.connected_state")) === 0);
    test = await startServer({ authority, port, changes: [cluster("a"), endpoint("a"), cluster("b"), endpoint("b")] });
    const { server, counts } = test;
    await eventually("the proxy is back", () => server.proxies(GATEWAY).complete === 1);
    expect(await admin.stat("cluster_manager.cluster_added")).toBe(3); // gatewarden-self, a, b
    expect(counts["resources"]).toBe(2);
  });

  it("takes a first answer larger than what gRPC clients take by themselves", async () => {
    const padded = Array.from({ length: 300 }, (_, index): ResourceChange => {
      const { json, ...change } = cluster(`c${String(index)}`);
      return { ...change, json: { ...json, alt_stat_name: "x".repeat(20_000) } };
    });
    test = await startServer({ changes: padded });
    envoy = await startEnvoy({ bootstrap: bootstrap(optionsFor(test)) });
    const { server } = test;
    await eventually("the proxy counts", () => server.proxies(GATEWAY).complete === 1);
    expect(test.counts["bytes"]).toBeGreaterThan(5 * 1024 * 1024);
  });

  it("ends in order on SIGTERM while its stream is open", async () => {
    test = await startServer({ changes: [cluster("a"), endpoint("a")] });
    envoy = await startEnvoy({ bootstrap: bootstrap(optionsFor(test)) });
    const { server } = test;
    await eventually("the proxy counts", () => server.proxies(GATEWAY).complete === 1);
    const { pid, ending } = envoy;
    process.kill(pid, "SIGTERM");
    await eventually("Envoy has ended", () => ending() !== undefined);
    expect(ending()).toBe("exit status 0");
    expect(envoy.log()).not.toMatch(/Caught|Segmentation|\[critical\]/);
  });

  it("offers its administration interface to the machine only, and not all of it", async () => {
    test = await startServer();
    const [port = 0] = await freePorts(1);
    const options = { ...optionsFor(test), admin: `127.0.0.1:${String(port)}` };
    const { admin } = bootstrap(options);
    expect(await validate({ admin })).toEqual({ ok: true, message: "" });
    // The driver would put a socket of its own in place of `admin`.
    const file = join(folder, "envoy.json");
    writeFileSync(file, JSON.stringify(bootstrap(options)));
    const command = await ensureEnvoy(() => undefined);
    const args = ["--disable-hot-restart", "--concurrency", "1", "--config-path", file];
    const proxy = await startProcess({ name: "envoy", command, args, logFile: join(folder, "envoy.log") });
    stopProcess = () => proxy.stop(0);
    const status = async (path: string): Promise<number> =>
      (await fetch(`http://127.0.0.1:${String(port)}${path}`)).status;
    await eventually("Envoy is ready", async () => (await status("/ready")) === 200);
    expect(await status("/stats?filter=x")).toBe(200);
    for (const path of ["/quitquitquit", "/", "/memory", "/logging", "/readyx"])
      expect([path, await status(path)]).toEqual([path, 403]);
  });
});
