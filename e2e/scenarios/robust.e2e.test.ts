/** Edits, withdrawn keys and a killed operator: connections stay, the next request obeys, traffic does not notice. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, type Http1Connection, type RequestSpec } from "../client/http1.ts";
import { connectHttp2, type Http2Connection } from "../client/http2.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { addConsumer, API_KEY, apiPolicy, consumerOf, OPEN_TO_ALL } from "./policies-manifest.ts";
import { configurationOf, differences, disturbance, startTraffic } from "./robust-observed.ts";
import { httpRoute, rule, untilAnswered } from "./routes-manifest.ts";

const KEY = { "x-api-key": "k-robust-1" };
/** api.md: a key that is withdrawn reaches every proxy within this time. */
const REVOCATION_LIMIT_MS = 2_000;
const SERVED = 20;

describe("while things change", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  let http1: Http1Connection;
  let http2: Http2Connection;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("robust");
    await shop.upstream("orders");
    edge = await shop.gateway({ proxy: { drainSeconds: 2 } });
    await addConsumer(shop, "erp", "k-robust-1");
    const names = Array.from({ length: SERVED }, (_, number) => `served-${String(number)}`);
    for (const name of ["edited", "keyed", ...names]) {
      await shop.apply(httpRoute(name, { hostnames: [`${name}.test`], rules: [rule("orders")] }));
      await shop.apply(apiPolicy(name, { kind: "HTTPRoute", name }, name === "keyed" ? API_KEY : OPEN_TO_ALL));
    }
    for (const name of ["edited", ...names]) await untilAnswered(edge.target(), { host: `${name}.test` }, "orders");
    await untilAnswered(edge.target(), { host: "keyed.test", headers: KEY }, "orders");
    [http1, http2] = [await connectHttp1(edge.target()), await connectHttp2(edge.target())];
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const held = async (request: RequestSpec): Promise<readonly number[]> =>
    Promise.all([http1, http2].map(async (connection) => (await connection.request(request)).status));
  const edit = (sections: object): Promise<void> =>
    shop.enforce(apiPolicy("edited", { kind: "HTTPRoute", name: "edited" }, sections));

  it("drains nothing for a policy's edit, and obeys it on connections that are open", async () => {
    const socket = await connectHttp1(edge.target());
    const upgrade = { host: "edited.test", headers: { connection: "Upgrade", upgrade: "websocket" } };
    expect((await socket.request(upgrade)).status).toBe(101);
    const stream = await http2.open({ host: "edited.test", path: "/?echo-stream-ms=50" });
    const before = await disturbance(edge.envoy);
    const request = { host: "edited.test" };
    const jwks = { type: "Inline", inline: JSON.stringify({ keys: [ES256_KEY] }) };
    const steps: readonly (readonly [sections: object, status: number])[] = [
      [API_KEY, 401],
      [OPEN_TO_ALL, 200],
      [{ ...OPEN_TO_ALL, denylist: { entries: [{ cidr: "127.0.0.0/8" }] } }, 403],
      [{ ...OPEN_TO_ALL, allowlist: { entries: [{ cidr: "127.0.0.0/8" }] } }, 200],
      [{ ...OPEN_TO_ALL, allowlist: { entries: [{ cidr: "10.0.0.0/8" }] } }, 403],
      [{ authentication: { jwt: [{ name: "corp", issuer: "https://sso.test", audiences: ["shop"], jwks }] } }, 401],
      [{ authentication: { basic: {} } }, 401],
      [{ ...OPEN_TO_ALL, rateLimit: { limits: [{ name: "all", requests: 1000, per: "1m" }] } }, 200],
      [{ ...OPEN_TO_ALL, logging: { calls: "None", sampling: 1, fields: { team: "shop" } } }, 200],
    ];
    for (let round = 0; round < 3; round++) {
      for (const [sections, status] of steps) {
        await edit(sections);
        expect([round, Object.keys(sections), await held(request)]).toEqual([
          round,
          Object.keys(sections),
          [status, status],
        ]);
      }
    }
    await shop.remove("ApiPolicy", "edited");
    await eventually("closed without a policy", async () => (await held(request)).every((status) => status === 403));
    await edit(OPEN_TO_ALL);
    expect(await held(request)).toEqual([200, 200]);
    expect(await disturbance(edge.envoy)).toEqual(before);
    const echoed = new Promise((resolve) => socket.socket.once("data", (chunk: Buffer) => resolve(String(chunk))));
    socket.socket.write("still here");
    expect(await echoed).toBe("still here");
    expect([http1.closed(), http2.closed(), stream.ended()]).toEqual([false, false, false]);
    stream.close();
    socket.close();
  });

  it("refuses a withdrawn key within 2 s on open connections, however it was withdrawn", async () => {
    const request = { host: "keyed.test", headers: KEY };
    const statuses = (wanted: readonly number[], limitMs: number): Promise<boolean> =>
      eventually(
        `all of ${wanted.join()}`,
        async () => (await held(request)).every((status) => wanted.includes(status)),
        { limitMs },
      );
    const secretKey = (value: string): Promise<void> => shop.secret("erp-key", { "api-key": value });
    const ways: readonly (readonly [withdraw: () => Promise<unknown>, giveBack: () => Promise<unknown>])[] = [
      [() => secretKey("k-other"), () => secretKey("k-robust-1")],
      [() => shop.remove("Secret", "erp-key"), () => secretKey("k-robust-1")],
      [() => shop.remove("ApiConsumer", "erp"), () => shop.apply(consumerOf("erp"))],
      [() => shop.apply(consumerOf("erp", { suspended: true })), () => shop.apply(consumerOf("erp"))],
    ];
    for (const [withdraw, giveBack] of ways) {
      await statuses([200], 10_000);
      await withdraw();
      await statuses([401, 403], REVOCATION_LIMIT_MS);
      await giveBack();
    }
    await statuses([200], 10_000);
    // A key that ends by itself: nobody touches anything.
    const ending = {
      apiKeys: [{ name: "k1", secretRef: { name: "erp-key", key: "api-key" }, expiresAt: inSeconds(3) }],
    };
    await shop.apply(consumerOf("erp", ending));
    const end = Date.parse(ending.apiKeys[0]?.expiresAt ?? "");
    expect(await held(request)).toEqual([200, 200]);
    await eventually("the key is at its end", () => Date.now() >= end);
    await statuses([401, 403], REVOCATION_LIMIT_MS);
    expect([http1.closed(), http2.closed()]).toEqual([false, false]);
    await shop.apply(consumerOf("erp"));
    await statuses([200], 10_000);
  });

  it("serves on while the operator is killed and started again, and changes no resource", async () => {
    // What left a shared extension stays in it for some seconds, so that no proxy misses it.
    await eventually("no issuer is left", async () =>
      [...(await configurationOf(edge.envoy))].every(([key, text]) => !/ jwt$/.test(key) || !text.includes("sso.test")),
    );
    const before = { configuration: await configurationOf(edge.envoy), cost: await disturbance(edge.envoy) };
    const versions = async (): Promise<unknown> => versionsIn(await edge.envoy.admin.configDump("include_eds"));
    const versionsBefore = await versions();
    const requests = [
      { host: "keyed.test", headers: KEY },
      ...Array.from({ length: SERVED }, (_, n) => ({ host: `served-${String(n)}.test` })),
    ];
    const traffic = await startTraffic(harness, edge.target(), requests);
    await harness.operator.stop(0);
    await eventually(
      "the proxy has noticed",
      async () => (await edge.envoy.admin.stat("control_plane.connected_state")) === 0,
    );
    expect(await held({ host: "edited.test" })).toEqual([200, 200]);
    await harness.operator.start();
    await eventually(
      "the proxy is back",
      async () => (await edge.envoy.admin.stat("control_plane.connected_state")) === 1,
    );
    await shop.waitFor("ApiPolicy", "keyed", "Programmed");
    // An edit goes through: everything that the new operator had to say before it has been said.
    await edit(API_KEY);
    expect(await held({ host: "edited.test" })).toEqual([401, 401]);
    await edit(OPEN_TO_ALL);
    const { sent, failures } = await traffic.stop();
    expect(failures).toEqual([]);
    expect(sent).toBeGreaterThan(100);
    const scope = "ScopedRouteConfiguration http-8080|edited.test";
    expect(differences(before.configuration, await configurationOf(edge.envoy)).filter((key) => key !== scope)).toEqual(
      [],
    );
    expect(await disturbance(edge.envoy)).toEqual(before.cost);
    const changed = Object.entries((await versions()) as Record<string, string>).filter(
      ([key, version]) => (versionsBefore as Record<string, string>)[key] !== version,
    );
    expect(changed.map(([key]) => key).filter((key) => !/Scoped/.test(key))).toEqual([]);
  });
});

function inSeconds(seconds: number): string {
  return new Date(Math.ceil(Date.now() / 1000 + seconds) * 1000).toISOString().replace(".000", "");
}

/** `version_info` of every dynamic resource, by its path in the dump. */
function versionsIn(value: unknown, path = ""): Readonly<Record<string, string>> {
  if (typeof value !== "object" || value === null) return {};
  const { version_info: version, name } = value as { readonly version_info?: string; readonly name?: string };
  const own = version === undefined ? {} : { [`${path} ${name ?? ""}`]: version };
  const type = (value as { readonly "@type"?: string })["@type"];
  return Object.entries(value).reduce<Record<string, string>>(
    (all, [key, member]) => Object.assign(all, versionsIn(member, `${type ?? path}/${key}`)),
    { ...own },
  );
}

/** A public key; nobody has its private half. */
const ES256_KEY = {
  kty: "EC",
  crv: "P-256",
  kid: "a",
  alg: "ES256",
  x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
  y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
};
