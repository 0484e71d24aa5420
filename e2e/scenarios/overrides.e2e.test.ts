/** Floors that no team can weaken (api.md "Composition" 4), through the proxy: a platform's Override on a Gateway, and teams on their routes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type RequestSpec, send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { verdictOf } from "./authentication-manifest.ts";
import { addConsumer, apiPolicy } from "./policies-manifest.ts";
import { hostRoute } from "./sections-manifest.ts";

const KEY = { "x-api-key": "k-of-the-platform" };
const OWN_KEY = { "x-api-key": "k-of-the-team" };
const OPEN = { authentication: { mode: "Public", reason: "we think so" } };
const LOG = "floor.jsonl";
const LIMIT = { requests: 3, per: "1h", by: [{ type: "Header", name: "x-caller" }] };

describe("a platform's Override", () => {
  let harness: Harness;
  let platform: Tenant;
  let team: Tenant;
  let edge: GatewayHandle;
  let caller = 0;

  /** Verdict and whom it names; a caller of its own unless the headers name one. */
  const call = async (host: string, request: RequestSpec & { readonly from?: string } = {}): Promise<string> => {
    const { from, headers, ...rest } = request;
    caller += 1;
    const own = { "x-caller": `c${String(caller)}`, ...(headers as Readonly<Record<string, string>> | undefined) };
    const answer = await send(edge.target(from === undefined ? {} : { from }), {
      host: `${host}.test`,
      ...rest,
      headers: own,
    });
    const policy = answer.header("x-gatewarden-policy") ?? "";
    return `${verdictOf(answer)} ${policy.replaceAll(platform.namespace, "platform").replaceAll(team.namespace, "team")}`.trim();
  };
  const tried = async (name: string, sections: object): Promise<void> => {
    await team.apply([hostRoute(name, { parentRefs: [{ name: "edge", namespace: platform.namespace }] })]);
    await team.apply(apiPolicy(name, { kind: "HTTPRoute", name }, sections));
    await team.waitFor("HTTPRoute", name, "Accepted");
  };
  /** Waits for what a call with the platform's key gets, each time as another caller. */
  const answers = (host: string, expected: string): Promise<unknown> =>
    eventually(`${host} answers ${expected}`, async () => {
      const found = await call(host, { headers: KEY });
      if (found !== expected) throw new Error(`last was ${found}`);
      return true;
    });
  const overridden = (name: string, message: RegExp): Promise<unknown> =>
    team.waitFor("ApiPolicy", name, "Ready", { status: "False", reason: "Overridden", message });

  beforeAll(async () => {
    harness = await startHarness();
    platform = await harness.tenant("platform");
    team = await harness.tenant("team");
    await team.upstream("orders");
    const allowedRoutes = { namespaces: { from: "All" } };
    edge = await platform.gateway({ listeners: [{ name: "http", port: 8080, protocol: "HTTP", allowedRoutes }] });
    await addConsumer(platform, "portal", KEY["x-api-key"]);
    await addConsumer(team, "erp", OWN_KEY["x-api-key"]);
    await platform.enforce(
      apiPolicy(
        "floor",
        { kind: "Gateway", name: "edge" },
        {
          precedence: "Override",
          authentication: { apiKey: {}, basic: {}, forbid: ["Public", "Optional"] },
          rateLimit: { limits: [{ name: "each", ...LIMIT }] },
          allowlist: { entries: [{ cidr: "127.0.0.0/8" }] },
          denylist: { entries: [{ cidr: "127.66.0.0/16" }] },
          logging: { calls: "Errors", sinks: [{ name: "f", type: "File", file: { name: LOG } }] },
        },
      ),
    );
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  it("holds on routes of other namespaces that nobody has a policy for", async () => {
    await team.enforce(hostRoute("bare", { parentRefs: [{ name: "edge", namespace: platform.namespace }] }));
    await answers("bare", "200");
    expect(await call("bare")).toBe("401 GW-AUTHN-001 platform/floor#authentication");
    expect(await call("bare", { headers: KEY, from: "127.66.1.1" })).toBe("403 GW-DENY-001 platform/floor#denylist");
  });

  it("is not opened by a Public route, which learns that it is Overridden", async () => {
    await tried("open", OPEN);
    await overridden("open", /authentication of HTTPRoute\/open: the Override .*\/floor holds: it forbids mode Public/);
    await answers("open", "200");
    expect(await call("open")).toBe("401 GW-AUTHN-001 platform/floor#authentication");
  });

  it("does not take credentials that a team brings", async () => {
    const apiKey = { consumerSelector: { matchLabels: { any: "one" } } };
    await tried("own-keys", { authentication: { apiKey } });
    await overridden("own-keys", /it does not name API keys of consumers of namespace/);
    await answers("own-keys", "200");
    expect(await call("own-keys", { headers: OWN_KEY })).toBe("401 GW-AUTHN-002 platform/floor#authentication");
  });

  it("lets a team drop a method, and then names the team", async () => {
    await tried("keys-only", { authentication: { apiKey: {} } });
    await team.waitFor("ApiPolicy", "keys-only", "Ready");
    expect(await call("keys-only", { headers: KEY })).toBe("200");
    const basic = { authorization: `Basic ${btoa("portal:secret")}` };
    for (const headers of [basic, {}])
      expect(await call("keys-only", { headers })).toMatch(/^401 GW-AUTHN-00[12] team\/keys-only#authentication$/);
  });

  it("keeps the smaller limit, wherever it is, and a refusal names whose it was", async () => {
    const own = (requests: number): object => ({ rateLimit: { limits: [{ name: "each", ...LIMIT, requests }] } });
    const five = async (host: string, headers: Readonly<Record<string, string>>): Promise<readonly string[]> => {
      const found: string[] = [];
      for (let sent = 0; sent < 5; sent += 1) found.push(await call(host, { headers: { ...KEY, ...headers } }));
      return found;
    };
    await tried("more", own(1_000));
    await overridden("more", /its limit each is smaller/);
    await answers("more", "200");
    const floor = "429 GW-RATE-001 platform/floor#rateLimit";
    expect(await five("more", { "x-caller": "m" })).toEqual(["200", "200", "200", floor, floor]);
    await tried("less", own(1));
    await team.waitFor("ApiPolicy", "less", "Ready");
    const mine = "429 GW-RATE-001 team/less#rateLimit";
    // A call that the floor let pass counts there too: in the end its limit refuses first.
    expect(await five("less", { "x-caller": "l" })).toEqual(["200", mine, mine, floor, floor]);
  });

  it("refuses addresses that only the team's list has, and lets the team's list refuse more", async () => {
    await tried("lists", {
      allowlist: {
        inherit: false,
        entries: [{ cidr: "127.1.0.0/16" }, { cidr: "127.66.0.0/16" }, { cidr: "0.0.0.0/0" }],
      },
      denylist: { entries: [{ cidr: "127.1.9.9/32" }] },
    });
    await team.waitFor("ApiPolicy", "lists", "Ready");
    expect(await call("lists", { headers: KEY, from: "127.1.0.1" })).toBe("200");
    expect(await call("lists", { headers: KEY, from: "127.66.0.1" })).toBe("403 GW-DENY-001 platform/floor#denylist");
    expect(await call("lists", { headers: KEY, from: "127.1.9.9" })).toBe("403 GW-DENY-001 team/lists#denylist");
    await tried("narrow", { allowlist: { entries: [{ cidr: "127.1.0.0/16" }] } });
    await team.waitFor("ApiPolicy", "narrow", "Ready");
    expect(await call("narrow", { headers: KEY, from: "127.2.0.1" })).toBe("403 GW-ALLOW-001 team/narrow#allowlist");
  });

  it("holds under a team's Audit mode, under its failurePolicy and in its own log", async () => {
    await tried("audited", {
      mode: "Audit",
      denylist: { entries: [{ cidr: "10.0.0.0/8" }] },
      allowlist: { entries: [{ cidr: "10.0.0.0/8" }] },
    });
    await team.waitFor("ApiPolicy", "audited", "Ready");
    expect(await call("audited")).toBe("401 GW-AUTHN-001 platform/floor#authentication");
    await tried("failing", {
      failurePolicy: "Open",
      rateLimit: { limits: [{ name: "each", requests: 1_000, per: "1s", scope: "Global" }] },
      logging: { calls: "None" },
    });
    await team.waitFor("ApiPolicy", "failing", "Accepted", { status: "False", reason: "Invalid" });
    await answers("failing", "200");
    for (let sent = 0; sent < 3; sent += 1) await call("failing", { headers: { ...KEY, "x-caller": "f" } });
    const path = "/is-recorded";
    expect(await call("failing", { path, headers: { ...KEY, "x-caller": "f" } })).toBe(
      "429 GW-RATE-001 platform/floor#rateLimit",
    );
    const line = await eventually("the call was recorded", () =>
      readFileSync(join(harness.logDirectory, LOG), "utf8")
        .split("\n")
        .find((text) => text.includes(path)),
    );
    expect(JSON.parse(line)).toMatchObject({
      policy: `${platform.namespace}/floor#rateLimit`,
      policies: {
        authentication: `${platform.namespace}/floor#authentication`,
        rateLimit: `${platform.namespace}/floor#rateLimit`,
        allowlist: `${platform.namespace}/floor#allowlist`,
      },
    });
  });

  it("in a Namespace holds while its label is there, and closes the routes while it is not", async () => {
    const label = (value: string): Promise<string> =>
      harness.cluster.kubectl(["label", "namespace", team.namespace, "--overwrite", `gatewarden.io/overrides${value}`]);
    await tried("house", OPEN);
    await team.apply(
      apiPolicy(
        "house-floor",
        { kind: "HTTPRoute", name: "house" },
        { precedence: "Override", denylist: { entries: [{ cidr: "127.3.0.0/16" }] } },
      ),
    );
    const closed = "503 GW-POLICY-002 team/house-floor";
    const notPermitted = {
      status: "False",
      reason: "OverrideNotPermitted",
      message: /gatewarden\.io\/overrides=allowed/,
    } as const;
    await team.waitFor("ApiPolicy", "house-floor", "Accepted", notPermitted);
    await answers("house", closed);
    await label("=allowed");
    await team.waitFor("ApiPolicy", "house-floor", "Ready");
    expect(await call("house", { headers: KEY, from: "127.3.0.1" })).toBe("403 GW-DENY-001 team/house-floor#denylist");
    expect(await call("house", { headers: KEY })).toBe("200");
    await label("-");
    await team.waitFor("ApiPolicy", "house-floor", "Accepted", notPermitted);
    await answers("house", closed);
    await team.remove("ApiPolicy", "house-floor");
    await answers("house", "200");
  });

  it("that is broken closes every route, and no team opens its own", async () => {
    await tried("hopeful", { rateLimit: { limits: [{ name: "each", requests: 5, per: "1s" }] } });
    await team.waitFor("ApiPolicy", "hopeful", "Ready");
    const broken = {
      precedence: "Override",
      rateLimit: { limits: [{ name: "each", requests: 1, per: "1s", scope: "Global" }] },
    };
    // Beside the floor, which is older, it would lose: it has a listener of its own to stand on.
    await platform.apply(apiPolicy("broken", { kind: "Gateway", name: "edge", sectionName: "http" }, broken));
    await platform.waitFor("ApiPolicy", "broken", "Accepted", { status: "False", reason: "Invalid" });
    for (const host of ["hopeful", "bare"]) await answers(host, "503 GW-POLICY-002 platform/broken#rateLimit");
    await platform.remove("ApiPolicy", "broken");
    await answers("hopeful", "200");
  });
});
