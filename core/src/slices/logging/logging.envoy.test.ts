/** What a real Envoy writes, for which calls and where; and what it never writes. */
import { createServer, type Http2Server } from "node:http2";
import { mkdtempSync, readFileSync } from "node:fs";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { connectHttp1, type RequestSpec, send } from "../../../../e2e/client/http1.ts";
import { removeAtExit } from "../../../../e2e/cluster/child-process.ts";
import { eventually } from "../../../../e2e/cluster/condition.ts";
import { type Chain, startChain, toUpstream } from "../../../test/chain.ts";
import { atOf, listenerOf, lookupOf, routeOf, sourceOf, type World } from "../../../test/section.ts";
import { denyWhere } from "../../envoy/rbac.ts";
import { mergeJson } from "../../translate/merge-json.ts";
import type { RoutePiece } from "../../slice.ts";
import type { JsonObject } from "../../world.ts";
import { isCredential } from "./masking.ts";
import type { Model } from "./model.ts";
import { schema, type Spec } from "./schema.ts";
import { logging } from "./slice.ts";

const FILE: Spec = { sinks: [{ name: "f", type: "File", file: { name: "calls.jsonl" } }] };
const CANARY = "c4n4ry-5ecret";

let directory = "";
let chain: Chain | undefined;
beforeEach(() => {
  directory = removeAtExit(mkdtempSync(join(tmpdir(), "gatewarden-logs-")));
});
afterEach(async () => {
  await chain?.stop();
  chain = undefined;
});

function modelOf(spec: Spec, world: World = {}): Model {
  const resolved = logging.resolve(schema().parse(spec), atOf(sourceOf("logging", "Gateway")), lookupOf(world));
  if (!resolved.ok) throw new Error(resolved.problems[0].message);
  return resolved.model;
}

const accessLogsOf = (spec: Spec, world?: World): readonly JsonObject[] =>
  logging.listener?.(modelOf(spec, world), listenerOf({ logDirectory: directory })).accessLogs ?? [];

const pieceOf = (spec: Spec, credentialHeaders: readonly string[] = []): RoutePiece =>
  logging.route?.(modelOf(spec), routeOf(sourceOf("logging"), { credentialHeaders })) ?? {};

/** As if the denylist of a policy had everybody. */
function denied(audit = false): RoutePiece {
  const slot = denyWhere([{ policy: "shop/orders#denylist", principals: [{ any: true }] }], "denylist", audit);
  return { slots: { denylist: slot }, metadata: audit ? {} : { denylist: "shop/orders#denylist" } };
}

function routeJson(
  prefix: string,
  pieces: readonly RoutePiece[],
  action: JsonObject = { route: toUpstream },
): JsonObject {
  return {
    match: { prefix },
    name: `shop/orders${prefix}`,
    ...action,
    metadata: {
      filter_metadata: { gatewarden: Object.assign({}, ...pieces.map(({ metadata }) => metadata)) as JsonObject },
    },
    typed_per_filter_config: pieces.reduce<JsonObject>((all, { slots }) => mergeJson(all, slots ?? {}), {}),
  };
}

async function start(
  routes: readonly JsonObject[],
  spec: Spec = FILE,
  further: object = {},
  world?: World,
): Promise<Chain> {
  chain = await startChain({ routes, hcm: { access_log: accessLogsOf(spec, world) }, ...further });
  return chain;
}

const target = () => ({ address: "127.0.0.1", port: chain?.port ?? 0 });
const call = (path: string, spec: RequestSpec = {}) => send(target(), { path, host: "shop.test", ...spec });

type Logged = Readonly<Record<string, unknown>>;

/** Everything in the file once `count` records are there. */
function records(count: number): Promise<readonly Logged[]> {
  return recordsOnce(`${String(count)} records`, (found) => found.length >= count);
}

async function recordsOnce(what: string, complete: (found: readonly Logged[]) => boolean): Promise<readonly Logged[]> {
  let found: readonly Logged[] = [];
  await eventually(what, async () => {
    await chain?.envoy.admin.post("/reopen_logs"); // writes what is buffered
    const lines = readFileSync(join(directory, "calls.jsonl"), "utf8").split("\n").slice(0, -1);
    found = lines.map((line) => JSON.parse(line) as Logged);
    return complete(found);
  });
  return found;
}

