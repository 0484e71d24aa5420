/**
 * The shell on a real API server, with exactly the rights that we ship: statuses, Certificates, the xDS certificate, token review, the lease.
 * The engine is a fake at its edge, so that this says nothing about policies.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Change, Engine, KubeObject, Output } from "@gatewarden/core/world.ts";
import type { Cluster } from "../../e2e/cluster/driver.ts";
import { testCluster } from "../../e2e/cluster/shared.ts";
import { systemClock } from "../src/clock.ts";
import { parseOperatorArguments } from "../src/config.ts";
import { createKubeClient, type KubeClient } from "../src/kube/client.ts";
import type { Credentials } from "../src/kube/credentials.ts";
import { silentLog } from "../src/log.ts";
import { createRegistry } from "../src/metrics.ts";
import { startOperator, type Operator } from "../src/operator.ts";
import { createTokenReviewer } from "../src/token-review.ts";
import { accountCredentials, adminClient, crdManifests, rbacManifest } from "./cluster-client.ts";
import { until } from "./wait.ts";

const EMPTY: Output = {
  resources: [],
  statuses: [],
  certificates: [],
  watch: { add: [], remove: [] },
  jwks: { add: [], remove: [] },
  nextEvaluationMs: undefined,
  recomputed: {},
};
const CONDITION = { type: "Accepted", status: "True", reason: "Accepted", message: "", observedGeneration: 1 } as const;

const ISSUER = (namespace: string): string => `
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: root, namespace: ${namespace}}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: ca, namespace: ${namespace}}
spec: {isCA: true, commonName: ca, secretName: ca, privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Always}, issuerRef: {kind: Issuer, name: root}}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: ca, namespace: ${namespace}}
spec: {ca: {secretName: ca}}
`;

const TENANT = (namespace: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: ${namespace}}
spec: {gatewayClassName: fake, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders, namespace: ${namespace}}
spec: {parentRefs: [{name: web}]}
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: orders, namespace: ${namespace}}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders}]
  rateLimit: {limits: [{name: all, requests: 1, per: 1m}]}
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiConsumer
metadata: {name: erp, namespace: ${namespace}}
spec: {type: Application}
---
apiVersion: v1
kind: Secret
metadata: {name: read, namespace: ${namespace}}
stringData: {key: first}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: read, namespace: ${namespace}}
data: {key: first}
`;

/** Knows one tenant's objects and wants a status for each of them. */
function fakeEngine(tenant: string, taken: Change[]): Engine {
  const known = new Set<string>();
  let asked = false;
  return {
    apply(changes) {
      taken.push(...changes);
      const statuses = changes.flatMap(({ key, object }): Output["statuses"] => {
        if (key.namespace !== tenant) return [];
        if (object === undefined) return [{ key, status: undefined }];
        known.add(key.kind);
        const generation = object.metadata.generation ?? 1;
        switch (key.kind) {
          case "Gateway":
            return [
              {
                key,
                status: {
                  kind: "Gateway",
                  generation,
                  conditions: [CONDITION],
                  addresses: [{ type: "IPAddress", value: "127.0.0.9" }],
                  listeners: [
                    {
                      name: "http",
                      supportedKinds: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute" }],
                      attachedRoutes: 1,
                      conditions: [CONDITION],
                    },
                  ],
                },
              },
            ];
          case "HTTPRoute":
            return [
              {
                key,
                status: {
                  kind: "HTTPRoute",
                  generation,
                  parents: [{ parentRef: { name: "web" }, gateway: `${tenant}/web`, conditions: [CONDITION] }],
                },
              },
            ];
          case "ApiPolicy":
            return [
              {
                key,
                status: {
                  kind: "ApiPolicy",
                  generation,
                  target: "HTTPRoute orders",
                  ancestors: [
                    {
                      ancestorRef: {
                        group: "gateway.networking.k8s.io",
                        kind: "Gateway",
                        namespace: tenant,
                        name: "web",
                      },
                      gateway: `${tenant}/web`,
                      conditions: [CONDITION],
                    },
                  ],
                },
              },
            ];
          case "ApiConsumer":
            return [
              {
                key,
                status: { kind: "ApiConsumer", generation, conditions: [CONDITION], credentials: [], gateways: [] },
              },
            ];
          default:
            return [];
        }
      });
      if (asked || !known.has("ApiPolicy")) return { ...EMPTY, statuses };
      asked = true;
      const add = (["Secret", "ConfigMap"] as const).flatMap((kind) =>
        ["read", "absent"].map((name) => ({ kind, namespace: tenant, name })),
      );
      const certificate: KubeObject = {
        apiVersion: "cert-manager.io/v1",
        kind: "Certificate",
        metadata: { name: "web", namespace: tenant },
        spec: { secretName: "web", dnsNames: ["web.test"], issuerRef: { kind: "Issuer", name: "none" } },
      };
      return {
        ...EMPTY,
        statuses,
        watch: { add, remove: [] },
        certificates: [{ namespace: tenant, name: "web", object: certificate }],
      };
    },
  };
}

