/** Both lists and clientIP in a real Envoy: which address counts, who is refused, in whose name. */
import { afterEach, describe, expect, it } from "@jest/globals";
import { send } from "../../../../e2e/client/http1.ts";
import { eventually } from "../../../../e2e/cluster/condition.ts";
import { type Chain, startChain, toUpstream } from "../../../test/chain.ts";
import { atOf, listenerOf, lookupOf, routeOf, sourceOf } from "../../../test/section.ts";
import type { RoutePiece, Source } from "../../slice.ts";
import type { JsonObject } from "../../world.ts";
import { clientIP } from "../clientIP/slice.ts";
import { schema as clientSchema } from "../clientIP/schema.ts";
import { denylist } from "../denylist/slice.ts";
import { type Spec as DenySpec, schema as denySchema } from "../denylist/schema.ts";
import { allowlist } from "./slice.ts";
import { type Spec as AllowSpec, schema as allowSchema } from "./schema.ts";

const NOW = Date.parse("2026-12-01T00:00:00Z");
const far = sourceOf("allowlist", "Gateway", "edge", "infra");
const near = sourceOf("allowlist");
const farDeny = sourceOf("denylist", "Gateway", "edge", "infra");
const nearDeny = sourceOf("denylist");

let chain: Chain | undefined;
afterEach(async () => {
  await chain?.stop();
  chain = undefined;
});

function allow(spec: AllowSpec, source: Source = near) {
  const resolved = allowlist.resolve(allowSchema().parse(spec), atOf(source), lookupOf({ nowMs: NOW }));
  if (!resolved.ok) throw new Error(resolved.problems[0].message);
  return resolved.model;
}

function deny(spec: DenySpec, source: Source = nearDeny) {
  const resolved = denylist.resolve(denySchema().parse(spec), atOf(source), lookupOf({ nowMs: NOW }));
  if (!resolved.ok) throw new Error(resolved.problems[0].message);
  return resolved.model;
}

const allowed = (model: ReturnType<typeof allow>, audit = false): RoutePiece =>
  allowlist.route?.(model, routeOf(near, { audit })) ?? {};
const denied = (model: ReturnType<typeof deny>, audit = false): RoutePiece =>
  denylist.route?.(model, routeOf(nearDeny, { audit })) ?? {};
const ranges = (...cidrs: readonly string[]) => ({ entries: cidrs.map((cidr) => ({ cidr })) });

function hcmOf(spec: object): JsonObject {
  const resolved = clientIP.resolve(clientSchema().parse(spec), atOf(sourceOf("clientIP", "Gateway")), lookupOf());
  if (!resolved.ok) throw new Error(resolved.problems[0].message);
  return clientIP.listener?.(resolved.model, listenerOf()).hcm ?? {};
}

async function start(pieces: Readonly<Record<string, readonly RoutePiece[]>>, hcm: JsonObject = {}): Promise<Chain> {
  const routes = Object.entries(pieces).map(([prefix, parts]) => ({
    match: { prefix },
    name: prefix,
    route: toUpstream,
    typed_per_filter_config: Object.assign({}, ...parts.map(({ slots }) => slots)) as JsonObject,
  }));
  const log = {
    name: "log",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
      log_format: {
        text_format_source: {
          inline_string: "@ %PATH(NQ)% %RESPONSE_CODE_DETAILS% %DYNAMIC_METADATA(envoy.filters.http.rbac)%\n",
        },
      },
    },
  };
  chain = await startChain({
    routes,
    hcm: { access_log: [log], access_log_options: { flush_access_log_on_new_request: false }, ...hcm },
  });
  return chain;
}

