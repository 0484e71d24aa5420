/** No operator runs: a new proxy starts with what was kept, and follows the operator again once it is back. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import { type OperatorHandle, startOperator } from "../harness/operator.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { addConsumer, API_KEY, apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { httpRoute, rule, untilAnswered } from "./routes-manifest.ts";

const KEY = { "x-api-key": "k-fallback-1" };
const LIMIT_MS = 120_000;
/** Five seconds after a change, at most every 15 s. */
const KEPT_LIMIT_MS = 40_000;

describe("while no operator runs", () => {
  let harness: Harness;
  let fallback: OperatorHandle;
  let shop: Tenant;
  let edge: GatewayHandle;
  let late: Awaited<ReturnType<GatewayHandle["addProxy"]>>;
  beforeAll(async () => {
    harness = await startHarness();
    const directory = join(harness.directory, "fallback");
    mkdirSync(directory);
    fallback = await startOperator(harness.cluster, { directory, command: "fallback", account: "gatewarden-fallback" });
    harness.atEnd(() => fallback.stop());
    shop = await harness.tenant("fallback");
    await shop.upstream("orders");
    edge = await shop.gateway();
    await addConsumer(shop, "erp", "k-fallback-1");
    for (const name of ["open", "keyed", "gone"]) {
      await shop.apply(httpRoute(name, { hostnames: [`${name}.test`], rules: [rule("orders")] }));
      await shop.apply(apiPolicy(name, { kind: "HTTPRoute", name }, name === "keyed" ? API_KEY : OPEN_TO_ALL));
    }
    await untilAnswered(edge.target(), { host: "gone.test" }, "orders");
    await untilAnswered(edge.target(), { host: "keyed.test", headers: KEY }, "orders");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const status = async (name: string, headers = {}): Promise<number> =>
    (await send(edge.target(), { host: `${name}.test`, headers })).status;
  const writes = (): Promise<number> =>
    harness.operator.metric("gatewarden_last_good_writes_total", { outcome: "written" });

  it(
    "a new proxy serves what was kept, and then what is so",
    async () => {
      const before = await writes();
      await shop.enforce(
        apiPolicy("open", { kind: "HTTPRoute", name: "open" }, { ...OPEN_TO_ALL, logging: { calls: "All" } }),
      );
      await eventually("what is in force has been kept", async () => (await writes()) > before, {
        limitMs: KEPT_LIMIT_MS,
      });
      await eventually("and has arrived", async () => (await fallback.metric("gatewarden_last_good_gateways")) >= 1);
      await harness.operator.stop(0);
      await edge.envoy.stop();
      await shop.remove("HTTPRoute", "gone");
      late = await edge.addProxy({ fallbackAddress: fallback.xdsAddress });
      expect([await status("open"), await status("keyed"), await status("keyed", KEY)]).toEqual([200, 401, 200]);
      expect(await status("gone")).toBe(200); // as it was when the operator ended

      await harness.operator.start();
      await shop.waitFor("Gateway", "edge", "Programmed", { status: "True", message: /^1 proxy has/ }, 60_000);
      await eventually("what went is gone", async () => (await status("gone")) === 404);
      expect([await status("open"), await status("keyed"), await status("keyed", KEY)]).toEqual([200, 401, 200]);
      await shop.enforce(apiPolicy("open", { kind: "HTTPRoute", name: "open" }, API_KEY));
      expect(await status("open")).toBe(401);
      expect(await late.admin.stat("listener_manager.listener_modified")).toBe(0);
      expect(await fallback.metric("gatewarden_xds_streams")).toBe(0);
    },
    LIMIT_MS,
  );

  it(
    "what was taken away just before the operator stopped in order is not kept",
    async () => {
      await addConsumer(shop, "crm", "k-fallback-2");
      const other = { "x-api-key": "k-fallback-2" };
      await eventually("the key is known", async () => (await status("keyed", other)) === 200);
      await shop.remove("ApiConsumer", "erp");
      await eventually("the key is gone", async () => (await status("keyed", KEY)) === 401);
      await harness.operator.stop();
      await late.stop();
      await edge.addProxy({ fallbackAddress: fallback.xdsAddress });
      await eventually("the last state was kept", async () => (await status("keyed", other)) === 200);
      await eventually("the key stays gone", async () => (await status("keyed", KEY)) === 401, { limitMs: 5_000 });
    },
    LIMIT_MS,
  );
});
