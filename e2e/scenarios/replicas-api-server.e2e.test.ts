/** The API server goes for 20 s, and the history is compacted while every replica stands still: proxies of both replicas serve on. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { kill } from "node:process";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { eventually } from "../cluster/condition.ts";
import type { ControlPlaneChaos } from "../cluster/driver.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import { type OperatorHandle, startOperator } from "../harness/operator.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { addConsumer, API_KEY, apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { startTraffic, type Traffic } from "./robust-observed.ts";
import { httpRoute, rule, untilAnswered } from "./routes-manifest.ts";

const GONE_MS = 20_000;
const NEW_ROUTE_LIMIT_MS = 3_000;
const CAUGHT_UP_LIMIT_MS = 2_000;
const LIMIT_MS = 120_000;
/** A call that depends on a Secret: an API server that starts refuses everybody for a moment, which must not close it. */
const KEYED = { host: "keyed.test", headers: { "x-api-key": "k-erp-1" } };

describe("two replicas and an API server that is hurt", () => {
  let harness: Harness;
  let chaos: ControlPlaneChaos;
  let second: OperatorHandle;
  let shop: Tenant;
  let edge: GatewayHandle;
  let traffic: Traffic | undefined;
  beforeAll(async () => {
    harness = await startHarness({ ownCluster: true });
    if (harness.cluster.chaos === undefined) throw new Error("this cluster cannot be hurt");
    chaos = harness.cluster.chaos;
    const directory = join(harness.directory, "second");
    mkdirSync(directory);
    second = await startOperator(harness.cluster, { directory, flags: ["--log-dir", harness.logDirectory] });
    harness.atEnd(() => second.stop());
    shop = await harness.tenant("hurt");
    await shop.upstream("orders");
    edge = await shop.gateway();
    for (const name of ["a", "b"]) await addRoute(name);
    for (const name of ["a", "b"]) await untilAnswered(edge.target(), { host: `${name}.test` }, "orders");
    await addConsumer(shop, "erp", KEYED.headers["x-api-key"]);
    await addRoute("keyed");
    await setPolicy("keyed", API_KEY);
    await untilAnswered(edge.target(), { host: KEYED.host }, 401);
    await untilAnswered(edge.target(), KEYED, "orders");
    await edge.addProxy({ xdsAddress: second.xdsAddress });
  }, START_LIMIT_MS);
  afterEach(async () => {
    await traffic?.stop();
    traffic = undefined;
  });
  afterAll(() => harness.stop());

  const setPolicy = (name: string, sections: object) =>
    shop.apply(apiPolicy(name, { kind: "HTTPRoute", name }, sections));
  const addRoute = async (name: string): Promise<void> => {
    await shop.apply(httpRoute(name, { hostnames: [`${name}.test`], rules: [rule("orders")] }));
    await setPolicy(name, OPEN_TO_ALL);
  };
  const unnoticed = async (least: number): Promise<void> => {
    const seen = await traffic?.stop();
    traffic = undefined;
    expect(seen?.failures).toEqual([]);
    expect(seen?.sent).toBeGreaterThan(least);
  };

  it(
    "no request fails while it is gone for 20 s, and a new route works within 3 s of its return",
    async () => {
      traffic = await startTraffic(harness, edge.target(), [{ host: "a.test" }, KEYED]);
      await chaos.stopApiServer(0);
      const since = performance.now();
      await eventually("20 s", () => performance.now() - since >= GONE_MS, { limitMs: GONE_MS + 5_000 });
      await chaos.startApiServer();
      await addRoute("new");
      await untilAnswered(edge.target(), { host: "new.test" }, "orders", NEW_ROUTE_LIMIT_MS);
      await unnoticed(100);
      await shop.waitFor("ApiPolicy", "new", "Ready", undefined, 60_000);
      const leaders = await Promise.all([harness.operator, second].map((one) => one.metric("gatewarden_leads")));
      expect(leaders.toSorted()).toEqual([0, 1]);
    },
    LIMIT_MS,
  );

  it(
    "what changed while all stood still, and was compacted, holds within 2 s of their going on",
    async () => {
      traffic = await startTraffic(harness, edge.target(), [{ host: "a.test" }, KEYED]);
      const pids = [harness.operator.pid(), second.pid()];
      for (const pid of pids) kill(pid, "SIGSTOP");
      try {
        await setPolicy("b", API_KEY);
        await shop.remove("HTTPRoute", "new");
        await addRoute("late");
        await chaos.compact();
      } finally {
        for (const pid of pids) kill(pid, "SIGCONT");
      }
      const wentOn = performance.now();
      await untilAnswered(edge.target(), { host: "b.test" }, 401);
      await untilAnswered(edge.target(), { host: "new.test" }, 404);
      await untilAnswered(edge.target(), { host: "late.test" }, "orders");
      expect(performance.now() - wentOn).toBeLessThan(CAUGHT_UP_LIMIT_MS);
      await unnoticed(5); // it is over in a moment
    },
    LIMIT_MS,
  );
});
