/** API keys: where they are found, whose they are, when they work, and what the upstream is told. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, type RequestSpec, send } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import { eventually } from "../cluster/condition.ts";
import type { KubeObject } from "../harness/api.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { guard, guarded, upstreamValues, verdictOf, verdicts } from "./authentication-manifest.ts";
import { addConsumer, apiPolicy, consumerOf } from "./policies-manifest.ts";
import { httpRoute, rule } from "./routes-manifest.ts";

const NO_CREDENTIAL = "401 GW-AUTHN-001";
const REFUSED = "401 GW-AUTHN-002";
const NOT_SELECTED = "403 GW-AUTHN-003";
const REVOCATION_LIMIT_MS = 2_000;

describe("API keys", () => {
  let harness: Harness;
  let shop: Tenant;
  let bank: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("keys");
    bank = await harness.tenant("bank");
    await Promise.all([shop.upstream("orders"), bank.upstream("orders")]);
    const allowedRoutes = { namespaces: { from: "All" } };
    edge = await shop.gateway({ listeners: [{ name: "http", port: 8080, protocol: "HTTP", allowedRoutes }] });
    await Promise.all([addConsumer(shop, "erp", "k-erp"), addConsumer(bank, "teller", "k-teller")]);
    await shop.apply(labelled(consumerOf("crm"), { tier: "partner" }));
    await shop.secret("crm-key", { "api-key": "k-crm\n" });
    await shop.waitFor("ApiConsumer", "crm", "ResolvedRefs");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const to = (name: string, headers: RequestSpec["headers"] = {}, path = "/"): RequestSpec => ({
    host: `${name}.test`,
    path,
    headers,
  });
  const key = (name: string, value: string): RequestSpec => to(name, { "x-api-key": value });
  const verdictAt = async (name: string, value: string): Promise<string> =>
    verdictOf(await send(edge.target(), key(name, value)));
  const becomes = (name: string, value: string, expected: string): Promise<boolean> =>
    eventually(`${expected} at ${name}`, async () => {
      const verdict = await verdictAt(name, value);
      if (verdict !== expected) throw new Error(verdict);
      return true;
    });
  /** One HTTP/1 and one HTTP/2 connection that stay open over a change. */
  const openConnections = async () => {
    const [http1, http2] = [await connectHttp1(edge.target()), await connectHttp2(edge.target())];
    return {
      ask: async (name: string, value: string): Promise<readonly string[]> =>
        (await Promise.all([http1.request(key(name, value)), http2.request(key(name, value))])).map(verdictOf),
      close: (): readonly boolean[] => {
        const closed = [http1.closed(), http2.closed()];
        http1.close();
        http2.close();
        return closed;
      },
    };
  };
  const credentialsOf = async (tenant: Tenant, name: string): Promise<unknown> =>
    ((await tenant.get("ApiConsumer", name))?.status as { readonly credentials?: unknown } | undefined)?.credentials;

  it("are found in header, query and cookie, and hidden from the upstream unless the policy forwards them", async () => {
    const from = { headers: ["x-key", "authorization"], params: ["api_key"], cookies: ["key"] };
    await guard(shop, "places", { apiKey: { from, consumerHeader: "x-consumer" } });
    await guard(shop, "forward", { apiKey: { from, forwardKey: true } });
    const carriers: Readonly<Record<string, (name: string, value: string) => RequestSpec>> = {
      header: (name, value) => to(name, { "X-Key": value }),
      "another header": (name, value) => to(name, { authorization: value }),
      query: (name, value) => to(name, {}, `/a?x=1&api_key=${value}&y=2`),
      cookie: (name, value) => to(name, { cookie: `a=1; key=${value}; b=2` }),
    };
    for (const [carrier, request] of Object.entries(carriers)) {
      const answer = await send(edge.target(), request("places", "k-erp"));
      expect([carrier, verdictOf(answer)]).toEqual([carrier, "200"]);
      expect([carrier, answer.body.includes("k-erp"), upstreamValues(answer, "x-consumer")]).toEqual([
        carrier,
        false,
        ["erp"],
      ]);
      const forwarded = await send(edge.target(), request("forward", "k-erp"));
      expect([carrier, forwarded.status, forwarded.body.includes("k-erp")]).toEqual([carrier, 200, true]);
      for (const bad of ["guessed", "k-er", "k-erpx", "K-ERP", "k-teller", "k-erp,k-crm"]) {
        const verdict = verdictOf(await send(edge.target(), request("places", bad)));
        expect([carrier, bad, verdict]).toEqual([carrier, bad, expect.stringMatching(/^40[13] GW-AUTHN-00[23]$/)]);
      }
    }
    expect(
      await verdicts(edge.target(), {
        none: to("places"),
        "the default header where others are written": key("places", "k-erp"),
        "an empty one": to("places", { "x-key": "" }),
        "an empty parameter": to("places", {}, "/?api_key="),
        "a parameter in capitals": to("places", {}, "/?API_KEY=k-erp"),
        "a parameter behind a fragment": to("places", {}, "/?a#&api_key=k-erp"),
      }),
    ).toMatchObject({
      none: NO_CREDENTIAL,
      "the default header where others are written": NO_CREDENTIAL,
      "an empty one": expect.stringMatching(/^401 /),
      "an empty parameter": expect.stringMatching(/^401 /),
      "a parameter in capitals": NO_CREDENTIAL,
      "a parameter behind a fragment": expect.stringMatching(/^40[01] /),
    });
  });

  it("decide by the first of several, and nothing else of them reaches the upstream", async () => {
    const twice = (first: string, second: string, name = "places"): RequestSpec =>
      to(name, [
        ["x-key", first],
        ["x-key", second],
      ]);
    const both = await send(edge.target(), twice("k-erp", "k-crm"));
    expect(both.status === 200 ? [upstreamValues(both, "x-consumer"), both.body.includes("k-")] : both.status).toEqual(
      both.status === 200 ? [["erp"], false] : 401,
    );
    expect(verdictOf(await send(edge.target(), twice("guessed", "k-erp")))).toBe(REFUSED);
    const forwarded = await send(edge.target(), twice("k-erp", "k-crm", "forward"));
    if (forwarded.status === 200) expect(upstreamValues(forwarded, "x-key")).toEqual(["k-erp"]);
    else expect(forwarded.status).toBe(401);
  });

  it("are those of the consumers that the selector selects; where it selects nobody, nobody passes", async () => {
    const select = (tier: string) => ({ apiKey: { consumerSelector: { matchLabels: { tier } } } });
    await guard(shop, "partner", select("partner"));
    await guard(shop, "staff", select("staff"));
    expect([await verdictAt("partner", "k-crm"), await verdictAt("partner", "k-erp")]).toEqual(["200", NOT_SELECTED]);
    for (const value of ["k-crm", "k-erp", "k-teller", "guessed"]) {
      expect([value, await verdictAt("staff", value)]).toEqual([value, expect.stringMatching(/^40[13] GW-AUTHN-/)]);
    }
    await shop.apply(labelled(consumerOf("erp"), { tier: "staff" }));
    await becomes("staff", "k-erp", "200");
    expect(await verdictAt("staff", "k-crm")).toBe(NOT_SELECTED);
    await shop.apply(labelled(consumerOf("erp"), {}));
    await becomes("staff", "k-erp", REFUSED);
  });

  it("of one namespace are worth nothing on another's routes, on the same Gateway", async () => {
    await guard(shop, "ours", { apiKey: { consumerHeader: "x-consumer" } });
    const parentRefs = [{ name: "edge", namespace: shop.namespace }];
    await bank.enforce([
      httpRoute("theirs", { hostnames: ["theirs.test"], parentRefs, rules: [rule("orders")] }),
      apiPolicy("theirs", { kind: "HTTPRoute", name: "theirs" }, { authentication: { apiKey: {} } }),
    ]);
    await becomes("theirs", "k-teller", "200");
    expect(await verdictAt("theirs", "k-erp")).toMatch(/^40[13] GW-AUTHN-/);
    expect(await verdictAt("ours", "k-teller")).toMatch(/^40[13] GW-AUTHN-/);
    expect(await verdictAt("ours", "k-erp")).toBe("200");
  });

  it("of a Gateway's policy are its namespace's, and name the consumer with it, on all routes", async () => {
    const listeners = [{ name: "http", port: 8080, protocol: "HTTP", allowedRoutes: { namespaces: { from: "All" } } }];
    const wide = await shop.gateway({ name: "wide", listeners });
    const consumerHeader = "x-consumer";
    await shop.enforce(
      apiPolicy("wide", { kind: "Gateway", name: "wide" }, { authentication: { apiKey: { consumerHeader } } }),
    );
    for (const tenant of [shop, bank]) {
      const host = `${tenant === shop ? "near" : "far"}.test`;
      const parentRefs = [{ name: "wide", namespace: shop.namespace }];
      await tenant.enforce(httpRoute("under-wide", { hostnames: [host], parentRefs, rules: [rule("orders")] }));
      const ask = (value: string) =>
        send(wide.target(), { host, headers: { "x-api-key": value, "x-consumer": "forged" } });
      await eventually(host, async () => (await ask("k-erp")).status === 200);
      expect(upstreamValues(await ask("k-erp"), "x-consumer")).toEqual([`${shop.namespace}/erp`]);
      expect(verdictOf(await ask("k-teller"))).toMatch(/^40[13] GW-AUTHN-/);
    }
  });

  it("overlap while they rotate, and end within 2 s on open connections", async () => {
    await guard(shop, "rotation", { apiKey: {} });
    await shop.secret("rotor-key", { "api-key": "k-old", new: "k-new" });
    const keys = (...names: readonly string[]): KubeObject =>
      consumerOf("rotor", {
        apiKeys: names.map((name) => ({
          name: name.replace("api-key", "k1"),
          secretRef: { name: "rotor-key", key: name },
        })),
      });
    await shop.apply(keys("api-key"));
    await becomes("rotation", "k-old", "200");
    const open = await openConnections();
    expect(await open.ask("rotation", "k-new")).toEqual([REFUSED, REFUSED]);
    await shop.apply(keys("api-key", "new"));
    await becomes("rotation", "k-new", "200");
    expect([await open.ask("rotation", "k-old"), await open.ask("rotation", "k-new")]).toEqual([
      ["200", "200"],
      ["200", "200"],
    ]);
    const gone = (value: string): Promise<boolean> =>
      eventually(
        `${value} refused`,
        async () => (await open.ask("rotation", value)).every((verdict) => verdict === REFUSED),
        { limitMs: REVOCATION_LIMIT_MS },
      );
    await shop.apply(keys("new"));
    await gone("k-old");
    // The Secret itself is the other way to change a key.
    await shop.secret("rotor-key", { new: "k-newer" });
    await gone("k-new");
    expect(await open.ask("rotation", "k-newer")).toEqual(["200", "200"]);
    await shop.apply(
      consumerOf("rotor", {
        apiKeys: [{ name: "new", secretRef: { name: "rotor-key", key: "new" } }],
        suspended: true,
      }),
    );
    await gone("k-newer");
    await eventually("Suspended", async () => JSON.stringify(await credentialsOf(shop, "rotor")).includes("Suspended"));
    await shop.apply(keys("new"));
    await eventually("back", async () => (await open.ask("rotation", "k-newer")).every((verdict) => verdict === "200"));
    await shop.remove("Secret", "rotor-key");
    await gone("k-newer");
    await shop.waitFor("ApiConsumer", "rotor", "ResolvedRefs", { status: "False", reason: "RefNotFound" });
    expect(open.close()).toEqual([false, false]);
  });

  it("begin and end by the clock, without anybody touching anything, on open connections", async () => {
    await guard(shop, "clock", { apiKey: {} });
    await shop.secret("timed-key", { a: "k-ends", b: "k-begins", c: "k-over" });
    const at = (seconds: number): string => new Date(Date.now() + seconds * 1_000).toISOString();
    const [begin, end] = [at(5), at(4)];
    const secretRef = (which: string) => ({ secretRef: { name: "timed-key", key: which } });
    await shop.apply(
      consumerOf("timed", {
        apiKeys: [
          { name: "ends", ...secretRef("a"), expiresAt: end },
          { name: "begins", ...secretRef("b"), notBefore: begin },
          { name: "over", ...secretRef("c"), expiresAt: "2026-01-01T00:00:00Z" },
        ],
      }),
    );
    await becomes("clock", "k-ends", "200");
    const open = await openConnections();
    expect(await open.ask("clock", "k-begins")).toEqual([REFUSED, REFUSED]);
    expect(await open.ask("clock", "k-over")).toEqual([REFUSED, REFUSED]);
    let last = Date.now();
    await eventually("the end", async () => {
      const now = Date.now();
      const [one, two] = await open.ask("clock", "k-ends");
      if (one === "200" || two === "200") last = now;
      return one === REFUSED && two === REFUSED;
    });
    expect(last).toBeLessThan(Date.parse(end) + REVOCATION_LIMIT_MS);
    await eventually("the beginning", async () =>
      (await open.ask("clock", "k-begins")).every((verdict) => verdict === "200"),
    );
    expect(Date.now()).toBeGreaterThan(Date.parse(begin));
    expect(open.close()).toEqual([false, false]);
    await eventually("the status", async () => {
      const states = (await credentialsOf(shop, "timed")) as readonly {
        readonly name: string;
        readonly state: string;
      }[];
      return states.map(({ name, state }) => `${name} ${state}`).join() === "ends Expired,begins Active,over Expired";
    });
  });

  it("that two claim stay with the older; the newer is Conflicted, by name only, until the older is gone", async () => {
    await guard(shop, "claim", { apiKey: { consumerHeader: "x-consumer" } });
    await addConsumer(shop, "elder", "k-shared");
    await becomes("claim", "k-shared", "200");
    await eventually("another second", () => Date.now() % 1_000 > 900);
    await eventually("another second", () => Date.now() % 1_000 < 500);
    await addConsumer(shop, "younger", "k-shared");
    const conflict = await shop.waitFor("ApiConsumer", "younger", "Accepted", {
      status: "False",
      reason: "Conflicted",
    });
    expect(conflict.message).toMatch(/elder/);
    expect(JSON.stringify(await shop.get("ApiConsumer", "younger"))).not.toContain("k-shared");
    const whose = async (): Promise<readonly string[]> =>
      upstreamValues(await send(edge.target(), key("claim", "k-shared")), "x-consumer");
    expect(await whose()).toEqual(["elder"]);
    // A key does not change hands because its holder is suspended.
    await shop.apply(consumerOf("elder", { suspended: true }));
    await becomes("claim", "k-shared", REFUSED);
    await shop.waitFor("ApiConsumer", "younger", "Accepted", { status: "False", reason: "Conflicted" });
    await shop.remove("ApiConsumer", "elder");
    await becomes("claim", "k-shared", "200");
    expect(await whose()).toEqual(["younger"]);
    await shop.waitFor("ApiConsumer", "younger", "Accepted");
  });

  it("that no header can carry are refused with a reason that does not repeat them", async () => {
    await shop.secret("odd-key", { "api-key": "two words", empty: "" });
    const apiKeys = ["api-key", "empty", "absent"].map((name) => ({ name, secretRef: { name: "odd-key", key: name } }));
    await shop.apply(consumerOf("odd", { apiKeys }));
    await shop.waitFor("ApiConsumer", "odd", "ResolvedRefs", { status: "False", reason: "InvalidRef" });
    const text = JSON.stringify((await shop.get("ApiConsumer", "odd"))?.status);
    expect(text).not.toContain("two words");
    expect(text).toMatch(/Unresolved/);
    expect(await verdictAt("claim", "two words")).toBe(REFUSED);
    expect(await verdictAt("claim", "")).toMatch(/^401 /);
  });

  it("that nobody holds refuse everybody, and a consumer that comes is let in", async () => {
    const lonely = await harness.tenant("lonely");
    await lonely.upstream("orders");
    const parentRefs = [{ name: "edge", namespace: shop.namespace }];
    const [, policy] = guarded("lonely", { apiKey: {} });
    if (policy === undefined) throw new Error("there is a policy");
    await lonely.enforce([
      httpRoute("lonely", { hostnames: ["lonely.test"], parentRefs, rules: [rule("orders")] }),
      policy,
    ]);
    for (const value of ["k-erp", "k-teller", "guessed"]) {
      expect([value, await verdictAt("lonely", value)]).toEqual([value, expect.stringMatching(/^40[13] GW-AUTHN-/)]);
    }
    expect(verdictOf(await send(edge.target(), to("lonely")))).toBe(NO_CREDENTIAL);
    await addConsumer(lonely, "first", "k-first");
    await becomes("lonely", "k-first", "200");
  });
});

function labelled(object: KubeObject, labels: Readonly<Record<string, string>>): KubeObject {
  return { ...object, metadata: { ...object.metadata, labels } };
}
