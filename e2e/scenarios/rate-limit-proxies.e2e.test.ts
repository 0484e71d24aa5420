/** Rate limits over several proxies and hosts: what is counted together, and what refills nothing. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1 } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { serviceFor } from "../harness/tenant.ts";
import type { EchoUpstream } from "../upstream/echo.ts";
import { verdictOf } from "./authentication-manifest.ts";
import { addConsumer, API_KEY, apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { enforceSections, hostRoute, untilVerdict, verdict, withSections } from "./sections-manifest.ts";

const PASSED = "200";
const LIMITED = "429 GW-RATE-001";
const CALLS = 48;

const perHour = (requests: number, more: object = {}) => ({
  rateLimit: { limits: [{ name: "hourly", requests, per: "1h", ...more }] },
});

describe("rate limits of a Gateway with two proxies", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  let orders: EchoUpstream;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("proxies");
    orders = await shop.upstream("orders");
    edge = await shop.gateway({ proxies: 2 });
    await addConsumer(shop, "erp", "k-erp");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  /** How many of many calls pass, each on a connection of its own, so that every proxy gets its part; all others are limited. */
  const passing = async (gateway: GatewayHandle, hosts: readonly string[], headers = {}): Promise<number> => {
    let passed = 0;
    for (let count = 0; count < CALLS; count++) {
      const found = await verdict(gateway.target(), { host: hosts[count % hosts.length] ?? "", headers });
      if (found === PASSED) passed++;
      else expect(found).toBe(LIMITED);
    }
    return passed;
  };

  it("count in each proxy with PerProxy, the default, and over all of them with PerGateway", async () => {
    await enforceSections(shop, "alone", perHour(3));
    await enforceSections(shop, "each", perHour(2, { scope: "PerProxy" }));
    await enforceSections(shop, "divided", perHour(4, { scope: "PerGateway" }));
    expect(await passing(edge, ["alone.test"])).toBe(6);
    expect(await passing(edge, ["each.test"])).toBe(4);
    expect(await passing(edge, ["divided.test"])).toBe(4);
  });

  it("divide what each caller has, too, and what stands behind authentication", async () => {
    const by = [{ type: "Header", name: "x-tenant" }];
    await enforceSections(shop, "divided-by", perHour(2, { scope: "PerGateway", by }));
    for (const tenant of ["a", "b"]) {
      expect([tenant, await passing(edge, ["divided-by.test"], { "x-tenant": tenant })]).toEqual([tenant, 2]);
    }
    const each = perHour(4, { scope: "PerGateway", by: [{ type: "Consumer" }] });
    await enforceSections(shop, "divided-post", { ...API_KEY, ...each });
    expect(await passing(edge, ["divided-post.test"], { "x-api-key": "k-erp" })).toBe(4);
  });

  it("divide by the proxies that are there", async () => {
    const team = await harness.tenant("comes");
    await team.upstream("orders");
    const gateway = await team.gateway();
    await team.enforce(withSections("one", perHour(4, { scope: "PerGateway" })));
    expect(await passing(gateway, ["one.test"])).toBe(4);
    const second = await gateway.addProxy();
    await team.waitFor("Gateway", "edge", "Programmed", { status: "True", message: /2 proxies/ });
    await knowsProxies(gateway, 2);
    await team.enforce(withSections("two", perHour(4, { scope: "PerGateway" })));
    expect(await passing(gateway, ["two.test"])).toBe(4);
    await second.stop();
    await team.waitFor("Gateway", "edge", "Programmed", { status: "True", message: /1 prox/ });
    await knowsProxies(gateway, 1);
    await team.enforce(withSections("three", perHour(4, { scope: "PerGateway" })));
    expect(await passing(gateway, ["three.test"])).toBe(4);
  });

  it("cannot be Global yet: the field is named, and the routes are closed, or served without where the policy says Open", async () => {
    const spec = { ...OPEN_TO_ALL, ...perHour(1, { scope: "Global" }) };
    for (const [name, more, expected] of [
      ["global", {}, "503 GW-POLICY-002"],
      ["global-open", { failurePolicy: "Open" }, PASSED],
    ] as const) {
      const target = { kind: "HTTPRoute", name };
      await shop.apply([hostRoute(name), apiPolicy(name, target, { ...spec, ...more })]);
      const message = /spec\.rateLimit\.limits\[0\]\.scope.*Global.*PerGateway/s;
      await shop.waitFor("ApiPolicy", name, "Accepted", { status: "False", reason: "Invalid", message });
      await untilVerdict(edge.target(), { host: `${name}.test` }, expected);
    }
    expect([await verdict(edge.target(), { host: "global-open.test" })]).toEqual([PASSED]);
  });

  it("of a Gateway count all hosts of a port together, of a listener that listener's", async () => {
    const team = await harness.tenant("wide");
    await team.upstream("orders");
    const listeners = [8080, 8081].map((port) => ({ name: `p${String(port)}`, port, protocol: "HTTP" }));
    const gateway = await team.gateway({ listeners });
    const limits = [{ name: "all", requests: 6, per: "1h" }];
    await team.enforce([
      hostRoute("a"),
      hostRoute("b"),
      apiPolicy("gateway", { kind: "Gateway", name: "edge" }, { ...OPEN_TO_ALL, rateLimit: { limits } }),
    ]);
    expect(await passing(gateway, ["a.test", "b.test"])).toBe(6);
    // The other port counts for itself (docs/rate-limits.md).
    expect(await verdict(gateway.target({ port: 8081 }), { host: "b.test" })).toBe(PASSED);
    await team.remove("ApiPolicy", "gateway");
    const listener = { kind: "Gateway", name: "edge", sectionName: "p8081" };
    await team.enforce([
      apiPolicy("open", { kind: "Gateway", name: "edge" }, OPEN_TO_ALL),
      apiPolicy("listener", listener, { rateLimit: { limits: [{ name: "one", requests: 1, per: "1h" }] } }),
    ]);
    expect([
      await verdict(gateway.target({ port: 8081 }), { host: "a.test" }),
      await verdict(gateway.target({ port: 8081 }), { host: "b.test" }),
      await verdict(gateway.target(), { host: "a.test" }),
      await verdict(gateway.target(), { host: "b.test" }),
    ]).toEqual([PASSED, LIMITED, PASSED, PASSED]);
  });

  it("are refilled by no edit of another host, of another policy, of consumers, endpoints or lists, and no connection closes", async () => {
    const team = await harness.tenant("refill");
    const upstream = await team.upstream("orders");
    const gateway = await team.gateway();
    await addConsumer(team, "erp", "k-refill-erp");
    const gatewayLimit = { limits: [{ name: "all", requests: 3, per: "1h", match: { headers: { "x-wide": "1" } } }] };
    await team.enforce([
      apiPolicy("gateway", { kind: "Gateway", name: "edge" }, { rateLimit: gatewayLimit }),
      ...withSections("other", perHour(5)),
      ...withSections("host", perHour(2)),
      ...withSections("key", { ...API_KEY, ...perHour(2, { by: [{ type: "Consumer" }] }) }),
      ...withSections("divided", perHour(2, { scope: "PerGateway", by: [{ type: "ClientIP" }] })),
    ]);
    const [http1, http2] = [await connectHttp1(gateway.target()), await connectHttp2(gateway.target())];
    const requests = [
      { host: "host.test" },
      { host: "key.test", headers: { "x-api-key": "k-refill-erp" } },
      { host: "divided.test" },
      { host: "other.test", headers: { "x-wide": "1" } },
    ];
    const all = async (connection: typeof http1 | typeof http2): Promise<readonly string[]> => {
      const found: string[] = [];
      for (const request of requests) found.push(verdictOf(await connection.request(request)));
      return found;
    };
    const each = (word: string): readonly string[] => requests.map(() => word);
    expect([await all(http1), await all(http2)]).toEqual([each(PASSED), each(PASSED)]);
    await http1.request(requests[3] ?? {});
    expect([await all(http1), await all(http2)]).toEqual([each(LIMITED), each(LIMITED)]);

    const edits: readonly (readonly [string, () => Promise<unknown>])[] = [
      ["limits of another host", () => team.enforce(withSections("other", perHour(7)))],
      [
        "other sections of another host",
        () => team.enforce(withSections("other", { ...perHour(7), denylist: DENIED })),
      ],
      ["a new host", () => team.enforce(withSections("new", { ...API_KEY, ...perHour(1) }))],
      ["a wildcard", () => team.enforce({ ...hostRoute("wild"), spec: { ...spec("*.wild.test") } })],
      ["a consumer", () => addConsumer(team, "crm", "k-crm")],
      ["a suspended consumer", () => team.apply(suspended("crm"))],
      ["a removed host", () => team.remove("HTTPRoute", "new")],
      ["endpoints", () => moveEndpoints(team, orders)],
      ["endpoints back", () => moveEndpoints(team, upstream)],
      ["a policy that is broken", () => team.apply(apiPolicy("broken", { kind: "HTTPRoute", name: "wild" }, BROKEN))],
      ["its end", () => team.remove("ApiPolicy", "broken")],
    ];
    for (const [what, edit] of edits) {
      await edit();
      // The last write of an edit may have no condition to wait for: a host that follows in order tells that it has come.
      await team.enforce(
        withSections("mark", perHour(100, { name: `m-${String(edits.findIndex(([name]) => name === what))}` })),
      );
      expect([what, await all(http1), await all(http2)]).toEqual([what, each(LIMITED), each(LIMITED)]);
    }
    // What changes a host itself refills that host's limits (docs/rate-limits.md), never those of the Gateway.
    await team.enforce(gatewayLogging());
    expect((await all(http1)).at(-1)).toBe(LIMITED);
    expect([http1.closed(), http2.closed()]).toEqual([false, false]);
    http1.close();
    http2.close();
  });

  const DENIED = { entries: [{ cidr: "203.0.113.0/24" }] };
  const BROKEN = { rateLimit: { limits: [{ name: "x", requests: 1, per: "1h", scope: "Global" }] } };
  const spec = (hostname: string) => ({
    parentRefs: [{ name: "edge" }],
    hostnames: [hostname],
    rules: [{ backendRefs: [{ name: "orders", port: 80 }] }],
  });
  const gatewayLogging = () =>
    apiPolicy("gateway-fields", { kind: "Gateway", name: "edge" }, { logging: { fields: { team: "shop" } } });
  const suspended = (name: string) => ({
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiConsumer",
    metadata: { name },
    spec: {
      type: "Application",
      suspended: true,
      apiKeys: [{ name: "k1", secretRef: { name: `${name}-key`, key: "api-key" } }],
    },
  });
});

async function moveEndpoints(tenant: Tenant, upstream: EchoUpstream): Promise<void> {
  await tenant.apply(serviceFor("orders", upstream).filter(({ kind }) => kind === "EndpointSlice"));
}

/** Waits until every proxy of the Gateway knows how many they are: limits over all of them divide by that. */
async function knowsProxies(gateway: GatewayHandle, count: number): Promise<void> {
  await eventually(`${String(count)} proxies known to each`, async () => {
    for (const envoy of gateway.envoys) {
      if (envoy.ending() !== undefined) continue;
      if ((await envoy.admin.stat("cluster.gatewarden-self.membership_total")) !== count) return undefined;
    }
    return true;
  });
}
