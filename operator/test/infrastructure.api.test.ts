/** What Gateways' proxies run as, on a real API server, with exactly the rights that we ship. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { infrastructureObjects } from "@gatewarden/core/infrastructure/objects.ts";
import { parseGateway } from "@gatewarden/core/kinds/gateway-api/gateway.ts";
import type { ProxyConfigSpec } from "@gatewarden/core/kinds/proxy-config.ts";
import type { KubeObject } from "@gatewarden/core/world.ts";
import type { Cluster } from "../../e2e/cluster/driver.ts";
import { testCluster } from "../../e2e/cluster/shared.ts";
import { systemClock } from "../src/clock.ts";
import { createInfrastructureWriter, type InfrastructureWriter } from "../src/infrastructure/writer.ts";
import { createKubeClient, type KubeClient } from "../src/kube/client.ts";
import { silentLog } from "../src/log.ts";
import { accountCredentials, adminClient, rbacManifest } from "./cluster-client.ts";
import { until } from "./wait.ts";

const RIGHTS = path.join(import.meta.dirname, "..", "deploy", "infrastructure.yaml");
const START_LIMIT_MS = 15 * 60_000;

type Stored = KubeObject & {
  readonly spec: {
    readonly replicas?: number;
    readonly template: { readonly spec: { readonly containers: readonly { readonly image: string }[] } };
    readonly ports?: readonly { readonly targetPort: number }[];
  };
  readonly data?: Readonly<Record<string, string>>;
};

describe("proxies in the cluster", () => {
  let cluster: Cluster;
  let directory: string;
  let operatorNamespace: string;
  let admin: KubeClient;
  let own: KubeClient;

  beforeAll(async () => {
    cluster = await testCluster();
    directory = mkdtempSync(path.join(tmpdir(), "gatewarden-infrastructure-"));
    operatorNamespace = await cluster.createNamespace("infra-operator");
    await cluster.apply(rbacManifest(operatorNamespace));
    const rights = readFileSync(RIGHTS, "utf8")
      .replaceAll("gatewarden-system", operatorNamespace)
      .replace(/(kind: ClusterRoleBinding\nmetadata:\n {2}name: )gatewarden-infrastructure/, `$1${operatorNamespace}`);
    await cluster.apply(rights);
    admin = await adminClient(cluster);
    own = createKubeClient(await accountCredentials(cluster, directory, operatorNamespace, "gatewarden"), systemClock);
  }, START_LIMIT_MS);
  afterAll(async () => {
    own.close();
    admin.close();
    await cluster.kubectl(["delete", "clusterrolebinding", operatorNamespace, `gatewarden-${operatorNamespace}`]);
    rmSync(directory, { recursive: true, force: true });
    await cluster.stop();
  });

  let namespace: string;
  let gateway: KubeObject;
  let leads: boolean;
  let outcomes: string[];
  let writer: InfrastructureWriter;
  beforeEach(async () => {
    namespace = await cluster.createNamespace("infra");
    await cluster.kubectl(["label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"]);
    await cluster.apply(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: ${namespace}}
spec: {gatewayClassName: nobodys, listeners: [{name: http, port: 80, protocol: HTTP}]}`);
    gateway = await get("gateway.networking.k8s.io/v1", "gateways", "web");
    [leads, outcomes] = [true, []];
    writer = createInfrastructureWriter({
      client: own,
      clock: systemClock,
      log: silentLog,
      namespace: operatorNamespace,
      leads: () => leads,
      onWrite: (outcome) => outcomes.push(outcome),
    });
  });
  afterEach(() => writer.stop());

  const pathOf = (api: string, plural: string, name: string): string =>
    `/${api === "v1" ? "api" : "apis"}/${api}/namespaces/${namespace}/${plural}/${name}`;
  async function find(api: string, plural: string, name = "gateway-web"): Promise<Stored | undefined> {
    const got = await admin.get(pathOf(api, plural, name));
    return got.ok ? (got.value as Stored) : undefined;
  }
  async function get(api: string, plural: string, name = "gateway-web"): Promise<Stored> {
    const found = await find(api, plural, name);
    if (found === undefined) throw new Error(`no ${plural}/${name}`);
    return found;
  }
  const deployment = (): Promise<Stored> => get("apps/v1", "deployments");
  const objects = (config: ProxyConfigSpec = {}): readonly KubeObject[] =>
    infrastructureObjects({
      gateway: parseGateway(gateway),
      config,
      caPem: "ca",
      logDirectory: "/var/log/gatewarden",
      options: {
        namespace: operatorNamespace,
        image: "envoy:1",
        agentImage: "gatewarden:1",
        bootstrap: (name) => ({ name }),
      },
    });
  const want = (config: ProxyConfigSpec = {}): void =>
    writer.update([{ gateway: `${namespace}/web`, objects: objects(config) }]);
  const exists = (api: string, plural: string): Promise<void> =>
    until(async () => (await find(api, plural)) !== undefined, `${plural}/gateway-web`);
  const start = async (config: ProxyConfigSpec = {}): Promise<void> => {
    want(config);
    writer.resume();
    await exists("apps/v1", "deployments");
  };
  /** Waits until everything that was asked for has been done. */
  const settled = async (count: number): Promise<void> =>
    until(
      () => outcomes.length >= count,
      () => `${String(count)} writes, so far ${outcomes.join()}`,
    );

  test("appear, belong to their Gateway, and may run under Pod Security `restricted`", async () => {
    await start();
    for (const [api, plural] of [
      ["v1", "serviceaccounts"],
      ["v1", "configmaps"],
      ["v1", "services"],
      ["policy/v1", "poddisruptionbudgets"],
      ["apps/v1", "deployments"],
    ] as const) {
      const { metadata } = await get(api, plural);
      expect(metadata.ownerReferences?.map(({ uid }) => uid)).toEqual([gateway.metadata.uid]);
    }
    expect(await find("autoscaling/v2", "horizontalpodautoscalers")).toBeUndefined();
    const { template } = (await deployment()).spec;
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "try" }, spec: template.spec };
    const pods = `/api/v1/namespaces/${namespace}/pods`;
    const tried = await admin.create(pods, pod, { query: { dryRun: "All" } });
    expect(tried).toMatchObject({ ok: true });
    const [first] = template.spec.containers;
    const bad = { ...pod, spec: { ...template.spec, containers: [{ ...first, securityContext: {} }] } };
    expect(await admin.create(pods, bad, { query: { dryRun: "All" } })).toMatchObject({
      ok: false,
      failure: { status: 403 },
    });
  });

  test("come back as they should be when somebody edits or deletes them", async () => {
    await start();
    await settled(5);
    await cluster.kubectl(["set", "image", "deployment/gateway-web", "envoy=evil:1", "-n", namespace]);
    await cluster.kubectl(["delete", "service,configmap", "gateway-web", "-n", namespace]);
    writer.resume();
    await exists("v1", "services");
    await exists("v1", "configmaps");
    await until(async () => (await deployment()).spec.template.spec.containers[0]?.image === "envoy:1", "the image");
  });

  test("are not written again while nothing differs", async () => {
    await start();
    await settled(5);
    const version = (await deployment()).metadata.resourceVersion;
    writer.resume();
    await settled(10);
    expect((await deployment()).metadata.resourceVersion).toBe(version);
  });

  test("an autoscaler takes the number over without anybody ending, and keeps it", async () => {
    const scale = (replicas: number): Promise<string> =>
      cluster.kubectl(["scale", "deployment/gateway-web", `--replicas=${String(replicas)}`, "-n", namespace]);
    await start({ replicas: 3 });
    const seen: (number | undefined)[] = [(await deployment()).spec.replicas];
    want({ autoscaling: { maxReplicas: 9 } });
    await exists("autoscaling/v2", "horizontalpodautoscalers");
    seen.push((await deployment()).spec.replicas);
    await scale(6); // as the autoscaler does, through the subresource
    const count = outcomes.length;
    writer.resume();
    await settled(count + 6);
    seen.push((await deployment()).spec.replicas);
    want({ replicas: 4 });
    await until(async () => (await find("autoscaling/v2", "horizontalpodautoscalers")) === undefined, "no autoscaler");
    await until(async () => (await deployment()).spec.replicas === 4, "4 replicas");
    expect(seen).toEqual([3, 3, 6]);
  });

  test("somebody else's object of the same name stays as it is", async () => {
    await cluster.kubectl(["create", "configmap", "gateway-web", "--from-literal=theirs=1", "-n", namespace]);
    await cluster.kubectl(["create", "serviceaccount", "gateway-web", "-n", namespace]);
    await start();
    expect((await get("v1", "configmaps")).data).toEqual({ theirs: "1" });
    expect((await get("v1", "serviceaccounts")).metadata.labels).toMatchObject({
      "app.kubernetes.io/managed-by": "gatewarden",
    });
    expect(outcomes).toContain("foreign");
    writer.update([{ gateway: `${namespace}/web`, objects: undefined }]);
    await until(async () => (await find("apps/v1", "deployments")) === undefined, "no Deployment");
    expect((await get("v1", "configmaps")).data).toEqual({ theirs: "1" });
  });

  test("go when nobody wants them, also those of an earlier process; stay when nobody can tell", async () => {
    await start();
    await settled(5);
    await writer.stop();
    const later = createInfrastructureWriter({
      client: own,
      clock: systemClock,
      log: silentLog,
      namespace: operatorNamespace,
      leads: () => true,
      onWrite: (outcome) => outcomes.push(outcome),
    });
    try {
      outcomes = [];
      // The operator's own API requests, not time, show that the comparison is over.
      later.update([{ gateway: `${namespace}/web`, objects: "keep" }]);
      later.resume();
      later.update([{ gateway: `${namespace}/other`, objects: objects().slice(0, 1) }]);
      await settled(1);
      expect(await find("apps/v1", "deployments")).toBeDefined();
      later.update([{ gateway: `${namespace}/web`, objects: undefined }]);
      later.resume();
      await until(async () => (await find("apps/v1", "deployments")) === undefined, "no Deployment");
    } finally {
      await later.stop();
    }
  });

  test("are written by the leader only", async () => {
    leads = false;
    want();
    writer.resume();
    leads = true;
    writer.resume();
    await exists("apps/v1", "deployments");
    await settled(5);
    leads = false;
    const before = outcomes.length;
    writer.update([{ gateway: `${namespace}/web`, objects: undefined }]);
    writer.resume();
    expect(outcomes.length).toBe(before);
    expect(await find("apps/v1", "deployments")).toBeDefined();
  });
});