describe("the operator with the rights that we ship", () => {
  let cluster: Cluster;
  let directory: string;
  let own: string;
  let tenant: string;
  let admin: KubeClient;
  let credentials: Credentials;
  let operator: Operator;
  let served: boolean;
  const taken: Change[] = [];
  const metrics = createRegistry();

  const read = async (
    plural: string,
    name: string,
    group = "gateway.networking.k8s.io/v1",
    namespace = tenant,
  ): Promise<KubeObject | undefined> => {
    const root = group === "v1" ? "/api/v1" : `/apis/${group}`;
    const result = await admin.get(`${root}/namespaces/${namespace}/${plural}/${name}`);
    return result.ok ? result.value : undefined;
  };
  const conditionOf = (status: unknown, type: string): string => {
    const list = (
      status as { readonly conditions?: readonly { type: string; status: string; reason: string }[] } | undefined
    )?.conditions;
    const found = list?.find((condition) => condition.type === type);
    return found === undefined ? "" : `${found.status} ${found.reason}`;
  };

  beforeAll(async () => {
    cluster = await testCluster();
    directory = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
    own = await cluster.createNamespace("operator");
    tenant = await cluster.createNamespace("tenant");
    admin = await adminClient(cluster);
    await cluster.apply(crdManifests());
    await cluster.kubectl([
      "wait",
      "--for=condition=Established",
      "customresourcedefinitions",
      "--all",
      "--timeout=60s",
    ]);
    await cluster.apply(rbacManifest(own));
    await cluster.apply(ISSUER(own));
    await cluster.apply(TENANT(tenant));
    credentials = await accountCredentials(cluster, directory, own, "gatewarden");
    const parsed = parseOperatorArguments([
      "--namespace",
      own,
      "--xds-address",
      "127.0.0.1:0",
      "--metrics-address",
      "127.0.0.1:0",
      "--issuer",
      "Issuer/ca",
    ]);
    if (!parsed.ok) throw new Error(parsed.message);
    operator = await startOperator({
      config: parsed.value,
      credentials,
      jwksCaPem: undefined,
      createEngine: () => fakeEngine(tenant, taken),
      clock: systemClock,
      log: silentLog,
      metrics,
    });
    served = false;
    void operator.serving.then(() => (served = true));
  }, 120_000);

  afterAll(async () => {
    await operator.stop();
    admin.close();
    await cluster.kubectl(["delete", "clusterrolebinding", `gatewarden-${own}`]);
    await cluster.stop();
    rmSync(directory, { recursive: true });
  }, 60_000);

  test("serves when its certificate is there, and not ready before", async () => {
    const readyz = async (): Promise<string> => {
      const response = await fetch(`http://127.0.0.1:${operator.metricsPort}/readyz`);
      return `${response.status} ${await response.text()}`;
    };
    const before = await readyz();
    if (!served) expect(before).toMatch(/^503 waiting for /);
    await operator.serving;
    expect(await readyz()).toBe("200 ok\n");
    const ca = await read("configmaps", "gatewarden-ca", "v1", own);
    const secret = await read("secrets", "gatewarden-xds", "v1", own);
    const published = (ca?.["data"] as Record<string, string>)["ca.crt"];
    expect(published).toBe(
      Buffer.from((secret?.["data"] as Record<string, string>)["ca.crt"] ?? "", "base64").toString(),
    );
  }, 60_000);

  test("shows a renewed certificate without a restart", async () => {
    const port = await operator.serving;
    const ca =
      ((await read("configmaps", "gatewarden-ca", "v1", own))?.["data"] as Record<string, string>)["ca.crt"] ?? "";
    const serial = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connect(
          { host: "127.0.0.1", port, servername: `gatewarden.${own}.svc`, ca, ALPNProtocols: ["h2"] },
          () => {
            resolve(socket.getPeerCertificate().serialNumber);
            socket.destroy();
          },
        );
        socket.on("error", reject);
      });
    const before = await serial();
    await cluster.kubectl(["delete", "secret", "gatewarden-xds", "--namespace", own]);
    await until(async () => (await serial()) !== before, "another certificate");
  }, 60_000);

  test("answers exact paths only", async () => {
    for (const [request, status] of [
      ["/healthz", 200],
      ["/metrics", 200],
      ["/metrics/", 404],
      ["/metrics?x", 404],
      ["/", 404],
      ["/debug", 404],
    ] as const)
      expect((await fetch(`http://127.0.0.1:${operator.metricsPort}${request}`)).status).toBe(status);
    expect((await fetch(`http://127.0.0.1:${operator.metricsPort}/metrics`, { method: "POST" })).status).toBe(405);
  });

  test("writes the statuses of every kind", async () => {
    await until(
      async () => conditionOf((await read("gateways", "web"))?.status, "Programmed") === "False NoProxies",
      "Gateway",
    );
    const gateway = (await read("gateways", "web"))?.status as Record<string, unknown>;
    expect(gateway["addresses"]).toEqual([{ type: "IPAddress", value: "127.0.0.9" }]);
    expect(gateway["listeners"]).toHaveLength(1);
    await until(async () => (await read("httproutes", "orders"))?.status !== undefined, "HTTPRoute");
    await until(
      async () =>
        conditionOf((await read("apipolicies", "orders", "gatewarden.io/v1alpha1"))?.status, "Ready") ===
        "Unknown NoProxies",
      "ApiPolicy",
    );
    await until(
      async () =>
        conditionOf((await read("apiconsumers", "erp", "gatewarden.io/v1alpha1"))?.status, "Ready") ===
        "False NotAttached",
      "ApiConsumer",
    );
  });

  test("writes nothing more while nothing changes, also after others touched an object", async () => {
    await until(() => metrics.render().includes("gatewarden_status_queue 0"), "an empty queue");
    const before = /gatewarden_status_writes_total\{outcome="written"\} (\d+)/.exec(metrics.render())?.[1];
    await cluster.kubectl(["annotate", "gateway", "web", "--namespace", tenant, "note=1"]);
    await cluster.kubectl(["annotate", "apipolicy", "orders", "--namespace", tenant, "note=1"]);
    await until(
      () => taken.filter(({ object }) => object?.metadata.annotations?.["note"] === "1").length >= 2,
      "both changes",
    );
    await until(() => metrics.render().includes("gatewarden_status_queue 0"), "an empty queue");
    expect(/gatewarden_status_writes_total\{outcome="written"\} (\d+)/.exec(metrics.render())?.[1]).toBe(before);
  });

  test("reads a Secret only where the namespace allows it, and follows when it does and when it no longer does", async () => {
    const last = (kind: string, name: string): Change | undefined =>
      taken.findLast(({ key }) => key.kind === kind && key.name === name && key.namespace === tenant);
    await until(() => last("ConfigMap", "read")?.object !== undefined, "the ConfigMap");
    expect(last("ConfigMap", "absent")).toMatchObject({ object: undefined });
    expect(last("ConfigMap", "absent")?.denied).toBeUndefined();
    expect(last("Secret", "read")).toMatchObject({ object: undefined, denied: true });
    await cluster.kubectl([
      "create",
      "rolebinding",
      "gatewarden",
      "--namespace",
      tenant,
      "--clusterrole",
      "gatewarden-secrets",
      "--serviceaccount",
      `${own}:gatewarden`,
    ]);
    await until(() => last("Secret", "read")?.object !== undefined, "the Secret");
    await until(() => last("Secret", "absent")?.denied === undefined, "the answer that the other Secret is not there");
    expect(last("Secret", "absent")).toMatchObject({ object: undefined });
  }, 30_000);

  test("has no right that it does not need", async () => {
    const may = async (verb: string, resource: string, namespace?: string): Promise<boolean> => {
      const where = namespace === undefined ? ["--all-namespaces"] : ["--namespace", namespace];
      const account = `system:serviceaccount:${own}:gatewarden`;
      const answer = await cluster
        .kubectl(["auth", "can-i", verb, resource, ...where, "--as", account])
        .catch(() => "no");
      return answer.trim() === "yes";
    };
    for (const [verb, resource] of [
      ["get", "secrets"],
      ["list", "secrets"],
      ["watch", "secrets"],
      ["update", "gateways.gateway.networking.k8s.io"],
      ["patch", "apipolicies.gatewarden.io"],
      ["create", "configmaps"],
      ["delete", "configmaps"],
      ["create", "pods"],
      ["get", "nodes"],
    ] as const)
      expect(`${verb} ${resource} ${String(await may(verb, resource))}`).toBe(`${verb} ${resource} false`);
    expect(await may("get", "secrets", own)).toBe(false);
  }, 60_000);

  test("makes Certificates, and knows its own", async () => {
    await until(async () => (await read("certificates", "web", "cert-manager.io/v1")) !== undefined, "the Certificate");
    const certificate = await read("certificates", "web", "cert-manager.io/v1");
    expect(certificate?.metadata.labels).toEqual({ "app.kubernetes.io/managed-by": "gatewarden" });
  });

  test("knows a proxy by the token of its Gateway's ServiceAccount", async () => {
    await cluster.kubectl(["create", "serviceaccount", "gateway-web", "--namespace", tenant]);
    const token = async (account: string, audience: string): Promise<string> =>
      (await cluster.kubectl(["create", "token", account, "--namespace", tenant, "--audience", audience])).trim();
    const client = createKubeClient(credentials, systemClock);
    const review = createTokenReviewer(client, systemClock);
    const { signal } = new AbortController();
    const good = await review(await token("gateway-web", "gatewarden"), signal);
    expect(good).toMatchObject({ ok: true, gateways: new Set([`${tenant}/web`]) });
    expect(await review(await token("gateway-web", "vault"), signal)).toMatchObject({ ok: false });
    expect(await review(await token("default", "gatewarden"), signal)).toMatchObject({ ok: false });
    const forged = (await token("gateway-web", "gatewarden")).replace(/[^.]+$/, (signature) =>
      signature.split("").reverse().join(""),
    );
    expect(await review(forged, signal)).toMatchObject({ ok: false });
    client.close();
  }, 30_000);

  test("holds the lease, and gives it back when it stops", async () => {
    const holder = async (): Promise<unknown> =>
      (
        (await read("leases", "gatewarden", "coordination.k8s.io/v1", own))?.spec as
          { holderIdentity?: string } | undefined
      )?.holderIdentity;
    expect(await holder()).toMatch(new RegExp(`_${process.pid}_`));
    const began = Date.now();
    await operator.stop();
    expect(Date.now() - began).toBeLessThan(10_000);
    expect(await holder()).toBe("");
  }, 30_000);
});
