/** Listeners that are renamed under load: their connections stay, no call fails, no policy is lost on the way, and the status knows them by the new name. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { createAuthority } from "../cluster/pki.ts";
import type { KubeObject } from "../harness/api.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { addConsumer, API_KEY, apiPolicy } from "./policies-manifest.ts";
import { disturbance, startTraffic } from "./robust-observed.ts";
import { answering, httpRoute, rule, untilAnswered } from "./routes-manifest.ts";
import { clientTls, httpsListener, serverSecret } from "./tls-manifest.ts";

const HTTPS = 8443;
const host = "renamed.test";
const keyed = { host, headers: { "x-api-key": "k-renamed-1" } };

describe("a listener that is renamed", () => {
  const authority = createAuthority("edge-ca");
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  const listeners = (http: string, https: string): readonly object[] => [
    { name: http, port: 8080, protocol: "HTTP" },
    httpsListener(https, HTTPS, host, "page"),
    httpsListener("beside", HTTPS, "beside.test", "page"),
  ];
  /** The policy of the listeners; nothing else lets anybody in. */
  const policyAt = (...names: readonly string[]): KubeObject =>
    apiPolicy(
      "listeners",
      names.map((sectionName) => ({ kind: "Gateway", name: "edge", sectionName })),
      API_KEY,
    );
  const rename = async (http: string, https: string): Promise<void> => {
    const { spec } = (await shop.get("Gateway", "edge")) as unknown as { readonly spec: object };
    await shop.enforce({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "edge" },
      spec: { ...spec, listeners: listeners(http, https) },
    });
  };
  const clear = () => edge.target();
  const secure = () => edge.target({ port: HTTPS, tls: clientTls(host, authority) });

  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("renamed");
    await shop.upstream("orders");
    await serverSecret(shop, "page", authority, [host, "beside.test"]);
    await addConsumer(shop, "erp", "k-renamed-1");
    edge = await shop.gateway({ listeners: listeners("http", "https") });
    await shop.apply([
      httpRoute("all", { hostnames: [host], rules: [rule("orders")] }),
      policyAt("http", "https", "clear", "secure"),
    ]);
    for (const target of [clear(), secure()]) await untilAnswered(target, keyed, "orders");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  it("keeps its connections and its policy, and no call fails", async () => {
    const before = await disturbance(edge.envoy);
    const running = await Promise.all([clear(), secure()].map((target) => startTraffic(harness, target, [keyed])));
    const without = new Set<string | number>();
    let over = false;
    const strangers = (async () => {
      while (!over) for (const target of [clear(), secure()]) without.add(await answering(target, { host }));
    })();
    for (const [http, https] of [
      ["clear", "secure"],
      ["http", "https"],
      ["clear", "secure"],
    ] as const) {
      await rename(http, https);
      const { status } = (await shop.get("Gateway", "edge")) as unknown as GatewayStatus;
      expect(status.listeners.map(({ name, attachedRoutes }) => [name, attachedRoutes])).toEqual([
        [http, 1],
        [https, 1],
        ["beside", 0],
      ]);
      for (const target of [clear(), secure()]) expect(await answering(target, keyed)).toBe("orders");
    }
    over = true;
    await strangers;
    for (const { sent, failures } of await Promise.all(running.map(({ stop }) => stop()))) {
      expect(failures).toEqual([]);
      expect(sent).toBeGreaterThan(50);
    }
    expect([...without]).toEqual([401]);
    expect(await disturbance(edge.envoy)).toEqual(before);
  });

  it("has only what its new name says, once the policy forgets it: closed, not open", async () => {
    await rename("http", "https");
    await shop.waitFor("ApiPolicy", "listeners", "Accepted", { status: "False", reason: "TargetNotFound" });
    await shop.apply(policyAt("http"));
    await untilAnswered(secure(), keyed, 403);
    expect(await answering(secure(), { host })).toBe(403);
    expect(await answering(clear(), { host })).toBe(401);
  });
});

interface GatewayStatus {
  readonly status: { readonly listeners: readonly { readonly name: string; readonly attachedRoutes: number }[] };
}
