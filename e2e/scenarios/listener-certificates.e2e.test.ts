/** A listener's `certificateRefs` that change under load: the certificate changes, the listener does not, and no connection fails. */
import { X509Certificate } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1 } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { createAuthority, type KeyPair } from "../cluster/pki.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { disturbance, startTraffic } from "./robust-observed.ts";
import { httpRoute, rule, untilAnswered } from "./routes-manifest.ts";
import { clientTls, httpsListener, serverSecret } from "./tls-manifest.ts";

const HTTPS = 8443;
const host = "page.test";
const TOGGLES = 30;
/** A little longer than a round trip to a proxy: updates meet the one before at every stage of it. */
const PAUSE_MS = 60;

describe("the certificateRefs of a listener", () => {
  const authority = createAuthority("edge-ca");
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  let pairs: Readonly<Record<"first" | "second", KeyPair>>;

  const listener = (secret: string): object => httpsListener("https", HTTPS, host, secret);
  const show = async (secret: string): Promise<void> => {
    const { spec } = (await shop.get("Gateway", "edge")) as unknown as { readonly spec: object };
    await shop.apply({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "edge" },
      spec: { ...spec, listeners: [listener(secret)] },
    });
  };
  const target = () => edge.target({ port: HTTPS, tls: clientTls(host, authority) });
  const shown = async (): Promise<string> => {
    const { socket, close } = await connectHttp1(target());
    const raw = socket instanceof TLSSocket ? socket.getPeerCertificate().raw : Buffer.alloc(0);
    close();
    return new X509Certificate(raw).serialNumber;
  };
  const until = (pair: KeyPair) =>
    eventually("the certificate", async () => (await shown()) === new X509Certificate(pair.certificate).serialNumber);

  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("refs");
    await shop.upstream("orders");
    pairs = {
      first: await serverSecret(shop, "first", authority, [host]),
      second: await serverSecret(shop, "second", authority, [host]),
    };
    edge = await shop.gateway({ listeners: [listener("first")] });
    await shop.enforce([
      httpRoute("all", { hostnames: [host], rules: [rule("orders")] }),
      apiPolicy("gateway", { kind: "Gateway", name: "edge" }, OPEN_TO_ALL),
    ]);
    await untilAnswered(target(), { host }, "orders");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  it("go from one Secret to another and back without a failed call, however fast", async () => {
    const before = await disturbance(edge.envoy);
    const traffic = await Promise.all([1, 2, 3].map(() => startTraffic(harness, target(), [{ host }])));
    for (let toggle = 0; toggle < TOGGLES; toggle += 1) {
      await show(toggle % 2 === 0 ? "second" : "first");
      await wait(PAUSE_MS);
    }
    await until(pairs.first);
    await show("second");
    await until(pairs.second);
    for (const { sent, failures } of await Promise.all(traffic.map(({ stop }) => stop()))) {
      expect(failures).toEqual([]);
      expect(sent).toBeGreaterThan(50);
    }
    expect(await disturbance(edge.envoy)).toEqual(before);
  });
});
