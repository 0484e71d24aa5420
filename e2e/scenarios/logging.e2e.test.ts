/** Call logs: which calls are recorded, what a record says, where it goes, and what it never holds. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, type RequestSpec, send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { upstreamAddress } from "../cluster/netns.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { verdictOf } from "./authentication-manifest.ts";
import { type OtlpReceiver, startOtlpReceiver } from "./otlp-receiver.ts";
import { addConsumer, API_KEY, apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { httpRoute } from "./routes-manifest.ts";
import { enforceSections, hostRoute, untilVerdict, withSections } from "./sections-manifest.ts";

const FILE = "calls.jsonl";
const FROM = "127.0.0.7";

interface CallRecord {
  readonly path: string;
  readonly [member: string]: unknown;
}

describe("call logs", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  let collector: OtlpReceiver;
  const sinks = (namespace: string) => [
    { name: "main", type: "Stdout" },
    { name: "f", type: "File", file: { name: FILE } },
    { name: "o", type: "OTLP", otlp: { backendRef: { name: "otel", namespace, port: 4317 } } },
  ];
  let gatewayPolicy: (logging: object) => ReturnType<typeof apiPolicy>;

  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("logging");
    const obs = await harness.tenant("obs");
    await shop.upstream("orders");
    collector = await startOtlpReceiver(upstreamAddress());
    harness.atEnd(collector.stop);
    await obs.apply(otelService(collector));
    await obs.apply({
      apiVersion: "gateway.networking.k8s.io/v1beta1",
      kind: "ReferenceGrant",
      metadata: { name: "logs" },
      spec: {
        from: [{ group: "gatewarden.io", kind: "ApiPolicy", namespace: shop.namespace }],
        to: [{ group: "", kind: "Service", name: "otel" }],
      },
    });
    gatewayPolicy = (logging) =>
      apiPolicy(
        "gateway",
        { kind: "Gateway", name: "edge" },
        { ...OPEN_TO_ALL, logging: { sinks: sinks(obs.namespace), ...logging } },
      );
    edge = await shop.gateway();
    await addConsumer(shop, "erp", "k-logs-erp");
    await shop.enforce([gatewayPolicy({ headers: ["x-request-id"], fields: { team: "shop" } }), hostRoute("plain")]);
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const records = (): readonly CallRecord[] =>
    readFileSync(join(harness.logDirectory, FILE), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as CallRecord);
  let calls = 0;
  const call = (host: string, request: RequestSpec = {}) =>
    send(edge.target({ from: FROM }), { host: `${host}.test`, ...request });
  /** Sends a call with a path of its own, and returns its record. */
  const recordOf = async (host: string, request: RequestSpec = {}): Promise<CallRecord> => {
    const path = `/call-${String(++calls)}`;
    await call(host, { ...request, path: `${path}${request.path ?? ""}` });
    return eventually(`the record of ${path}`, () => records().find((record) => record.path === path));
  };
  /** Which of these calls are in the log: what was sent last, and is always recorded, tells that the others would be there. */
  const recorded = async (
    host: string,
    requests: Readonly<Record<string, RequestSpec>>,
  ): Promise<readonly string[]> => {
    const paths = new Map<string, string>();
    for (const [name, request] of Object.entries(requests)) {
      const path = `/call-${String(++calls)}`;
      paths.set(path, name);
      await call(host, { ...request, path: `${path}${request.path ?? ""}` });
    }
    await recordOf("nowhere");
    return records().flatMap(({ path }) => paths.get(path) ?? []);
  };

  it("say who called what, what was answered and who decided, the same in every sink", async () => {
    await enforceSections(shop, "orders", {
      ...API_KEY,
      logging: { headers: ["x-ticket", "X-Missing"], fields: { product: "orders" } },
    });
    const record = await recordOf("orders", {
      method: "POST",
      path: "?token=secret-in-query&x=1",
      headers: { "x-api-key": "k-logs-erp", "user-agent": 'curl "8"', "x-ticket": "T-1" },
      body: "hello",
    });
    expect(record).toMatchObject({
      gateway: `${shop.namespace}/edge`,
      route: `${shop.namespace}/orders/only/0`,
      method: "POST",
      host: "orders.test",
      protocol: "HTTP/1.1",
      userAgent: 'curl "8"',
      clientIP: FROM,
      peerIP: FROM,
      status: 200,
      decision: "Allowed",
      policies: { authentication: `${shop.namespace}/orders#authentication` },
      consumer: `${shop.namespace}/erp`,
      bytesReceived: 5,
      headers: { "x-ticket": "T-1" },
      fields: { product: "orders" },
    });
    expect(record["requestId"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(Date.parse(String(record["time"]))).toBeGreaterThan(Date.now() - 60_000);
    expect(record["upstream"]).toMatch(/:\d+$/);
    expect(record).not.toHaveProperty("policy");
    expect(JSON.stringify(record)).not.toMatch(/secret-in-query|k-logs-erp/);
    const { path } = record;
    const line = await eventually("the line on standard output", () =>
      edge.envoy
        .log()
        .split("\n")
        .find((each) => each.startsWith("{") && each.includes(`"${path}"`)),
    );
    expect(JSON.parse(line)).toEqual(record);
    const exported = await eventually("the exported record", () =>
      collector.records().find(({ attributes }) => attributes["path"] === path),
    );
    expect(exported.body).toBe(`POST ${path} 200`);
    expect(exported.attributes).toMatchObject({
      "service.name": "gatewarden",
      gateway: `${shop.namespace}/edge`,
      requestId: record["requestId"],
      status: "200",
      decision: "Allowed",
      consumer: `${shop.namespace}/erp`,
      clientIP: FROM,
    });
  });

  it("name the decision and the policy that denied", async () => {
    const limits = [{ name: "none", requests: 1, per: "24h", match: { headers: { "x-limit": "1" } } }];
    const denylist = { entries: [{ cidr: "127.0.0.8/32" }] };
    await enforceSections(shop, "decisions", { ...API_KEY, denylist, rateLimit: { limits } });
    await shop.enforce([
      httpRoute("down", { hostnames: ["down.test"], rules: [{ backendRefs: [{ name: "down", port: 80 }] }] }),
      ...downService(),
    ]);
    const key = { "x-api-key": "k-logs-erp" };
    const decided = async (host: string, request: RequestSpec = {}): Promise<readonly unknown[]> => {
      const { status, decision, policy } = await recordOf(host, request);
      return [status, decision, policy];
    };
    const by = (section: string): string => `${shop.namespace}/decisions#${section}`;
    expect(await decided("decisions", { headers: key })).toEqual([200, "Allowed", undefined]);
    expect(await decided("decisions", { headers: key, path: "?echo-status=418" })).toEqual([418, "Allowed", undefined]);
    expect(await decided("decisions", { headers: key, path: "?echo-status=503" })).toEqual([503, "Allowed", undefined]);
    // An upstream cannot pretend that a policy decided.
    const pretend = "?echo-status=403&echo-header=x-gatewarden-policy:shop/x%23authentication";
    expect((await decided("decisions", { headers: key, path: pretend })).slice(0, 2)).toEqual([403, "Allowed"]);
    expect(await decided("decisions")).toEqual([401, "Denied", by("authentication")]);
    const limited = { ...key, "x-limit": "1" };
    await call("decisions", { headers: limited });
    expect(await decided("decisions", { headers: limited })).toEqual([429, "Denied", by("rateLimit")]);
    expect(await decided("nowhere")).toEqual([404, "Failed", undefined]);
    expect(await decided("down")).toEqual([503, "Failed", undefined]);
    const path = `/call-${String(++calls)}`;
    await send(edge.target({ from: "127.0.0.8" }), { host: "decisions.test", path });
    const denied = await eventually("the record", () => records().find((record) => record.path === path));
    expect([denied["status"], denied["decision"], denied["policy"]]).toEqual([403, "Denied", by("denylist")]);
  });

  it("hold the calls that the route's policy wants", async () => {
    const key = { "x-api-key": "k-logs-erp" };
    const requests = {
      passed: { headers: key },
      redirected: { headers: key, path: "?echo-status=302" },
      "not found": { headers: key, path: "?echo-status=404" },
      failed: { headers: key, path: "?echo-status=500" },
      denied: {},
    };
    const found: Record<string, readonly string[]> = {};
    for (const word of ["All", "Errors", "Denied", "None"]) {
      const name = `calls-${word.toLowerCase()}`;
      await enforceSections(shop, name, { ...API_KEY, logging: { calls: word } });
      found[word] = await recorded(name, requests);
    }
    expect(found).toEqual({
      All: ["passed", "redirected", "not found", "failed", "denied"],
      Errors: ["not found", "failed", "denied"],
      Denied: ["denied"],
      None: [],
    });
  });

  it("sample successful calls, and no others", async () => {
    const key = { "x-api-key": "k-logs-erp" };
    const many = Object.fromEntries(
      Array.from({ length: 200 }, (_, index) => [`call ${String(index)}`, { headers: key }]),
    );
    const failed = { failed: { headers: key, path: "?echo-status=500" }, denied: {} };
    for (const [sampling, least, most] of [
      [0, 0, 0],
      [50, 55, 145],
      [100, 200, 200],
    ] as const) {
      const name = `sampling-${String(sampling)}`;
      await enforceSections(shop, name, { ...API_KEY, logging: { sampling } });
      const names = await recorded(name, { ...many, ...failed });
      const successes = names.filter((each) => each.startsWith("call")).length;
      expect([name, successes >= least, successes <= most]).toEqual([name, true, true]);
      expect([name, names.filter((each) => !each.startsWith("call"))]).toEqual([name, ["failed", "denied"]]);
    }
  });

  it("mask credentials, also where the policy names them, and print constants as they are", async () => {
    const secret = "c4n4ry";
    const names = [
      "authorization",
      "cookie",
      "x-api-key",
      "x-weird",
      "x-auth-token",
      "x-plain",
      "x-gatewarden-consumer",
    ];
    await enforceSections(shop, "masks", {
      authentication: { mode: "Optional", apiKey: { from: { headers: ["x-weird"], cookies: ["sid"] } } },
      logging: { headers: names, fields: { a: '"quoted" \\ back', b: "%REQ(authorization)% %START_TIME%", "c.d": "" } },
    });
    const headers: Record<string, string> = Object.fromEntries(
      names.filter((name) => name !== "x-weird").map((name) => [name, `${secret}-${name}`]),
    );
    const record = await recordOf("masks", { headers: { ...headers, "x-plain": 'say "hi" \\ %REQ(cookie)%' } });
    expect(record["fields"]).toEqual({ a: '"quoted" \\ back', b: "%REQ(authorization)% %START_TIME%", "c.d": "" });
    expect(record["headers"]).toEqual({
      authorization: "[masked]",
      cookie: "[masked]",
      "x-api-key": "[masked]",
      "x-auth-token": "[masked]",
      "x-plain": 'say "hi" \\ %REQ(cookie)%',
    });
    const wrong = await recordOf("masks", { headers: { "x-weird": `${secret}-wrong` } });
    expect([wrong["decision"], wrong["headers"]]).toEqual(["Denied", { "x-weird": "[masked]" }]);
    expect(readFileSync(join(harness.logDirectory, FILE), "utf8")).not.toContain(secret);
  });

  it("change for the next call on an open connection, and only sinks touch a listener", async () => {
    await enforceSections(shop, "edits", { logging: { calls: "None" } });
    const held = await connectHttp1(edge.target({ from: FROM }));
    const modified = (): Promise<number> => edge.envoy.admin.stat("listener_manager.listener_modified");
    const before = await modified();
    const found: unknown[] = [];
    for (const logging of [
      { calls: "None" },
      { calls: "All", fields: { step: "1" } },
      { calls: "All", headers: ["x-step"], fields: { step: "2" } },
      { calls: "Errors" },
    ]) {
      await enforceSections(shop, "edits", { logging });
      const path = `/edit-${String(++calls)}`;
      expect(verdictOf(await held.request({ host: "edits.test", path, headers: { "x-step": "s" } }))).toBe("200");
      await recordOf("nowhere");
      const record = records().find((each) => each.path === path);
      found.push(record === undefined ? "none" : [record["fields"], record["headers"]]);
    }
    expect(found).toEqual(["none", [{ step: "1" }, undefined], [{ step: "2" }, { "x-step": "s" }], "none"]);
    expect([await modified(), held.closed()]).toEqual([before, false]);
    held.close();
  });

  it("go nowhere but into the proxy's log directory, and sinks stand on listeners only", async () => {
    for (const name of ["../x", "a/b", ".hidden", "/etc/x", "a\u0000b", ""]) {
      const sink = { name: "f", type: "File", file: { name } };
      const policy = apiPolicy("outside", { kind: "Gateway", name: "edge" }, { logging: { sinks: [sink] } });
      await expect(shop.apply(policy)).rejects.toThrow(/name/);
    }
    const sink = { name: "f", type: "File", file: { name: "own.jsonl" } };
    await shop.apply(withSections("own-sink", { logging: { calls: "All", sinks: [sink] } }));
    const message = /spec\.logging\.sinks/;
    await shop.waitFor("ApiPolicy", "own-sink", "Accepted", {
      status: "False",
      reason: "UnsupportedForTarget",
      message,
    });
    // A broken logging falls back to the inherited one.
    await untilVerdict(edge.target(), { host: "own-sink.test" }, "200");
    expect((await recordOf("own-sink"))["fields"]).toEqual({ team: "shop" });
  });

  it("serve on where a sink is broken, say so, and use it once it may be used", async () => {
    const team = await harness.tenant("broken");
    const obs = await harness.tenant("closed");
    await team.upstream("orders");
    await obs.apply(otelService(collector));
    const gateway = await team.gateway();
    const policy = apiPolicy(
      "gateway",
      { kind: "Gateway", name: "edge" },
      { ...OPEN_TO_ALL, logging: { sinks: sinks(obs.namespace).slice(2) } },
    );
    await team.apply([hostRoute("any"), policy]);
    const message = /spec\.logging\.sinks\[0\]|ReferenceGrant/;
    await team.waitFor("ApiPolicy", "gateway", "ResolvedRefs", { status: "False", reason: "RefNotPermitted", message });
    await untilVerdict(gateway.target(), { host: "any.test" }, "200");
    await obs.apply({
      apiVersion: "gateway.networking.k8s.io/v1beta1",
      kind: "ReferenceGrant",
      metadata: { name: "logs" },
      spec: {
        from: [{ group: "gatewarden.io", kind: "ApiPolicy", namespace: team.namespace }],
        to: [{ group: "", kind: "Service" }],
      },
    });
    await team.waitFor("ApiPolicy", "gateway", "Programmed");
    await eventually("a record", async () => {
      await send(gateway.target(), { host: "any.test", path: "/mended" });
      return collector.records().some(({ attributes }) => attributes["path"] === "/mended");
    });
  });

  it("stop with the policy", async () => {
    await shop.remove("ApiPolicy", "gateway");
    await untilVerdict(edge.target(), { host: "plain.test" }, "403 GW-POLICY-001");
    const size = (): number => records().length;
    await eventually("no more records", async () => {
      const before = size();
      await call("plain");
      await call("plain");
      // Files are written each 100 ms.
      await new Promise((resolve) => setTimeout(resolve, 300));
      return size() === before;
    });
  });
});

function otelService({ address, port }: OtlpReceiver): Parameters<Tenant["apply"]>[0] {
  return service("otel", 4317, [{ addresses: [address], conditions: { ready: true } }], port);
}

/** A Service whose endpoint nobody listens at. */
function downService(): ReturnType<typeof service> {
  return service("down", 80, [{ addresses: [upstreamAddress()], conditions: { ready: true } }], 1);
}

function service(name: string, port: number, endpoints: readonly object[], endpointPort: number) {
  const ports = [{ name: "main", port: endpointPort }];
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name },
      spec: { ports: [{ name: "main", port, targetPort: endpointPort }] },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: `${name}-1`, labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports,
      endpoints,
    },
  ];
}
