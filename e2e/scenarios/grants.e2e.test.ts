/** The life of a right: granted, for later, ended by the clock, revoked, taken back; on connections that stay open. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, type RequestSpec } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import { eventually } from "../cluster/condition.ts";
import type { KubeObject } from "../harness/api.ts";
import type { Expected } from "../harness/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { verdictOf } from "./authentication-manifest.ts";
import { addConsumer, API_KEY, consumerOf } from "./policies-manifest.ts";
import { enforceSections } from "./sections-manifest.ts";

const NO_RIGHT = "403 GW-AUTHZ-001";
const REVOCATION_LIMIT_MS = 2_000;
const rules = [
  { name: "export", action: "Allow", paths: ["/export"], grant: "Required" },
  { name: "read", action: "Allow", paths: ["/read"] },
];

describe("grants", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("grants");
    await shop.upstream("orders");
    edge = await shop.gateway();
    await Promise.all([addConsumer(shop, "erp", "k-erp"), addConsumer(shop, "crm", "k-crm")]);
    await enforceSections(shop, "orders", { ...API_KEY, authorization: { rules } });
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const call = (key = "k-erp", path = "/export"): RequestSpec => ({
    host: "orders.test",
    path,
    headers: { "x-api-key": key },
  });
  const at = (seconds: number): string => new Date(Date.now() + seconds * 1_000).toISOString();
  const grant = (name: string, spec: object = {}): KubeObject => ({
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiGrant",
    metadata: { name },
    spec: { consumer: { name: "erp" }, policy: { name: "orders", rules: ["export"] }, expiresAt: at(3_600), ...spec },
  });
  const active = (name: string, expected?: Expected) => shop.waitFor("ApiGrant", name, "Active", expected);
  /** An HTTP/1, an HTTP/2 and a WebSocket connection: the first two ask again and again, the third is over one of its own. */
  const openConnections = async () => {
    const [http1, http2] = [await connectHttp1(edge.target()), await connectHttp2(edge.target())];
    const ask = async (spec = call()): Promise<readonly string[]> =>
      (await Promise.all([http1.request(spec), http2.request(spec)])).map(verdictOf);
    return {
      ask,
      become: (expected: string, limitMs: number): Promise<boolean> =>
        eventually(
          expected,
          async () => {
            const found = await ask();
            if (found.some((verdict) => verdict !== expected)) throw new Error(found.join());
            return true;
          },
          { limitMs },
        ),
      close: (): readonly boolean[] => {
        const closed = [http1.closed(), http2.closed()];
        http1.close();
        http2.close();
        return closed;
      },
    };
  };
  const webSocket = async (): Promise<{ readonly verdict: string; readonly close: () => void }> => {
    const connection = await connectHttp1(edge.target());
    const headers = { "x-api-key": "k-erp", connection: "Upgrade", upgrade: "websocket" };
    const answer = await connection.request({ ...call(), headers });
    return { verdict: verdictOf(answer), close: connection.close };
  };

  it("are the only right: without one nobody passes, and the other rules stay as they are", async () => {
    const open = await openConnections();
    expect(await open.ask()).toEqual([NO_RIGHT, NO_RIGHT]);
    expect(await open.ask(call("k-erp", "/read"))).toEqual(["200", "200"]);
    expect(open.close()).toEqual([false, false]);
  });

  it("begin and end by the clock, on open connections, and their status says so", async () => {
    const open = await openConnections();
    const [begin, end] = [at(4), at(10)];
    await shop.apply(grant("timed", { notBefore: begin, expiresAt: end }));
    await active("timed", { status: "False", reason: "NotYetActive" });
    await shop.waitFor("ApiGrant", "timed", "Ready");
    if (Date.now() < Date.parse(begin) - 500) expect(await open.ask()).toEqual([NO_RIGHT, NO_RIGHT]);
    await open.become("200", 4_000 + REVOCATION_LIMIT_MS);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(begin));
    await active("timed");
    expect(await open.ask(call("k-crm"))).toEqual([NO_RIGHT, NO_RIGHT]);
    const socket = await webSocket();
    expect(socket.verdict).toBe("101");
    let last = Date.now();
    await eventually("the end", async () => {
      const now = Date.now();
      const found = await open.ask();
      if (found.includes("200")) last = now;
      return found.every((verdict) => verdict === NO_RIGHT);
    });
    expect(last).toBeLessThan(Date.parse(end) + REVOCATION_LIMIT_MS);
    expect((await webSocket()).verdict).toBe(NO_RIGHT);
    socket.close();
    await active("timed", { status: "False", reason: "Expired" });
    await shop.waitFor("ApiGrant", "timed", "Ready", { status: "True", reason: "Expired" });
    expect(open.close()).toEqual([false, false]);
    await shop.remove("ApiGrant", "timed");
  });

  it.each<[string, () => Promise<unknown>]>([
    ["revoked", () => shop.apply(grant("right", { expiresAt: END, revoked: true }))],
    ["ended earlier", () => shop.apply(grant("right", { expiresAt: at(0) }))],
    ["deleted", () => shop.remove("ApiGrant", "right")],
    ["held by a consumer that is suspended", () => shop.apply(consumerOf("erp", { suspended: true }))],
  ])("hold no longer within 2 s when they are %s", async (_, change) => {
    await shop.apply(consumerOf("erp", { suspended: false }));
    await shop.remove("ApiGrant", "right");
    const open = await openConnections();
    await shop.apply(grant("right", { expiresAt: END }));
    await open.become("200", 10_000);
    await shop.waitFor("ApiGrant", "right", "Ready");
    await change();
    await eventually(
      "no right",
      async () => (await open.ask()).every((verdict) => verdict === NO_RIGHT || verdict.startsWith("401 ")),
      { limitMs: REVOCATION_LIMIT_MS },
    );
    expect(open.close()).toEqual([false, false]);
  });

  it("say what is missing, until it is there", async () => {
    await shop.apply(consumerOf("erp", { suspended: false }));
    await shop.remove("ApiGrant", "right");
    const cases = [
      ["nobody", { consumer: { name: "nobody" } }, "RefNotFound", /ApiConsumer nobody/],
      ["no-policy", { policy: { name: "absent", rules: ["export"] } }, "RefNotFound", /ApiPolicy absent/],
      ["no-rule", { policy: { name: "orders", rules: ["absent"] } }, "RefNotFound", /no rule absent/],
      ["no-need", { policy: { name: "orders", rules: ["read"] } }, "InvalidRef", /grant: Required/],
    ] as const;
    await shop.apply(cases.map(([name, spec]) => grant(name, spec)));
    for (const [name, , reason, message] of cases) {
      await shop.waitFor("ApiGrant", name, "ResolvedRefs", { status: "False", reason, message });
      await shop.waitFor("ApiGrant", name, "Ready", { status: "False", reason });
    }
    await addConsumer(shop, "nobody", "k-nobody");
    await active("nobody");
    await shop.waitFor("ApiGrant", "nobody", "Ready");
  });

  it("show in kubectl who has what, and for how long", async () => {
    await shop.apply(grant("shown", { expiresAt: at(5 * 86_400 + 60), ticket: "OPS-1" }));
    await active("shown");
    const [head = "", line = ""] = (
      await harness.cluster.kubectl(["get", "apg", "shown", "--namespace", shop.namespace])
    ).split("\n");
    expect(head.split(/\s+/).slice(0, 7)).toEqual(["NAME", "CONSUMER", "POLICY", "ACTIVE", "WHY", "LEFT", "EXPIRES"]);
    expect(line.split(/\s+/).slice(0, 6)).toEqual(["shown", "erp", "orders", "True", "Active", "5d"]);
  });
});

const END = new Date(Date.now() + 3_600_000).toISOString();
