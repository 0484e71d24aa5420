import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Condition, ObjectStatus } from "@gatewarden/core/world.ts";
import type { Cluster } from "../../e2e/cluster/driver.ts";
import { testCluster } from "../../e2e/cluster/shared.ts";
import { systemClock } from "../src/clock.ts";
import type { KubeClient } from "../src/kube/client.ts";
import { silentLog } from "../src/log.ts";
import { createOwners } from "../src/status/owners.ts";
import { createStatusWriter, type StatusWriter } from "../src/status/writer.ts";
import { adminClient } from "./cluster-client.ts";
import { until } from "./wait.ts";

const AFFECTED = "gatewarden.io/ApiPolicyAffected";
const GATEWAY = (namespace: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: ${namespace}}
spec: {gatewayClassName: gatewarden, listeners: [{name: http, port: 80, protocol: HTTP}]}
`;

const condition = (type: string, message: string): Condition => ({
  type,
  status: "True",
  reason: "Tested",
  message,
  observedGeneration: 1,
});
const wanted: ObjectStatus = {
  kind: "Gateway",
  generation: 1,
  conditions: [condition("Accepted", "ours"), condition(AFFECTED, "ours")],
  addresses: [],
  listeners: [
    {
      name: "http",
      supportedKinds: [],
      attachedRoutes: 0,
      conditions: [condition("Accepted", "ours"), condition(AFFECTED, "ours")],
    },
  ],
};

interface Written {
  readonly conditions: readonly Condition[];
  readonly listeners: readonly { readonly conditions: readonly Condition[] }[];
}

describe("a Gateway in which somebody else has conditions", () => {
  let cluster: Cluster;
  let namespace: string;
  let pathOf: string;
  let client: KubeClient;
  let writer: StatusWriter;

  const said = async (): Promise<Record<string, string | undefined>> => {
    const got = await client.get(pathOf);
    const { conditions = [], listeners = [] } = ((got.ok ? got.value.status : undefined) ?? {}) as Partial<Written>;
    const messageOf = (list: readonly Condition[], wantedType: string): string | undefined =>
      list.find(({ type }) => type === wantedType)?.message;
    const ofListener = listeners[0]?.conditions ?? [];
    return {
      accepted: messageOf(conditions, "Accepted"),
      affected: messageOf(conditions, AFFECTED),
      listenerAccepted: messageOf(ofListener, "Accepted"),
      listenerAffected: messageOf(ofListener, AFFECTED),
    };
  };
  /** Another manager's conditions, by server-side apply. */
  const theirs = async (types: readonly string[]): Promise<void> => {
    const now = "2026-11-24T12:00:00Z";
    const conditions = types.map((type) => ({ ...condition(type, "theirs"), lastTransitionTime: now }));
    const status = { conditions, listeners: [{ name: "http", supportedKinds: [], attachedRoutes: 0, conditions }] };
    const body = {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "web", namespace },
      status,
    };
    const query = { fieldManager: "somebody" };
    expect(await client.apply(`${pathOf}/status`, body, true, { query })).toMatchObject({ ok: true });
  };

  beforeAll(async () => {
    cluster = await testCluster();
    namespace = await cluster.createNamespace("forced");
    pathOf = `/apis/gateway.networking.k8s.io/v1/namespaces/${namespace}/gateways/web`;
    await cluster.apply(GATEWAY(namespace));
    client = await adminClient(cluster);
  }, 240_000);
  afterAll(async () => {
    await writer.stop();
    client.close();
    await cluster.stop();
  }, 60_000);

  test("takes over what Gateway API gives to the controller, and never what it does not", async () => {
    await theirs(["Accepted", "Programmed", AFFECTED]);
    writer = createStatusWriter({
      client,
      clock: systemClock,
      log: silentLog,
      controllerName: "gatewarden.io/gateway-controller",
      leads: () => true,
      owners: createOwners(),
      book: { proxies: () => 1, resource: () => ({ state: "acknowledged" }), turnedAway: () => undefined },
      redact: (text) => text,
    });
    writer.update([{ key: { kind: "Gateway", namespace, name: "web" }, status: wanted }]);
    writer.resume();
    await until(async () => (await said())["accepted"] === "ours", "our status");
    expect(await said()).toEqual({
      accepted: "ours",
      affected: "theirs",
      listenerAccepted: "ours",
      listenerAffected: "theirs",
    });
    await until(() => writer.waiting() === 0, "the end of the writing");
  }, 30_000);

  test("says it itself once nobody else does", async () => {
    await theirs([]);
    const got = await client.get(pathOf);
    if (!got.ok) throw new Error(got.failure.message);
    writer.seen({ kind: "Gateway", namespace, name: "web" }, got.value);
    await until(async () => (await said())["affected"] === "ours", "our condition");
    expect((await said())["listenerAffected"]).toBe("ours");
  }, 30_000);
});
