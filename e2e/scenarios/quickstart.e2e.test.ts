/** The main job, as a person does it: kubectl apply, wait for Programmed, send requests; then withdraw and restart things. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, type Http1Connection, send } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import { eventually } from "../cluster/condition.ts";
import { conditionsOf } from "../harness/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import { REPOSITORY } from "../harness/installation.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import type { Echo } from "../upstream/echo.ts";

const MANIFEST = readFileSync(join(REPOSITORY, "examples", "02-api-key", "api-key.yaml"), "utf8");
const KEY_1 = "example-key-1-change-me";
const KEY_2 = "example-key-2-change-me";
const REVOCATION_LIMIT_MS = 2_000;

describe("the quickstart", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("shop");
    await shop.upstream("orders");
    edge = await shop.gateway();
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const request = (key?: string) => ({
    host: "key.shop.test",
    path: "/orders",
    headers: key === undefined ? {} : { "x-api-key": key },
  });
  const wait = (object: string, condition: string): Promise<string> =>
    harness.cluster.kubectl(["wait", object, `--for=${condition}`, "--namespace", shop.namespace, "--timeout=30s"]);
  const kubectl = (...args: readonly string[]): Promise<string> =>
    harness.cluster.kubectl([...args, "--namespace", shop.namespace]);

  it("answers 404 before there is a route", async () => {
    expect((await send(edge.target(), request())).status).toBe(404);
  });

  it("is in force once kubectl wait returns, and says who decided", async () => {
    const manifest = MANIFEST.replaceAll("namespace: shop", `namespace: ${shop.namespace}`);
    await harness.cluster.kubectl(["apply", "--server-side", "--validate=strict", "-f", "-"], manifest);
    await wait("apipolicy/key", "condition=Ready");
    const refused = await send(edge.target(), request());
    expect(refused.status).toBe(401);
    expect(refused.header("x-gatewarden-policy")).toBe(`${shop.namespace}/key#authentication`);
    expect(refused.header("www-authenticate")).toBeDefined();
    const problem = refused.problem();
    expect(problem).toMatchObject({ status: 401, policy: `${shop.namespace}/key#authentication` });
    expect(problem.code).toMatch(/^GW-AUTHN-\d{3}$/);
    expect(problem.requestId).not.toBe("");
    expect((await send(edge.target(), request("guessed"))).status).toBe(401);
    for (const key of [KEY_1, KEY_2]) {
      const { headers } = (await send(edge.target(), request(key))).json<Echo>();
      expect(headers).toContainEqual(["x-consumer", "erp"]);
      expect(headers.map(([name]) => name.toLowerCase())).not.toContain("x-api-key");
    }
  });

  it("reports Programmed from the proxy's acknowledgement, and shows it in kubectl get", async () => {
    const policy = await shop.get("ApiPolicy", "key");
    const programmed = conditionsOf(policy).filter(({ type }) => type === "Programmed");
    expect(programmed).toEqual([
      expect.objectContaining({ status: "True", observedGeneration: policy?.metadata.generation }),
    ]);
    expect(await kubectl("get", "apol", "key")).toMatch(/HTTPRoute\/key.*True.*Programmed/);
  });

  it("refuses a removed key and a suspended consumer within 2 s, also on connections that are open", async () => {
    const [http1, http2] = [await connectHttp1(edge.target()), await connectHttp2(edge.target())];
    const statuses = async (key: string): Promise<readonly number[]> =>
      Promise.all([http1.request(request(key)), http2.request(request(key))]).then((all) =>
        all.map(({ status }) => status),
      );
    expect(await statuses(KEY_1)).toEqual([200, 200]);
    const refusesBoth = (key: string): Promise<boolean> =>
      eventually(
        "both refused",
        async () => (await statuses(key)).every((status) => status === 401 || status === 403),
        { limitMs: REVOCATION_LIMIT_MS },
      );
    const secret = { name: "erp-k2", key: "api-key" };
    const spec = { type: "Application", apiKeys: [{ name: "k2", secretRef: secret }] };
    const consumer = (more: object) => JSON.stringify([{ op: "replace", path: "/spec", value: { ...spec, ...more } }]);
    await kubectl("patch", "apiconsumer/erp", "--type=json", "--patch", consumer({}));
    await refusesBoth(KEY_1);
    expect(await statuses(KEY_2)).toEqual([200, 200]);
    await kubectl("patch", "apiconsumer/erp", "--type=json", "--patch", consumer({ suspended: true }));
    await refusesBoth(KEY_2);
    await kubectl("patch", "apiconsumer/erp", "--type=json", "--patch", consumer({}));
    await eventually("let in again", async () => (await statuses(KEY_2)).every((status) => status === 200));
    expect([http1.closed(), http2.closed()]).toEqual([false, false]);
    http1.close();
    http2.close();
  });

  it("keeps on serving while the operator is gone, and changes nothing when it is back", async () => {
    const held = await connectHttp1(edge.target());
    expect((await held.request(request(KEY_2))).status).toBe(200);
    const versions = await configurationOf(edge);
    await harness.operator.stop(0);
    expect(await statusOf(held, request(KEY_2))).toBe(200);
    await harness.operator.start();
    await eventually(
      "the proxy is connected again",
      async () => (await edge.envoy.admin.stat("control_plane.connected_state")) === 1,
    );
    await shop.waitFor("ApiPolicy", "key", "Programmed");
    expect(await statusOf(held, request(KEY_2))).toBe(200);
    expect(await configurationOf(edge)).toEqual(versions);
    expect(await edge.envoy.admin.stat("listener_manager.listener_modified")).toBe(0);
    held.close();
  });

  it("closes the route when the policy is deleted, and opens nothing", async () => {
    await kubectl("delete", "apipolicy/key");
    await eventually("403", async () => (await send(edge.target(), request(KEY_2))).status === 403);
    expect((await send(edge.target(), request(KEY_2))).problem().code).toMatch(/^GW-/);
  });
});

async function statusOf(
  connection: Http1Connection,
  request: Parameters<Http1Connection["request"]>[0],
): Promise<number> {
  return (await connection.request(request)).status;
}

/** Every dynamic resource that Envoy holds, without the times at which it got them. */
async function configurationOf(edge: GatewayHandle): Promise<unknown> {
  const dump = JSON.stringify(await edge.envoy.admin.configDump("include_eds"));
  return JSON.parse(dump.replaceAll(/"last_updated":"[^"]*",?/g, "").replaceAll(/,}/g, "}")) as unknown;
}