interface From {
  readonly peer?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function status(path: string, { peer = "127.0.0.1", headers = {} }: From = {}): Promise<number> {
  const target = { address: "127.0.0.1", port: chain?.port ?? 0, from: peer };
  return (await send(target, { path, host: "shop.test", headers })).status;
}

const behind = (forwarded: string, peer?: string): From => ({
  headers: { "x-forwarded-for": forwarded },
  ...(peer === undefined ? {} : { peer }),
});

describe("lists", () => {
  it("refuse and admit v4 and v6 addresses, the denylist whatever the allowlist says", async () => {
    const model = allow(ranges("203.0.113.0/24", "2001:db8::/32", "127.0.0.1/32"));
    const both = [allowed(model), denied(deny(ranges("203.0.113.7/32", "2001:db8:bad::/48")))];
    await start({ "/": both }, hcmOf({ trustedHops: 1 }));
    expect(await status("/", behind("203.0.113.6"))).toBe(200);
    expect(await status("/", behind("203.0.113.7"))).toBe(403);
    expect(await status("/", behind("198.51.100.1"))).toBe(403);
    expect(await status("/", behind("2001:db8:1::1"))).toBe(200);
    expect(await status("/", behind("2001:db8:bad::1"))).toBe(403);
    expect(await status("/", behind("2001:db9::1"))).toBe(403);
    expect(await status("/")).toBe(200);
  });

  it("name the policy that has the address, and the nearest allowlist for those without one", async () => {
    const model = denylist.merge?.(deny(ranges("127.0.0.2/32"), farDeny), deny(ranges("127.0.0.3/32")));
    await start({ "/deny": [denied(model ?? deny(ranges()))], "/allow": [allowed(allow(ranges("127.0.0.9/32")))] });
    expect([await status("/deny"), await status("/deny", { peer: "127.0.0.2" })]).toEqual([200, 403]);
    const target = { address: "127.0.0.1", port: chain?.port ?? 0, from: "127.0.0.2" };
    expect((await send(target, { path: "/deny", host: "shop.test" })).problem()).toMatchObject({
      code: "GW-DENY-001",
      policy: "infra/edge#denylist",
    });
    expect([await status("/deny", { peer: "127.0.0.3" }), await status("/allow")]).toEqual([403, 403]);
    await logged("/deny rbac_access_denied_matched_policy[infra/edge#denylist]");
    await logged("/deny rbac_access_denied_matched_policy[shop/orders#denylist]");
    await logged("/allow rbac_access_denied_matched_policy[shop/orders#allowlist]");
  });

  it("admit nobody by an ended entry, and everybody by none of the denylist's", async () => {
    const ended = { cidr: "127.0.0.1/32", expiresAt: "2026-11-30T23:59:59Z" };
    const live = { cidr: "127.0.0.2/32", expiresAt: "2026-12-01T00:00:01Z" };
    await start({
      "/ended": [allowed(allow({ entries: [ended] }))],
      "/live": [allowed(allow({ entries: [ended, live] }))],
      "/deny": [denied(deny({ entries: [ended] }))],
    });
    expect([await status("/ended"), await status("/ended", { peer: "127.0.0.2" })]).toEqual([403, 403]);
    expect([await status("/live"), await status("/live", { peer: "127.0.0.2" })]).toEqual([403, 200]);
    expect(await status("/deny")).toBe(200);
  });

  it("in Audit refuse nobody and say whom they would", async () => {
    const audited = [allowed(allow(ranges("127.0.0.9/32")), true), denied(deny(ranges("127.0.0.1/32")), true)];
    await start({ "/": audited });
    expect(await status("/")).toBe(200);
    await logged('"denylist_shadow_effective_policy_id":"shop/orders#denylist"');
    await logged('"allowlist_shadow_effective_policy_id":"shop/orders#allowlist"');
  });

  it("merge by range; inherit: false begins anew", async () => {
    const farModel = allow(ranges("127.0.0.1/32", "127.0.0.2/32"), far);
    const added = allowlist.merge?.(farModel, allow(ranges("127.0.0.3/32")));
    const replaced = allowlist.merge?.(farModel, allow({ ...ranges("127.0.0.3/32"), inherit: false }));
    await start({ "/added": [allowed(added ?? farModel)], "/replaced": [allowed(replaced ?? farModel)] });
    expect([await status("/added"), await status("/added", { peer: "127.0.0.3" })]).toEqual([200, 200]);
    expect([await status("/replaced"), await status("/replaced", { peer: "127.0.0.3" })]).toEqual([403, 200]);
  });

  it("take as many entries as the API allows", async () => {
    const many = Array.from({ length: 1_024 }, (_, at) => `10.${String(at >> 8)}.${String(at & 255)}.0/24`);
    await start({ "/": [denied(deny(ranges(...many)))] }, hcmOf({ trustedHops: 1 }));
    expect([await status("/", behind("10.3.255.9")), await status("/", behind("10.4.0.1"))]).toEqual([403, 200]);
  });
});

it("an entry's end is a time at which the engine asks again", () => {
  const lookup = lookupOf({ nowMs: NOW });
  const entries = [
    { cidr: "10.0.0.0/8", expiresAt: "2026-12-01T00:01:00Z" },
    { cidr: "10.1.0.0/16", expiresAt: "2026-11-01T00:00:00Z" },
    { cidr: "10.2.0.0/16" },
  ];
  denylist.resolve(denySchema().parse({ entries }), atOf(nearDeny), lookup);
  expect(lookup.times).toEqual([NOW + 60_000]);
});

describe("the client's address", () => {
  const admits = allowed(allow(ranges("203.0.113.5/32")));
  const forgeries = [
    { "x-forwarded-for": "203.0.113.5" },
    { "x-forwarded-for": "203.0.113.5, 203.0.113.5" },
    { "x-real-ip": "203.0.113.5" },
    { "x-envoy-external-address": "203.0.113.5" },
    { "true-client-ip": "203.0.113.5" },
    { forwarded: "for=203.0.113.5" },
  ];

  it("is the TCP peer, whatever headers say", async () => {
    await start({ "/peer": [allowed(allow(ranges("127.0.0.5/32")))], "/": [admits] });
    for (const headers of forgeries) expect(await status("/", { headers })).toBe(403);
    expect(await status("/peer", { peer: "127.0.0.5", headers: { "x-forwarded-for": "203.0.113.9" } })).toBe(200);
  });

  it("is the N-th from the right behind N proxies", async () => {
    await start({ "/": [admits] }, hcmOf({ trustedHops: 2 }));
    expect(await status("/", behind("203.0.113.5, 10.0.0.1"))).toBe(200);
    expect(await status("/", behind("203.0.113.5, 198.51.100.1, 10.0.0.1"))).toBe(403);
    expect(await status("/", behind("203.0.113.5"))).toBe(403);
  });

  it("is the first from the right that is no trusted proxy, and the peer where the peer is none", async () => {
    await start({ "/": [admits] }, hcmOf({ trustedProxies: ["127.0.0.8/32", "10.0.0.0/8"] }));
    expect(await status("/", behind("203.0.113.5", "127.0.0.8"))).toBe(200);
    expect(await status("/", behind("203.0.113.5, 10.1.2.3", "127.0.0.8"))).toBe(200);
    expect(await status("/", behind("203.0.113.5, 198.51.100.1", "127.0.0.8"))).toBe(403);
    for (const headers of forgeries) expect(await status("/", { headers })).toBe(403);
  });

  it("reaches the upstream in x-forwarded-for only, with what the client claimed before it", async () => {
    const { upstream } = await start({ "/": [] }, hcmOf({ trustedProxies: ["127.0.0.8/32"] }));
    await status("/", {
      peer: "127.0.0.1",
      headers: { "x-forwarded-for": "203.0.113.5", "x-envoy-external-address": "1.2.3.4" },
    });
    const headers = upstream.received()[0]?.headers ?? [];
    // Envoy appends the machine's own address where the peer is loopback.
    const forwarded = headers.filter(([name]) => name === "x-forwarded-for");
    expect(forwarded).toEqual([["x-forwarded-for", expect.stringMatching(/^203\.0\.113\.5,[0-9.]+$/)]]);
    expect(headers.map(([name]) => name)).not.toContain("x-envoy-external-address");
  });
});

async function logged(text: string): Promise<void> {
  const { envoy } = chain ?? {};
  await envoy?.admin.post("/reopen_logs"); // writes what is buffered
  await eventually(`the log says ${text}`, () => Promise.resolve(envoy?.log().includes(text) ?? false), {
    limitMs: 15_000,
  });
}