describe("a record", () => {
  it("says who called what, which policy decided, and constants and headers of the route", async () => {
    const piece = pieceOf({ headers: ["x-team", "x-none"], fields: { team: "shop", tier: "1" } });
    await start([routeJson("/denied", [piece, denied()]), routeJson("/", [piece])]);
    await call("/orders?access_token=x", { headers: { "x-team": 'a"b\\c', "user-agent": "probe\t1" } });
    await call("/denied");
    const [allowed, refused] = await records(2);
    expect(allowed).toMatchObject({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      gateway: "infra/edge",
      route: "shop/orders/",
      method: "GET",
      host: "shop.test",
      path: "/orders",
      clientIP: "127.0.0.1",
      peerIP: "127.0.0.1",
      status: 200,
      decision: "Allowed",
      reason: "via_upstream",
      headers: { "x-team": 'a"b\\c' },
      fields: { team: "shop", tier: "1" },
    });
    expect(refused).toMatchObject({
      status: 403,
      decision: "Denied",
      policy: "shop/orders#denylist",
      reason: "rbac_access_denied_matched_policy[shop/orders#denylist]",
      policies: { denylist: "shop/orders#denylist" },
    });
  });

  it("has the path that the service got, without its query", async () => {
    const rewritten = { route: { ...toUpstream, prefix_rewrite: "/internal" } };
    await start([routeJson("/public", [pieceOf({ calls: "All" })], rewritten)]);
    await call("/public/1?access_token=x");
    expect(await records(1)).toMatchObject([{ path: "/internal/1" }]);
  });

  it("says what an Audit policy would have refused", async () => {
    await start([routeJson("/", [pieceOf({ calls: "All" }), denied(true)])]);
    await call("/");
    expect(await records(1)).toMatchObject([{ status: 200, wouldDeny: { denylist: "shop/orders#denylist" } }]);
  });

  it("is one JSON object whatever is in headers, host and path", async () => {
    await start([routeJson("/", [pieceOf({ headers: ["x-team"] })])]);
    const hostile = ['"}{"status":1', "a\\", "\u00ff\u00fe", "%REQ(X)%", "\u2028", "{}"];
    for (const text of hostile) {
      await call(`/${encodeURIComponent(text)}`, { headers: { "user-agent": text, "x-team": text } });
    }
    const found = await records(hostile.length);
    // An escaped backslash in the path is refused by the listener.
    expect(found.map(({ status }) => status)).toEqual(hostile.map((text) => (text.includes("\\") ? 400 : 200)));
  });

  it("never holds a credential", async () => {
    const headers = ["authorization", "cookie", "x-api-key", "x-shop-token", "proxy-authorization", "x-shop", "x-team"];
    const secret = Object.fromEntries(headers.map((name) => [name, name === "x-team" ? "a" : `Bearer ${CANARY}`]));
    await start([routeJson("/", [pieceOf({ headers }, ["x-shop"])])], {
      sinks: [...(FILE.sinks ?? []), { name: "out", type: "Stdout" }],
    });
    await call(`/?access_token=${CANARY}&password=${CANARY}`, { headers: secret });
    const [record] = await records(1);
    expect(record?.["headers"]).toEqual({
      ...Object.fromEntries(headers.map((name) => [name, "[masked]"])),
      "x-team": "a",
    });
    await eventually("the record on stdout", () =>
      Promise.resolve(chain?.envoy.log().includes('"decision":"Allowed"') ?? false),
    );
    expect(readFileSync(join(directory, "calls.jsonl"), "utf8") + (chain?.envoy.log() ?? "")).not.toContain(CANARY);
  });
});

