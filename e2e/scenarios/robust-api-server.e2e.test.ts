/** The API server goes, falls silent, forgets and comes back: traffic does not notice, and afterwards everything is as the server has it. */
import { kill } from "node:process";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { eventually } from "../cluster/condition.ts";
import type { ControlPlaneChaos } from "../cluster/driver.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { addConsumer, API_KEY, apiPolicy, consumerOf, OPEN_TO_ALL } from "./policies-manifest.ts";
import { type Configuration, configurationOf, differences, disturbance, startTraffic } from "./robust-observed.ts";
import { httpRoute, rule, untilAnswered } from "./routes-manifest.ts";

const KEY = { "x-api-key": "k-chaos-1" };
const OPEN_ROUTES = ["a", "b", "c", "d"];
/** Longer than any step here takes. */
const LIMIT_MS = 90_000;
/** How long the API server is gone. */
const GONE_MS = 60_000;
/** Of a change once it is back: the operator asks for its lease each second, and wakes whoever waits longer. */
const FOLLOWED_MS = 3_000;

describe("an API server that is hurt", () => {
  let harness: Harness;
  let chaos: ControlPlaneChaos;
  let shop: Tenant;
  let edge: GatewayHandle;
  let pid: number;
  beforeAll(async () => {
    harness = await startHarness({ ownCluster: true });
    if (harness.cluster.chaos === undefined) throw new Error("this cluster cannot be hurt");
    chaos = harness.cluster.chaos;
    pid = harness.operator.pid();
    shop = await harness.tenant("chaos");
    await shop.upstream("orders");
    edge = await shop.gateway();
    await addConsumer(shop, "erp", "k-chaos-1");
    for (const name of OPEN_ROUTES) await addRoute(name, OPEN_TO_ALL);
    await addRoute("keyed", API_KEY);
    for (const name of OPEN_ROUTES) await untilAnswered(edge.target(), to(name), "orders");
    await untilAnswered(edge.target(), to("keyed", KEY), "orders");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const to = (name: string, headers?: Readonly<Record<string, string>>) => ({
    host: `${name}.test`,
    ...(headers === undefined ? {} : { headers }),
  });
  const setPolicy = (name: string, sections: object) =>
    shop.apply(apiPolicy(name, { kind: "HTTPRoute", name }, sections));
  const addRoute = async (name: string, sections: object): Promise<void> => {
    await shop.apply(httpRoute(name, { hostnames: [`${name}.test`], rules: [rule("orders")] }));
    await setPolicy(name, sections);
  };
  const traffic = () => startTraffic(harness, edge.target(), [to("a"), to("b"), to("keyed", KEY)]);

  it(
    "is not noticed by traffic and proxies while it is gone for a minute, and is followed again once it is back",
    async () => {
      const before = { configuration: await configurationOf(edge.envoy), cost: await disturbance(edge.envoy) };
      const running = await traffic();
      const logged = harness.operator.log().length;
      await chaos.stopApiServer(0);
      const goneSince = performance.now();
      // A proxy that is connected stays connected; time passes until the operator has seen every watch end.
      await eventually("the operator has noticed", () => /watch|list/i.test(harness.operator.log().slice(logged)));
      expect((await harness.operator.endpoint("/healthz")).status).toBe(200);
      expect(await edge.envoy.admin.stat("control_plane.connected_state")).toBe(1);
      await eventually("it has been gone for a minute", () => performance.now() - goneSince >= GONE_MS, {
        limitMs: GONE_MS + 5_000,
      });
      expect((await harness.operator.endpoint("/readyz")).status).toBe(200);
      expect(await edge.envoy.admin.stat("control_plane.connected_state")).toBe(1);
      await chaos.startApiServer();
      await addRoute("after-stop", OPEN_TO_ALL);
      await untilAnswered(edge.target(), to("after-stop"), "orders", FOLLOWED_MS);
      const { failures, sent } = await running.stop();
      expect(failures).toEqual([]);
      expect(sent).toBeGreaterThan(GONE_MS / 1_000);
      await shop.remove("HTTPRoute", "after-stop");
      await shop.remove("ApiPolicy", "after-stop");
      await untilAnswered(edge.target(), to("after-stop"), 404);
      await eventually(
        "everything is as it was",
        async () => differences(before.configuration, await configurationOf(edge.envoy)).length === 0,
      );
      expect((await disturbance(edge.envoy))["listener_manager.lds.update_success"]).toBe(
        before.cost["listener_manager.lds.update_success"],
      );
      expect(harness.operator.pid()).toBe(pid);
    },
    LIMIT_MS + GONE_MS + FOLLOWED_MS,
  );

  it(
    "has its changes found when watches were cut and their revisions are forgotten",
    async () => {
      const running = await traffic();
      // The operator sees none of this: it stands still, and its connections are gone when it goes on.
      kill(pid, "SIGSTOP");
      try {
        await shop.remove("ApiPolicy", "c");
        await setPolicy("d", API_KEY);
        await addRoute("new", OPEN_TO_ALL);
        await shop.apply(consumerOf("erp", { suspended: false, roles: ["user"] }));
        await chaos.compact();
        await chaos.stopApiServer(0);
        await chaos.startApiServer();
      } finally {
        kill(pid, "SIGCONT");
      }
      await untilAnswered(edge.target(), to("c"), 403);
      await untilAnswered(edge.target(), to("d"), 401);
      await untilAnswered(edge.target(), to("new"), "orders");
      expect((await running.stop()).failures).toEqual([]);
      await shop.waitFor("ApiPolicy", "new", "Programmed");
      expect(harness.operator.pid()).toBe(pid);
    },
    LIMIT_MS,
  );

  it(
    "may fall silent with its connections open",
    async () => {
      const running = await traffic();
      chaos.pauseApiServer();
      await eventually(
        "some requests have passed",
        async () => (await harness.operator.endpoint("/healthz")).status === 200,
      );
      expect(await edge.envoy.admin.stat("control_plane.connected_state")).toBe(1);
      chaos.resumeApiServer();
      await setPolicy("new", API_KEY);
      await untilAnswered(edge.target(), to("new"), 401);
      expect((await running.stop()).failures).toEqual([]);
    },
    LIMIT_MS,
  );

  it(
    "leaves the same configuration behind that a fresh operator makes of it",
    async () => {
      await setPolicy("c", OPEN_TO_ALL);
      await shop.waitFor("ApiPolicy", "c", "Programmed");
      const before: Configuration = await configurationOf(edge.envoy);
      const cost = await disturbance(edge.envoy);
      await harness.operator.stop();
      await harness.operator.start();
      await eventually(
        "the proxy is back",
        async () => (await edge.envoy.admin.stat("control_plane.connected_state")) === 1,
      );
      // An edit goes through, so everything that the new one had to say before it has been said.
      await setPolicy("a", { ...OPEN_TO_ALL, denylist: { entries: [{ cidr: "127.0.0.0/8" }] } });
      await untilAnswered(edge.target(), to("a"), 403);
      const scope = "ScopedRouteConfiguration http-8080|a.test";
      expect(differences(before, await configurationOf(edge.envoy))).toEqual([scope]);
      expect(await disturbance(edge.envoy)).toEqual(cost);
      expect(harness.operator.log()).not.toMatch(/unhandled|uncaught/i);
    },
    LIMIT_MS,
  );
});
