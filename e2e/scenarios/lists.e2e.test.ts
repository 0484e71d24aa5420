/** Allowlists and denylists: who is on them, when an entry ends, and how levels add up. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, send } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import { eventually } from "../cluster/condition.ts";
import { freePorts } from "../cluster/port.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { verdictOf } from "./authentication-manifest.ts";
import { addConsumer, API_KEY, apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { enforceSections, hostRoute, untilVerdict, verdict } from "./sections-manifest.ts";

const PASSED = "200";
const NOT_ALLOWED = "403 GW-ALLOW-001";
const DENIED = "403 GW-DENY-001";
const EXPIRY_LIMIT_MS = 2_000;

const allow = (...cidrs: readonly string[]) => ({ allowlist: { entries: cidrs.map((cidr) => ({ cidr })) } });
const deny = (...cidrs: readonly string[]) => ({ denylist: { entries: cidrs.map((cidr) => ({ cidr })) } });
const inSeconds = (seconds: number): string => `${new Date(Date.now() + seconds * 1_000).toISOString().slice(0, 19)}Z`;

describe("address lists", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("lists");
    await shop.upstream("orders");
    edge = await shop.gateway();
    await addConsumer(shop, "erp", "k-lists-erp");
    await shop.waitFor("ApiConsumer", "erp", "ResolvedRefs");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const from = (address: string, host: string, headers = {}): Promise<string> =>
    verdict(edge.target({ from: address }), { host: `${host}.test`, headers });
  /** The verdict of each address at one host. */
  const table = async (host: string, addresses: Readonly<Record<string, string>>): Promise<unknown> => {
    const found: Record<string, string> = {};
    for (const address of Object.keys(addresses)) found[address] = await from(address, host);
    return found;
  };
  const expectTable = async (host: string, expected: Readonly<Record<string, string>>): Promise<void> =>
    expect([host, await table(host, expected)]).toEqual([host, expected]);

  it("let in who is on the allowlist and nobody else, whatever headers say", async () => {
    await enforceSections(shop, "allow", allow("127.0.0.16/28", "127.0.1.7/32", "2001:db8::/32"));
    await expectTable("allow", {
      "127.0.0.15": NOT_ALLOWED,
      "127.0.0.16": PASSED,
      "127.0.0.31": PASSED,
      "127.0.0.32": NOT_ALLOWED,
      "127.0.1.7": PASSED,
      "127.0.1.8": NOT_ALLOWED,
    });
    const forged = "127.0.0.16";
    for (const name of ["x-forwarded-for", "x-real-ip", "x-envoy-external-address", "true-client-ip", "x-client-ip"]) {
      expect([name, await from("127.0.0.1", "allow", { [name]: forged })]).toEqual([name, NOT_ALLOWED]);
    }
    expect(await from("127.0.0.1", "allow", { forwarded: `for=${forged}` })).toBe(NOT_ALLOWED);
    const refused = await send(edge.target({ from: "127.0.0.1" }), { host: "allow.test" });
    const policy = `${shop.namespace}/allow#allowlist`;
    expect(refused.header("x-gatewarden-policy")).toBe(policy);
    expect(refused.problem()).toMatchObject({ status: 403, code: "GW-ALLOW-001", policy });
  });

  it("refuse who is on the denylist, also where the allowlist has him, and before anything else is asked", async () => {
    const sections = { ...API_KEY, ...allow("127.0.0.0/24"), ...deny("127.0.0.66/32", "127.0.0.128/25") };
    await enforceSections(shop, "both", sections);
    await expectTable("both", {
      "127.0.0.1": "401 GW-AUTHN-001",
      "127.0.0.66": DENIED,
      "127.0.0.200": DENIED,
      "127.0.2.1": NOT_ALLOWED,
    });
    const refused = await send(edge.target({ from: "127.0.0.66" }), { host: "both.test" });
    expect(refused.problem()).toMatchObject({ status: 403, policy: `${shop.namespace}/both#denylist` });
  });

  it("see addresses of IPv6", async () => {
    const [port = 0] = await freePorts(1, "::1");
    await shop.gateway({
      name: "six",
      listeners: [{ name: "http", port, protocol: "HTTP" }],
      spec: { addresses: [{ type: "IPAddress", value: "::1" }] },
    });
    const route = (name: string) => hostRoute(name, { parentRefs: [{ name: "six" }] });
    await shop.enforce([
      ...["six-in", "six-out", "six-denied"].map(route),
      apiPolicy("six", { kind: "Gateway", name: "six" }, OPEN_TO_ALL),
      apiPolicy("six-in", { kind: "HTTPRoute", name: "six-in" }, allow("::/96", "203.0.113.0/24")),
      apiPolicy("six-out", { kind: "HTTPRoute", name: "six-out" }, allow("2001:db8::/32", "0.0.0.0/0")),
      apiPolicy("six-denied", { kind: "HTTPRoute", name: "six-denied" }, deny("::1/128")),
    ]);
    const at = (host: string) => verdict({ address: "::1", port }, { host });
    expect([await at("six-in.test"), await at("six-out.test"), await at("six-denied.test")]).toEqual([
      PASSED,
      NOT_ALLOWED,
      DENIED,
    ]);
  });

  it("let entries end by themselves, also on connections that are open; ended ones still count", async () => {
    const [ended, ending] = ["2025-01-01T00:00:00Z", inSeconds(6)];
    const entries = [{ cidr: "127.0.0.1/32", expiresAt: ending }];
    await enforceSections(shop, "allow-ends", { allowlist: { entries } });
    await enforceSections(shop, "deny-ends", { denylist: { entries } });
    await enforceSections(shop, "allow-ended", {
      allowlist: { entries: [{ cidr: "127.0.0.1/32", expiresAt: ended }] },
    });
    await enforceSections(shop, "deny-ended", { denylist: { entries: [{ cidr: "127.0.0.1/32", expiresAt: ended }] } });
    const target = edge.target({ from: "127.0.0.1" });
    const [http1, http2] = [await connectHttp1(target), await connectHttp2(target)];
    const both = async (host: string): Promise<string> => {
      const answers = [await http1.request({ host }), await http2.request({ host })].map(verdictOf);
      return [...new Set(answers)].join(" and ");
    };
    const before = [await both("allow-ends.test"), await both("deny-ends.test")];
    expect(Date.now()).toBeLessThan(Date.parse(ending));
    expect(before).toEqual([PASSED, DENIED]);
    expect([await both("allow-ended.test"), await both("deny-ended.test")]).toEqual([NOT_ALLOWED, PASSED]);
    await eventually("the end", () => Date.now() >= Date.parse(ending));
    for (const [host, expected] of [
      ["allow-ends.test", NOT_ALLOWED],
      ["deny-ends.test", PASSED],
    ] as const) {
      const limitMs = Date.parse(ending) + EXPIRY_LIMIT_MS - Date.now();
      await eventually(`${expected} at ${host}`, async () => (await both(host)) === expected, { limitMs });
    }
    expect([http1.closed(), http2.closed()]).toEqual([false, false]);
    http1.close();
    http2.close();
  });

  it("hold an edit for the next request on connections that are open", async () => {
    await enforceSections(shop, "edit", {});
    const held = await connectHttp1(edge.target({ from: "127.0.0.1" }));
    const steps: string[] = [];
    for (const sections of [{}, deny("127.0.0.1/32"), allow("127.0.0.0/30"), allow("10.0.0.0/8"), {}]) {
      await enforceSections(shop, "edit", sections);
      steps.push(verdictOf(await held.request({ host: "edit.test" })));
    }
    expect(steps).toEqual([PASSED, DENIED, PASSED, NOT_ALLOWED, PASSED]);
    held.close();
  });

  it("add up over levels by cidr, the nearer entry counts, and inherit: false begins anew", async () => {
    const team = await harness.tenant("levels");
    await team.upstream("orders");
    const gateway = await team.gateway();
    const end = "2025-01-01T00:00:00Z";
    const routes = ["inherits", "adds", "anew", "ends"];
    const rulePolicy = { kind: "HTTPRoute", name: "adds", sectionName: "only" };
    await team.enforce([
      ...routes.map((name) => hostRoute(name)),
      apiPolicy(
        "gateway",
        { kind: "Gateway", name: "edge" },
        { ...OPEN_TO_ALL, ...allow("127.0.1.0/24"), ...deny("127.0.1.66/32") },
      ),
      apiPolicy("listener", { kind: "Gateway", name: "edge", sectionName: "http" }, allow("127.0.2.0/24")),
      apiPolicy("namespace", { kind: "Namespace" }, { ...allow("127.0.3.0/24"), ...deny("127.0.3.66/32") }),
      apiPolicy("adds", { kind: "HTTPRoute", name: "adds" }, { ...allow("127.0.4.0/24"), ...deny("127.0.2.66/32") }),
      apiPolicy("rule", rulePolicy, allow("127.0.5.0/24")),
      apiPolicy(
        "anew",
        { kind: "HTTPRoute", name: "anew" },
        { allowlist: { entries: [{ cidr: "127.0.4.0/24" }, { cidr: "127.0.3.66/32" }], inherit: false } },
      ),
      apiPolicy(
        "ends",
        { kind: "HTTPRoute", name: "ends" },
        {
          allowlist: { entries: [{ cidr: "127.0.1.0/24", expiresAt: end }] },
          denylist: { entries: [{ cidr: "127.0.1.66/32", expiresAt: end }] },
        },
      ),
    ]);
    const word = async (host: string, address: string): Promise<string> => {
      const answer = await send(gateway.target({ from: address }), { host: `${host}.test` });
      return answer.status === 200 ? PASSED : `${String(answer.status)} ${answer.problem().policy}`;
    };
    const by = (policy: string): string => `403 ${team.namespace}/${policy}`;
    const expected: Readonly<Record<string, Readonly<Record<string, string>>>> = {
      inherits: {
        "127.0.1.1": PASSED,
        "127.0.2.1": PASSED,
        "127.0.3.1": PASSED,
        "127.0.4.1": by("namespace#allowlist"),
        "127.0.1.66": by("gateway#denylist"),
        "127.0.3.66": by("namespace#denylist"),
      },
      adds: {
        "127.0.1.1": PASSED,
        "127.0.4.1": PASSED,
        "127.0.5.1": PASSED,
        "127.0.6.1": by("rule#allowlist"),
        "127.0.2.66": by("adds#denylist"),
        "127.0.1.66": by("gateway#denylist"),
      },
      anew: { "127.0.1.1": by("anew#allowlist"), "127.0.4.1": PASSED, "127.0.3.66": by("namespace#denylist") },
      ends: { "127.0.1.1": by("ends#allowlist"), "127.0.2.1": PASSED, "127.0.1.66": by("ends#allowlist") },
    };
    for (const [host, addresses] of Object.entries(expected)) {
      const found: Record<string, string> = {};
      for (const address of Object.keys(addresses)) found[address] = await word(host, address);
      expect([host, found]).toEqual([host, addresses]);
    }
    // What leaves, leaves with its entries, and nothing else.
    await team.remove("ApiPolicy", "namespace");
    await untilVerdict(gateway.target({ from: "127.0.3.1" }), { host: "inherits.test" }, NOT_ALLOWED);
    expect([await word("inherits", "127.0.1.1"), await word("anew", "127.0.3.66")]).toEqual([PASSED, PASSED]);
  });

  it("take as many entries as the bound says", async () => {
    const many = Array.from({ length: 1_023 }, (_, index) => `10.${String(index >> 8)}.${String(index % 256)}.0/24`);
    await enforceSections(shop, "many", allow(...many, "127.0.0.9/32"));
    expect([await from("127.0.0.9", "many"), await from("127.0.0.8", "many")]).toEqual([PASSED, NOT_ALLOWED]);
  });
});
