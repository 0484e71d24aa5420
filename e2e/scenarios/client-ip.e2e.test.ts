/** Whose address a call has: the TCP peer's, or what trusted proxies say, for lists, limits and logs alike. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, type RequestSpec, send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import type { Echo } from "../upstream/echo.ts";
import { verdictOf } from "./authentication-manifest.ts";
import { apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { hostRoute, untilVerdict, verdict } from "./sections-manifest.ts";

const [PEER, HOPS, TWO_HOPS, PROXIES] = [8080, 8081, 8082, 8083] as const;
const PORTS = [PEER, HOPS, TWO_HOPS, PROXIES];

describe("the client's address", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("client");
    await shop.upstream("orders");
    edge = await shop.gateway({
      listeners: PORTS.map((port) => ({ name: `p${String(port)}`, port, protocol: "HTTP" })),
    });
    const listener = (port: number, clientIP: object) =>
      apiPolicy(`p${String(port)}`, { kind: "Gateway", name: "edge", sectionName: `p${String(port)}` }, { clientIP });
    await shop.enforce([
      hostRoute("any"),
      apiPolicy(
        "gateway",
        { kind: "Gateway", name: "edge" },
        { ...OPEN_TO_ALL, logging: { sinks: [{ name: "f", type: "File", file: { name: "client-ip.jsonl" } }] } },
      ),
      listener(HOPS, { trustedHops: 1 }),
      listener(TWO_HOPS, { trustedHops: 2 }),
      listener(PROXIES, { trustedProxies: ["127.0.0.0/24", "10.0.0.0/8", "2001:db8:1::/48"] }),
    ]);
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  let calls = 0;
  /** The client's and the peer's address of one call, as the log has them. */
  const clientOf = async (port: number, from: string, headers: RequestSpec["headers"]): Promise<string> => {
    const path = `/call-${String(++calls)}`;
    const answer = await send(edge.target({ port, from }), {
      host: "any.test",
      path,
      ...(headers === undefined ? {} : { headers }),
    });
    expect(answer.status).toBe(200);
    const record = await eventually("the record", () => {
      const lines = readFileSync(join(harness.logDirectory, "client-ip.jsonl"), "utf8").split("\n");
      return lines.find((line) => line.includes(`"${path}"`));
    });
    const { clientIP, peerIP } = JSON.parse(record) as { readonly clientIP: string; readonly peerIP: string };
    expect(peerIP).toBe(from);
    return clientIP;
  };
  const forwarded = (...values: readonly string[]) => values.map((value) => ["x-forwarded-for", value] as const);

  it("is found from the right, and only past those who are trusted", async () => {
    const cases: readonly (readonly [port: number, from: string, xff: readonly string[], client: string])[] = [
      [PEER, "127.0.0.5", [], "127.0.0.5"],
      [PEER, "127.0.0.5", ["203.0.113.5"], "127.0.0.5"],
      [HOPS, "127.0.0.5", [], "127.0.0.5"],
      [HOPS, "127.0.0.5", ["203.0.113.5"], "203.0.113.5"],
      [HOPS, "127.0.0.5", ["198.51.100.1, 203.0.113.5"], "203.0.113.5"],
      [HOPS, "127.0.0.5", ["198.51.100.1", "203.0.113.5"], "203.0.113.5"],
      [HOPS, "127.0.0.5", ["2001:db8::5"], "2001:db8::5"],
      [HOPS, "127.0.0.5", ["not an address"], "127.0.0.5"],
      [TWO_HOPS, "127.0.0.5", ["198.51.100.1, 203.0.113.5, 192.0.2.9"], "203.0.113.5"],
      [TWO_HOPS, "127.0.0.5", ["203.0.113.5"], "127.0.0.5"],
      [PROXIES, "127.0.0.5", [], "127.0.0.5"],
      [PROXIES, "127.0.0.5", ["203.0.113.5"], "203.0.113.5"],
      [PROXIES, "127.0.0.5", ["198.51.100.1, 203.0.113.5, 10.1.2.3, 127.0.0.9"], "203.0.113.5"],
      [PROXIES, "127.0.0.5", ["198.51.100.1", "203.0.113.5, 10.1.2.3"], "203.0.113.5"],
      [PROXIES, "127.0.0.5", ["2001:db8:2::5, 2001:db8:1::9"], "2001:db8:2::5"],
      [PROXIES, "127.0.0.5", ["not an address"], "127.0.0.5"],
      [PROXIES, "127.0.1.5", ["203.0.113.5"], "127.0.1.5"],
      [PROXIES, "127.0.1.5", ["127.0.0.9"], "127.0.1.5"],
    ];
    const found = [];
    for (const [port, from, xff] of cases) found.push([port, from, xff, await clientOf(port, from, forwarded(...xff))]);
    expect(found).toEqual(cases);
  });

  it("is not what any other header says", async () => {
    const address = "203.0.113.5";
    const names = ["x-real-ip", "x-envoy-external-address", "true-client-ip", "cf-connecting-ip", "x-envoy-internal"];
    const headers = [...names.map((name) => [name, address] as const), ["forwarded", `for=${address}`] as const];
    for (const port of PORTS) expect([port, await clientOf(port, "127.0.0.5", headers)]).toEqual([port, "127.0.0.5"]);
    const answer = await send(edge.target({ port: PROXIES }), { host: "any.test", headers });
    const arrived = answer
      .json<Echo>()
      .headers.filter(([name, value]) => name.startsWith("x-envoy-") && value === address);
    expect(arrived).toEqual([]);
  });

  it("is the same for lists and limits", async () => {
    const rateLimit = { limits: [{ name: "one", requests: 1, per: "1h", by: [{ type: "ClientIP" }] }] };
    await shop.enforce([
      hostRoute("lists"),
      apiPolicy(
        "lists",
        { kind: "HTTPRoute", name: "lists" },
        {
          allowlist: { entries: [{ cidr: "203.0.113.0/24" }, { cidr: "2001:db8:2::/48" }] },
          denylist: { entries: [{ cidr: "203.0.113.66/32" }] },
          rateLimit,
        },
      ),
    ]);
    const at = (port: number, xff: string, from = "127.0.0.5") =>
      verdict(edge.target({ port, from }), { host: "lists.test", headers: { "x-forwarded-for": xff } });
    for (const port of [HOPS, PROXIES]) {
      expect([
        await at(port, "203.0.113.5"),
        await at(port, "203.0.113.5"),
        await at(port, "203.0.113.6"),
        await at(port, "203.0.113.66"),
        await at(port, "198.51.100.1"),
        await at(port, "203.0.113.5, 198.51.100.1"),
        await at(port, "2001:db8:2::1"),
        // Of IPv6 the /64 counts.
        await at(port, "2001:db8:2::2"),
        await at(port, "2001:db8:3::1"),
      ]).toEqual([
        "200",
        "429 GW-RATE-001",
        "200",
        "403 GW-DENY-001",
        "403 GW-ALLOW-001",
        "403 GW-ALLOW-001",
        "200",
        "429 GW-RATE-001",
        "403 GW-ALLOW-001",
      ]);
    }
    expect([await at(PEER, "203.0.113.9"), await at(PROXIES, "203.0.113.9", "127.0.1.5")]).toEqual([
      "403 GW-ALLOW-001",
      "403 GW-ALLOW-001",
    ]);
  });

  it("is a setting of the listener: anywhere else it is refused, and both forms at once are", async () => {
    await shop.apply([
      hostRoute("nearer"),
      apiPolicy("nearer", { kind: "HTTPRoute", name: "nearer" }, { clientIP: { trustedHops: 1 } }),
    ]);
    const message = /spec\.clientIP/;
    await shop.waitFor("ApiPolicy", "nearer", "Accepted", { status: "False", reason: "UnsupportedForTarget", message });
    await untilVerdict(edge.target(), { host: "nearer.test" }, "503 GW-POLICY-002");
    // Listeners that share a port share its settings.
    const listeners = ["one", "two"].map((name) => ({ name, port: 8080, protocol: "HTTP", hostname: `${name}.test` }));
    const sharing = await shop.gateway({ name: "sharing", listeners });
    const own = { kind: "Gateway", name: "sharing", sectionName: "two" };
    const parent = { parentRefs: [{ name: "sharing" }] };
    await shop.apply([
      hostRoute("one", parent),
      hostRoute("two", parent),
      apiPolicy("sharing", { kind: "Gateway", name: "sharing" }, OPEN_TO_ALL),
      apiPolicy("two", own, { clientIP: { trustedHops: 1 } }),
    ]);
    await shop.waitFor("ApiPolicy", "two", "Accepted", { status: "False", reason: "UnsupportedForTarget", message });
    await untilVerdict(sharing.target(), { host: "two.test" }, "503 GW-POLICY-002");
    await untilVerdict(sharing.target(), { host: "one.test" }, "200");
    const both = { clientIP: { trustedHops: 1, trustedProxies: ["10.0.0.0/8"] } };
    await expect(shop.apply(apiPolicy("both", { kind: "Gateway", name: "edge" }, both))).rejects.toThrow(/clientIP/);
  });

  it("changes with the policy for new connections, and other listeners keep theirs", async () => {
    const other = await connectHttp1(edge.target({ port: HOPS, from: "127.0.0.5" }));
    const request = { host: "lists.test", headers: { "x-forwarded-for": "203.0.113.20" } };
    expect(verdictOf(await other.request(request))).toBe("200");
    await shop.remove("ApiPolicy", "p8083");
    await untilVerdict(edge.target({ port: PROXIES, from: "127.0.0.5" }), request, "403 GW-ALLOW-001");
    expect(verdictOf(await other.request(request))).toBe("429 GW-RATE-001");
    expect(other.closed()).toBe(false);
    other.close();
  });
});
