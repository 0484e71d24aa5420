/** Limits by address in a real Envoy: their key travels in a header when a route has one of them, in metadata when it has more. */
import { afterEach, expect, test } from "@jest/globals";
import { send } from "../../../../e2e/client/http1.ts";
import { type Chain, startChain, toUpstream } from "../../../test/chain.ts";
import { atOf, lookupOf, routeOf, sourceOf } from "../../../test/section.ts";
import { collectHeaders, limitKeyMutation } from "../../envoy/collect.ts";
import { LIMIT_HEADER } from "../../envoy/collect-script.ts";
import { overflowCounter } from "../../envoy/overflow-counter.ts";
import type { RoutePiece } from "../../slice.ts";
import { mergeJson } from "../../translate/merge-json.ts";
import type { JsonObject } from "../../world.ts";
import { schema, type Spec } from "./schema.ts";
import { rateLimit } from "./slice.ts";

const MUTATIONS = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute";
const V6 = "2001:db8:1:";

let chain: Chain | undefined;
afterEach(async () => {
  await chain?.stop();
  chain = undefined;
});

type Limit = Spec["limits"][number];
const byAddress = (name: string, more: Partial<Limit> = {}): Limit => ({
  name,
  requests: 2,
  per: "1h",
  by: [{ type: "ClientIP" }],
  ...more,
});

function pieceOf(...limits: readonly Limit[]): RoutePiece {
  const source = sourceOf("rateLimit", "Route", "orders");
  const resolved = rateLimit.resolve(schema().parse({ limits }), atOf(source), lookupOf());
  if (!resolved.ok) throw new Error(resolved.problems[0].message);
  return rateLimit.route?.(resolved.model, routeOf(source)) ?? {};
}

async function start(pieces: Readonly<Record<string, RoutePiece>>, recorded: JsonObject = {}): Promise<void> {
  const entries = Object.values(pieces).flatMap((piece) => piece.host ?? []);
  chain = await startChain({
    routes: Object.entries(pieces).map(([prefix, piece]) => {
      const slots = mergeJson({ ...piece.slots }, recorded);
      const { limitKey = "" } = piece;
      const mutations = { request_mutations: [limitKeyMutation(limitKey, slots["collect"] !== undefined)] };
      return {
        match: { prefix },
        name: prefix,
        route: { ...toUpstream, rate_limits: piece.rateLimits ?? [] },
        typed_per_filter_config: { ...slots, select: { "@type": MUTATIONS, mutations } },
      };
    }),
    virtualHost: {
      typed_per_filter_config: rateLimit.host?.(new Map(entries.map(({ key, value }) => [key, value]))) ?? {},
    },
    hcm: { xff_num_trusted_hops: 1, access_log: [overflowCounter()] },
  });
}

/** Statuses of one call after the other. */
async function from(path: string, ...addresses: readonly string[]): Promise<readonly number[]> {
  const found: number[] = [];
  for (const address of addresses) {
    const headers = { "x-forwarded-for": address, [LIMIT_HEADER]: "forged" };
    found.push(
      (await send({ address: "127.0.0.1", port: chain?.port ?? 0 }, { path, host: "shop.test", headers })).status,
    );
  }
  return found;
}

test("beyond maxKeys share one bucket, and inventing addresses refills none", async () => {
  await start({ "/": pieceOf(byAddress("each", { maxKeys: 2 })) });
  expect(await from("/", "192.0.2.1", "192.0.2.1", "192.0.2.1", `${V6}2::1`)).toEqual([200, 200, 429, 200]);
  expect(await from("/", "192.0.2.3", `${V6}3::1`, "192.0.2.4", `${V6}4::1`)).toEqual([200, 200, 429, 429]);
  for (let at = 0; at < 60; at += 1)
    await from("/", at % 2 === 0 ? `198.51.100.${String(at)}` : `${V6}${String(at)}::1`);
  expect(await from("/", "192.0.2.1", `${V6}2::ffff`, `${V6}2::2`)).toEqual([429, 200, 429]);
  const counted = await chain?.envoy.admin.stats("gatewarden.limit_overflow");
  expect([...(counted ?? [])]).toEqual([["gatewarden.limit_overflow.limit.shop/orders#each", 64]]);
});

test("a caller has one bucket on routes that carry the limit alone and beside another one", async () => {
  const [each, slow] = [byAddress("each", { requests: 3 }), byAddress("a-slow", { requests: 50 })];
  const pieces = { "/one": pieceOf(each), "/two": pieceOf(slow, each) };
  expect([pieces["/one"].slots, Object.keys(pieces["/two"].slots ?? {})]).toEqual([{}, ["collect"]]);
  await start(pieces);
  expect(await from("/one", "192.0.2.1", "192.0.2.1")).toEqual([200, 200]);
  expect(await from("/two", "192.0.2.1", "192.0.2.1", "192.0.2.2")).toEqual([200, 429, 200]);
  expect(await from("/one", `${V6}2::1`, `${V6}2::2`)).toEqual([200, 200]);
  expect(await from("/two", `${V6}2::3`, `${V6}2::4`)).toEqual([200, 429]);
});

test("counts where headers are collected for logs too, and the upstream sees nothing of it", async () => {
  await start({ "/": pieceOf(byAddress("each")) }, { collect: collectHeaders(["x-plan"], () => false) });
  expect(await from("/", "192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2")).toEqual([200, 200, 429, 200]);
  const sent = chain?.upstream.received().flatMap(({ headers }) => headers.map(([name]) => name.toLowerCase())) ?? [];
  expect(sent).toContain("x-forwarded-for");
  expect(sent.filter((name) => name.startsWith("x-gatewarden-"))).toEqual([]);
});
