/** The certificate of the xDS server is renewed while proxies are connected: no stream ends, no request fails, new proxies find it good. */
import { X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { afterAll, beforeAll, expect, it } from "@jest/globals";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import { OPERATOR_NAMESPACE } from "../harness/installation.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { startTraffic } from "./robust-observed.ts";
import { httpRoute, rule, untilAnswered } from "./routes-manifest.ts";

const ROUNDS = 3;
const LIMIT_MS = 120_000;

let harness: Harness;
let shop: Tenant;
let edge: GatewayHandle;
beforeAll(async () => {
  harness = await startHarness();
  shop = await harness.tenant("rotation");
  await shop.upstream("orders");
  edge = await shop.gateway();
  await shop.apply(httpRoute("a", { hostnames: ["a.test"], rules: [rule("orders")] }));
  await shop.apply(apiPolicy("a", { kind: "HTTPRoute", name: "a" }, OPEN_TO_ALL));
  await untilAnswered(edge.target(), { host: "a.test" }, "orders");
}, START_LIMIT_MS);
afterAll(() => harness.stop());

/** Serial number of the certificate that is shown now. */
function serial(): Promise<string> {
  const [host = "", port = ""] = harness.operator.xdsAddress.split(":");
  return new Promise((resolve, reject) => {
    const servername = `gatewarden.${OPERATOR_NAMESPACE}.svc`;
    const socket = connect(
      { host, port: Number(port), servername, rejectUnauthorized: false, ALPNProtocols: ["h2"] },
      () => {
        resolve(new X509Certificate(socket.getPeerCertificate().raw).serialNumber);
        socket.destroy();
      },
    );
    socket.on("error", reject);
  });
}

/** As `cmctl renew` does it. */
async function renew(): Promise<void> {
  const condition = {
    type: "Issuing",
    status: "True",
    reason: "ManuallyTriggered",
    message: "by a test",
    lastTransitionTime: new Date().toISOString(),
  };
  const path = ["certificate", "gatewarden-xds", "--namespace", OPERATOR_NAMESPACE, "--subresource=status"];
  const { status } = JSON.parse(await harness.cluster.kubectl(["get", ...path.slice(0, 4), "--output=json"])) as {
    readonly status: { readonly conditions: readonly { readonly type: string }[] };
  };
  const conditions = [...status.conditions.filter(({ type }) => type !== "Issuing"), condition];
  const patch = JSON.stringify({ status: { conditions } });
  await harness.cluster.kubectl(["patch", ...path, "--type=merge", `--patch=${patch}`]);
}

it(
  "is renewed three times, and nobody notices",
  async () => {
    const streams = (): Promise<number> => edge.envoy.admin.stat("grpc.gatewarden-xds.streams_total");
    const [before, traffic] = [await streams(), await startTraffic(harness, edge.target(), [{ host: "a.test" }])];
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const shown = await serial();
        await renew();
        await eventually("a new certificate", async () => (await serial()) !== shown, { limitMs: 30_000 });
        await edge.addProxy(); // ready: it took the new certificate
        await shop.enforce(
          apiPolicy("a", { kind: "HTTPRoute", name: "a" }, { ...OPEN_TO_ALL, logging: { sampling: round } }),
        );
      }
      expect(await streams()).toBe(before);
      expect(await edge.envoy.admin.stat("control_plane.connected_state")).toBe(1);
      await shop.waitFor("Gateway", "edge", "Programmed", { status: "True", message: /^4 proxies/ });
    } finally {
      const { failures } = await traffic.stop();
      expect(failures).toEqual([]);
    }
  },
  LIMIT_MS,
);
