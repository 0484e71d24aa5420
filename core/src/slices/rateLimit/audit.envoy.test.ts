/** Limits in Audit mode in a real Envoy: they refuse nobody, take nothing from those that are enforced, and the record names them. */
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "@jest/globals";
import { removeAtExit } from "../../../../e2e/cluster/child-process.ts";
import { eventually } from "../../../../e2e/cluster/condition.ts";
import { type RequestSpec, send } from "../../../../e2e/client/http1.ts";
import type { Echo } from "../../../../e2e/upstream/echo.ts";
import { type Chain, startChain, toUpstream } from "../../../test/chain.ts";
import { atOf, lookupOf, routeOf, sourceOf } from "../../../test/section.ts";
import { denyWhere } from "../../envoy/rbac.ts";
import type { ExtensionName, Level, RoutePiece } from "../../slice.ts";
import { joinPieces } from "../../translate/piece.ts";
import type { JsonObject } from "../../world.ts";
import { recordOf } from "../logging/record.ts";
import type { Model } from "./model.ts";
import { schema, type Spec } from "./schema.ts";
import { rateLimit } from "./slice.ts";

const HEADER = "x-gatewarden-would-limit";

let chain: Chain | undefined;
let log = "";
afterEach(async () => {
  await chain?.stop();
  chain = undefined;
});

function modelOf(policy: string, spec: Spec, level: Level): Model {
  const resolved = rateLimit.resolve(schema().parse(spec), atOf(sourceOf("rateLimit", level, policy)), lookupOf());
  if (!resolved.ok) throw new Error(resolved.problems[0].message);
  return resolved.model;
}

function pieceOf(policy: string, audit: boolean, spec: Spec, level: Level = "Route"): RoutePiece {
  return rateLimit.route?.(modelOf(policy, spec, level), routeOf(sourceOf("rateLimit"), { audit })) ?? {};
}

/** One route for each piece, as translate/ puts it together. */
async function start(pieces: Readonly<Record<string, RoutePiece>>, action?: JsonObject): Promise<Chain> {
  const all = Object.values(pieces);
  const host = all.flatMap((piece) => piece.host ?? []).map(({ key, value }) => [key, value] as const);
  const bySlot = Map.groupBy(
    all.flatMap((piece) => piece.gateway ?? []),
    ({ slot }): ExtensionName => slot,
  );
  log = join(removeAtExit(mkdtempSync(join(tmpdir(), "gatewarden-audit-"))), "calls.jsonl");
  chain = await startChain({
    routes: Object.entries(pieces).map(([prefix, piece]) => ({
      match: { prefix },
      ...(action ?? { route: { ...toUpstream, rate_limits: piece.rateLimits ?? [] } }),
      metadata: { filter_metadata: { gatewarden: piece.metadata ?? {} } },
      typed_per_filter_config: { ...piece.slots, ...(action === undefined ? {} : piece.direct) },
    })),
    virtualHost: { typed_per_filter_config: rateLimit.host?.(new Map(host)) ?? {} },
    extensions: Object.fromEntries(
      [...bySlot].map(([slot, entries]) => {
        const values = new Map(entries.map(({ key, value }) => [key, value]));
        return [slot, rateLimit.extension?.(slot, values, lookupOf()) ?? {}];
      }),
    ),
    hcm: {
      access_log: [
        {
          name: "file",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            path: log,
            log_format: { json_format: recordOf("infra/edge"), omit_empty_values: true },
          },
        },
      ],
    },
  });
  return chain;
}

let calls = 0;
/** Status of a call, the policy that its record says would have limited it, and the header as the upstream got it. */
async function told(prefix: string, headers: RequestSpec["headers"] = {}): Promise<readonly unknown[]> {
  const path = `${prefix}call-${String(++calls)}`;
  const answer = await send({ address: "127.0.0.1", port: chain?.port ?? 0 }, { path, host: "shop.test", headers });
  const line = await eventually("the record", async () => {
    await chain?.envoy.admin.post("/reopen_logs"); // writes what is buffered
    return readFileSync(log, "utf8")
      .split("\n")
      .find((each) => each.includes(`"${path}"`));
  });
  const record = JSON.parse(line) as { readonly wouldDeny?: { readonly rateLimit?: string } };
  if (answer.status === 200) expect(answer.json<Echo>().headers.map(([name]) => name)).not.toContain(HEADER);
  return [answer.status, record.wouldDeny?.rateLimit];
}

const one = (name: string, requests: number): Spec => ({ limits: [{ name, requests, per: "1h" }] });
const NEXT = "shop/next#rateLimit";

describe("an audited limit", () => {
  it("refuses nobody and is named by the records of the calls that it would refuse", async () => {
    await start({ "/": joinPieces(pieceOf("now", false, one("all", 4)), pieceOf("next", true, one("all", 2))) });
    expect(await told("/")).toEqual([200, undefined]);
    expect(await told("/")).toEqual([200, undefined]);
    expect(await told("/")).toEqual([200, NEXT]);
    expect(await told("/")).toEqual([200, NEXT]);
    expect(await told("/")).toEqual([429, NEXT]);
  });

  it("of the Gateway counts over all its routes, and one behind authentication is named too", async () => {
    const edge = pieceOf("edge", true, one("all", 2), "Gateway");
    const each: Spec = { limits: [{ name: "each", requests: 1, per: "1h", by: [{ type: "Consumer" }] }] };
    await start({ "/a/": edge, "/b/": edge, "/c/": pieceOf("next", true, each) });
    expect([await told("/a/"), await told("/b/"), await told("/a/")]).toEqual([
      [200, undefined],
      [200, undefined],
      [200, "shop/edge#rateLimit"],
    ]);
    expect([await told("/c/"), await told("/c/")]).toEqual([
      [200, undefined],
      [200, NEXT],
    ]);
  });

  it("is named where another check refuses the call", async () => {
    const denied = denyWhere([{ policy: "shop/now#authentication", principals: [{ any: true }] }], "authn", false);
    const piece = pieceOf("next", true, one("all", 1));
    await start({ "/": { ...piece, slots: { ...piece.slots, authn: denied } } });
    expect([await told("/"), await told("/")]).toEqual([
      [401, undefined],
      [401, NEXT],
    ]);
  });

  it("counts beside an enforced one on a route that Envoy answers itself", async () => {
    const piece = joinPieces(pieceOf("now", false, one("all", 3)), pieceOf("next", true, one("all", 1)));
    await start({ "/": piece }, { redirect: { host_redirect: "else.test" } });
    expect([await told("/"), await told("/"), await told("/"), await told("/")]).toEqual([
      [301, undefined],
      [301, NEXT],
      [301, NEXT],
      [429, NEXT],
    ]);
  });

  it("is one of those that are named together where several levels are audited", async () => {
    const far = modelOf("space", one("space", 9), "Namespace");
    const near = modelOf("next", one("all", 1), "Route");
    const both =
      rateLimit.route?.(rateLimit.merge?.(far, near) ?? near, routeOf(sourceOf("rateLimit"), { audit: true })) ?? {};
    await start({ "/": both });
    expect([await told("/"), await told("/")]).toEqual([
      [200, undefined],
      [200, `shop/space#rateLimit, ${NEXT}`],
    ]);
  });

  it("never counts because a client says so", async () => {
    await start({ "/": {} });
    expect(await told("/", { [HEADER]: "shop/forged#rateLimit" })).toEqual([200, undefined]);
  });
});
