/** Two replicas of the operator: both serve proxies, one writes, a status speaks for the proxies of both, and neither's end is noticed. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { kill } from "node:process";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { eventually } from "../cluster/condition.ts";
import type { EnvoyProcess } from "../envoy/process.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import { type OperatorHandle, startOperator } from "../harness/operator.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { API_KEY, apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { startTraffic, type Traffic } from "./robust-observed.ts";
import { httpRoute, rule, untilAnswered } from "./routes-manifest.ts";

/** Rules R27: a new writer within this time. */
const TAKEOVER_LIMIT_MS = 15_000;
const LIMIT_MS = 120_000;

describe("two replicas", () => {
  let harness: Harness;
  let second: OperatorHandle;
  let shop: Tenant;
  let edge: GatewayHandle;
  let far: EnvoyProcess;
  beforeAll(async () => {
    harness = await startHarness();
    const directory = join(harness.directory, "second");
    mkdirSync(directory);
    second = await startOperator(harness.cluster, { directory, flags: ["--log-dir", harness.logDirectory] });
    harness.atEnd(() => second.stop());
    shop = await harness.tenant("replicas");
    await shop.upstream("orders");
    edge = await shop.gateway();
    for (const name of ["a", "edited"]) {
      await shop.apply(httpRoute(name, { hostnames: [`${name}.test`], rules: [rule("orders")] }));
      await shop.apply(apiPolicy(name, { kind: "HTTPRoute", name }, OPEN_TO_ALL));
      await untilAnswered(edge.target(), { host: `${name}.test` }, "orders");
    }
    far = await edge.addProxy({ xdsAddress: second.xdsAddress });
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  let traffic: Traffic | undefined;
  const send = async (): Promise<void> => {
    traffic = await startTraffic(harness, edge.target(), [{ host: "a.test" }]);
  };
  const unnoticed = async (): Promise<void> => {
    const seen = await traffic?.stop();
    traffic = undefined;
    expect(seen?.failures).toEqual([]);
    expect(seen?.sent).toBeGreaterThan(100);
  };
  afterEach(async () => {
    await traffic?.stop();
    traffic = undefined;
  });
  const edit = (sections: object) => shop.apply(apiPolicy("edited", { kind: "HTTPRoute", name: "edited" }, sections));
  const both = async (name: string): Promise<readonly number[]> =>
    Promise.all([harness.operator.metric(name), second.metric(name)]);
  const streams = (envoy: EnvoyProcess): Promise<number> => envoy.admin.stat("grpc.gatewarden-xds.streams_total");
  const selfCount = async (envoy: EnvoyProcess): Promise<number> => {
    const dump = JSON.stringify(await envoy.admin.configDump("include_eds"));
    return new Set(dump.match(/192\.0\.2\.\d+/g)).size;
  };

  it("one writes, both serve, and each proxy is told how many there are in all", async () => {
    await eventually("a stream between them", async () => (await both("gatewarden_replica_links")).join() === "1,1");
    expect(await both("gatewarden_leads")).toEqual([1, 0]);
    expect(await second.metric("gatewarden_status_writes_total")).toBe(0);
    expect(await both("gatewarden_xds_streams")).toEqual([1, 1]);
    await shop.waitFor("Gateway", "edge", "Programmed", {
      status: "True",
      message: /^2 proxies have acknowledged everything/,
    });
    for (const envoy of [edge.envoy, far]) await eventually("two in all", async () => (await selfCount(envoy)) === 2);
  });

  it("a status waits for a proxy that is connected to the other replica", async () => {
    kill(far.pid, "SIGSTOP");
    try {
      await edit(API_KEY);
      await shop.waitFor("ApiPolicy", "edited", "Programmed", {
        status: "False",
        reason: "Reconciling",
        message: /^1\/2 proxies/,
      });
    } finally {
      kill(far.pid, "SIGCONT");
    }
    await shop.waitFor("ApiPolicy", "edited", "Programmed");
    await edit(OPEN_TO_ALL);
    await shop.waitFor("ApiPolicy", "edited", "Programmed");
  });

  it(
    "a writer that stands still is followed within 15 s, and writes no more when it goes on",
    async () => {
      const writesBefore = await harness.operator.metric("gatewarden_status_writes_total");
      const pid = harness.operator.pid();
      const began = Date.now();
      kill(pid, "SIGSTOP");
      try {
        await edit(API_KEY);
        await eventually(
          "a new writer's status",
          async () => {
            const policy = await shop.get("ApiPolicy", "edited");
            const { observedGeneration } = (policy?.status ?? {}) as { readonly observedGeneration?: number };
            return observedGeneration === policy?.metadata.generation;
          },
          { limitMs: TAKEOVER_LIMIT_MS },
        );
        expect(Date.now() - began).toBeLessThan(TAKEOVER_LIMIT_MS);
      } finally {
        kill(pid, "SIGCONT");
      }
      await eventually("one leads", async () => (await both("gatewarden_leads")).join() === "0,1");
      // It reports to the new one now, and everything is said of both proxies again.
      await shop.waitFor("ApiPolicy", "edited", "Ready");
      await edit(OPEN_TO_ALL);
      await shop.waitFor("ApiPolicy", "edited", "Ready");
      await shop.waitFor("Gateway", "edge", "Programmed", { status: "True", message: /^2 proxies/ });
      expect(await harness.operator.metric("gatewarden_status_writes_total")).toBe(writesBefore);
    },
    LIMIT_MS,
  );

  it(
    "the writer is killed: streams to the other replica stay, no request fails, and another writes",
    async () => {
      const open = await streams(edge.envoy);
      await send();
      await second.stop(0);
      await edit(API_KEY);
      await shop.waitFor("ApiPolicy", "edited", "Programmed", undefined, TAKEOVER_LIMIT_MS);
      expect(await streams(edge.envoy)).toBe(open);
      await second.start();
      await eventually("its proxy is back", async () => (await far.admin.stat("control_plane.connected_state")) === 1);
      await edit(OPEN_TO_ALL);
      await shop.waitFor("ApiPolicy", "edited", "Ready");
      await shop.waitFor("Gateway", "edge", "Programmed", { status: "True", message: /^2 proxies/ });
      await unnoticed();
    },
    LIMIT_MS,
  );

  it(
    "all are killed under load: no request fails",
    async () => {
      await send();
      await Promise.all([harness.operator.stop(0), second.stop(0)]);
      for (const envoy of [edge.envoy, far])
        await eventually("noticed", async () => (await envoy.admin.stat("control_plane.connected_state")) === 0);
      await Promise.all([harness.operator.start(), second.start()]);
      await edit(API_KEY);
      await shop.waitFor("ApiPolicy", "edited", "Ready");
      await unnoticed();
    },
    LIMIT_MS,
  );
});
