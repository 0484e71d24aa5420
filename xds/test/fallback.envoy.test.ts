/** A proxy that starts while its server is away gets its first configuration from one that stands in, and nothing after that. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { eventually } from "../../e2e/cluster/condition.ts";
import { type Authority, createAuthority } from "../../e2e/cluster/pki.ts";
import { freePorts } from "../../e2e/cluster/port.ts";
import { type EnvoyProcess, startEnvoy } from "../../e2e/envoy/process.ts";
import { bootstrap } from "../src/bootstrap.ts";
import { decodeSnapshot } from "../src/snapshot.ts";
import type { ResourceChange } from "../src/types.ts";
import { cluster, endpoint, GATEWAY, SERVER_NAME, startServer, type TestServer } from "./test-server.ts";

describe("a server that stands in", () => {
  let folder: string;
  let authority: Authority;
  let firstPort: number;
  let secondPort: number;
  const servers: TestServer[] = [];
  let envoy: EnvoyProcess | undefined;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "gatewarden-fallback-"));
    authority = createAuthority("test");
    [firstPort = 0, secondPort = 0] = await freePorts(2, "127.0.0.1");
    writeFileSync(join(folder, "token"), "good");
    writeFileSync(join(folder, "ca.crt"), authority.certificate);
  });
  afterEach(async () => {
    await envoy?.stop();
    envoy = undefined;
    for (const server of servers.splice(0)) await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const start = async (
    port: number,
    changes: readonly ResourceChange[] = [],
    snapshot?: Buffer,
  ): Promise<TestServer> => {
    const firstConfigurationOnly = port === secondPort;
    const seeds = snapshot === undefined || firstConfigurationOnly ? [] : [[GATEWAY, snapshot] as const];
    const server = await startServer({ authority, port, changes, firstConfigurationOnly, hasStandIn: true, seeds });
    servers.push(server);
    return server;
  };
  const stop = async (server: TestServer): Promise<void> => {
    servers.splice(servers.indexOf(server), 1);
    await server.stop();
  };
  const resources = (): readonly ResourceChange[] => [cluster("one"), endpoint("one")];
  const proxy = (wait: "ready" | "started" = "ready"): Promise<EnvoyProcess> =>
    startEnvoy({
      bootstrap: bootstrap({
        gateway: GATEWAY,
        address: `127.0.0.1:${String(firstPort)}`,
        fallbackAddress: `127.0.0.1:${String(secondPort)}`,
        tokenFile: join(folder, "token"),
        caFile: join(folder, "ca.crt"),
        serverName: SERVER_NAME,
      }),
      wait,
    });
  /** What the first server would give, as it keeps it. */
  const kept = async (more: readonly ResourceChange[] = []): Promise<Buffer> => {
    const server = await start(firstPort, [...resources(), ...more]);
    const snapshot = await server.server.snapshot(GATEWAY);
    await stop(server);
    if (snapshot === undefined) throw new Error("nothing was kept");
    return snapshot;
  };
  const versions = async (): Promise<unknown> => {
    const dump = JSON.stringify(await envoy?.admin.configDump());
    return /"version_info":"([^"]+)","cluster":\{"@type":"[^"]+","name":"one"/.exec(dump)?.[1];
  };

  it("starts a proxy, which goes to the first server when that is back whose resources are no news", async () => {
    const snapshot = await kept();
    const second = await start(secondPort);
    second.server.serve(GATEWAY, snapshot);
    envoy = await proxy();
    expect(await envoy.admin.stat("cluster_manager.active_clusters")).toBe(2);
    const version = await versions();
    expect(version).toMatch(/./);
    await eventually("sent away", () => (second.counts["streams"] ?? 0) === 0);
    const first = await start(firstPort, resources());
    await eventually("with the first", () => first.server.proxies(GATEWAY).complete === 1, { limitMs: 30_000 });
    // Envoy does not say what it has when it changes servers, and finds that it has it all.
    expect(await versions()).toBe(version);
    expect(await envoy.admin.stat("cluster_manager.cluster_modified")).toBe(0);
  });

  it("loses what went meanwhile, although it does not say that it has it", async () => {
    const snapshot = await kept([cluster("two"), endpoint("two")]);
    const second = await start(secondPort);
    second.server.serve(GATEWAY, snapshot);
    envoy = await proxy();
    const has = async (name: string): Promise<boolean> =>
      JSON.stringify(await envoy?.admin.configDump()).includes(`"name":"${name}"`);
    expect([await has("one"), await has("two")]).toEqual([true, true]);
    const first = await start(firstPort, resources(), snapshot);
    await eventually("with the first", () => first.server.proxies(GATEWAY).complete === 1, { limitMs: 30_000 });
    await eventually("without what is gone", async () => !(await has("two")));
    expect(await has("one")).toBe(true);
  });

  it("serves no proxy that has a configuration", async () => {
    const snapshot = await kept();
    const first = await start(firstPort, resources());
    envoy = await proxy();
    const second = await start(secondPort);
    second.server.serve(GATEWAY, snapshot);
    await stop(first);
    const stat = (name: string): Promise<number> => envoy?.admin.stat(name) ?? Promise.resolve(0);
    await eventually("it looked for a server again", async () => (await stat("grpc.gatewarden-xds.streams_total")) > 3);
    expect([second.counts["resources"] ?? 0, second.server.proxies(GATEWAY).complete]).toEqual([0, 0]);
    expect(await stat("cluster_manager.active_clusters")).toBe(2);
    const client = second.connect();
    client.subscribe("cluster", [], { one: "an older version" });
    expect(await client.ended()).toMatchObject({ code: 14 }); // UNAVAILABLE
  });

  it("serves what changed since, and nothing of a gateway that is gone", async () => {
    const snapshot = await kept();
    const second = await start(secondPort);
    second.server.serve(GATEWAY, snapshot);
    second.server.serve(GATEWAY, undefined);
    expect(second.server.gateways()).toEqual([]);
    second.server.serve(GATEWAY, snapshot);
    expect(second.server.keys(GATEWAY)).toEqual([
      { type: "cluster", name: "one" },
      { type: "endpoint", name: "one" },
    ]);
    expect(() => second.server.serve(GATEWAY, Buffer.from("something else"))).toThrow(/not a snapshot/);
    expect(() => decodeSnapshot(snapshot.subarray(0, snapshot.length - 3))).toThrow();
  });
});