describe("calls", () => {
  const FAILING = { direct_response: { status: 503 } };

  it.each<readonly [NonNullable<Spec["calls"]>, readonly string[]]>([
    ["All", ["/denied", "/failing", "/last", "/ok"]],
    ["Denied", ["/denied", "/last"]],
    ["Errors", ["/denied", "/failing", "/last"]],
    ["None", ["/last"]],
  ])("%s records %j", async (calls, expected) => {
    const piece = pieceOf({ calls });
    await start([
      routeJson("/denied", [piece, denied()]),
      routeJson("/failing", [piece], FAILING),
      routeJson("/last", []),
      routeJson("/", [piece]),
    ]);
    for (const path of ["/ok", "/denied", "/failing", "/last"]) await call(path);
    const found = await records(expected.length);
    expect(found.map(({ path }) => path).sort()).toEqual(expected);
  });

  it("are sampled when they succeed, and always recorded when not", async () => {
    const piece = pieceOf({ sampling: 20 });
    await start([
      routeJson("/denied", [piece, denied()]),
      routeJson("/none", [pieceOf({ sampling: 0 })]),
      routeJson("/last", []),
      routeJson("/", [piece]),
    ]);
    const connection = await connectHttp1(target());
    for (let at = 0; at < 400; at += 1) await connection.request({ path: "/ok", host: "shop.test" });
    for (let at = 0; at < 20; at += 1) await connection.request({ path: "/none", host: "shop.test" });
    for (let at = 0; at < 20; at += 1) await connection.request({ path: "/denied", host: "shop.test" });
    await connection.request({ path: "/last", host: "shop.test" });
    connection.close();
    const found = await recordsOnce("the last record", (all) => all.some(({ path }) => path === "/last"));
    const count = (path: string) => found.filter((record) => record["path"] === path).length;
    expect([count("/denied"), count("/none")]).toEqual([20, 0]);
    // 80 expected; outside of these bounds once in a million runs.
    expect(count("/ok")).toBeGreaterThan(40);
    expect(count("/ok")).toBeLessThan(125);
  });

  it("are recorded when they never came to a route", async () => {
    await start([]);
    await call("/nowhere");
    const connection = await connectHttp1(target());
    await connection.raw("GET / HTTP/1.1\r\nhost: shop.test\r\nno header\r\n\r\n");
    connection.close();
    const found = await records(2);
    expect(found.map(({ status, decision }) => [status, decision])).toEqual([
      [404, "Failed"],
      [400, "Failed"],
    ]);
  });

  it("follow an edit on open connections, and no listener changes with it", async () => {
    const { setRoutes } = await start([routeJson("/", [pieceOf({ calls: "None" })])]);
    const connection = await connectHttp1(target());
    await connection.request({ path: "/before", host: "shop.test" });
    await setRoutes([routeJson("/", [pieceOf({ calls: "All", fields: { team: "new" } })])]);
    await connection.request({ path: "/after", host: "shop.test" });
    connection.close();
    expect(await records(1)).toMatchObject([{ path: "/after", fields: { team: "new" } }]);
    const changed: Spec = { ...FILE, calls: "Denied", headers: ["x-a"], fields: { a: "b" }, sampling: 1 };
    expect(accessLogsOf(changed)).toEqual(accessLogsOf(FILE));
  });
});

describe("OTLP", () => {
  let collector: Http2Server | undefined;
  afterEach(() => void collector?.close());

  it("sends records to the collector", async () => {
    const received: string[] = [];
    collector = createServer();
    collector.on("stream", (stream, headers) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        received.push(`${String(headers[":path"])} ${Buffer.concat(chunks).toString("latin1")}`);
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        stream.end(Buffer.alloc(5));
      });
    });
    const listening = collector;
    await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
    const { port } = listening.address() as AddressInfo;
    const spec: Spec = {
      sinks: [{ name: "o", type: "OTLP", otlp: { backendRef: { name: "otel", namespace: "obs", port: 4317 } } }],
    };
    const cluster = grpcCluster("otel", port);
    const piece = pieceOf({ fields: { team: "shop" } });
    await start(
      [routeJson("/", [piece, denied()])],
      spec,
      { clusters: [cluster] },
      { backends: { "obs/otel:4317": "otel" } },
    );
    await call("/secret?access_token=x");
    await eventually("a record at the collector", () => Promise.resolve(received.length > 0));
    const [record] = received;
    expect(record).toMatch(/^\/opentelemetry\.proto\.collector\.logs\.v1\.LogsService\/Export /);
    for (const text of [
      "gatewarden",
      "infra/edge",
      "Denied",
      "shop/orders#denylist",
      '{"team":"shop"}',
      "GET /secret 403",
    ]) {
      expect(record).toContain(text);
    }
    expect(record).not.toContain("access_token");
  });

  it("is broken without its Service", () => {
    const spec = schema().parse({
      sinks: [{ name: "o", type: "OTLP", otlp: { backendRef: { name: "otel", port: 1 } } }],
    });
    const resolved = logging.resolve(spec, atOf(sourceOf("logging", "Gateway")), lookupOf());
    expect(resolved).toMatchObject({
      ok: false,
      problems: [{ reason: "RefNotFound", path: "spec.logging.sinks[0].otlp.backendRef" }],
    });
  });
});

it.each([
  ["authorization", true],
  ["X-Api-Key", true],
  ["x-shop-key", true],
  ["x-csrf-token", true],
  ["x-session-id", true],
  ["x-request-id", false],
  ["x-keyboard", false],
  ["user-agent", false],
  ["x-author", false],
])("header %s is a credential: %s", (name, expected) => {
  expect(isCredential(name)).toBe(expected);
});

function grpcCluster(name: string, port: number): JsonObject {
  return {
    name,
    type: "STATIC",
    load_assignment: {
      cluster_name: name,
      endpoints: [
        { lb_endpoints: [{ endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: port } } } }] },
      ],
    },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
  };
}
