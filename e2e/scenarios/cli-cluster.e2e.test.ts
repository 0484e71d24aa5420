/** Commands that look at a cluster: with the caller's own rights, writing nothing, as a command and as a kubectl plugin. */
import { writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { runCommand } from "../cluster/child-process.ts";
import { gatewardenEnds } from "../harness/gatewarden.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import { REPOSITORY } from "../harness/installation.ts";
import type { Tenant } from "../harness/tenant.ts";

const MANIFESTS = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders}
spec: {parentRefs: [{name: edge}], hostnames: [cli.test], rules: [{backendRefs: [{name: orders, port: 80}]}]}
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: orders}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders}]
  authentication: {apiKey: {from: {headers: [x-api-key]}}}
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiConsumer
metadata: {name: erp}
spec: {apiKeys: [{name: k1, secretRef: {name: erp-k1, key: api-key}}]}
`;

interface Finding {
  readonly code: string;
  readonly object: string;
}

describe("commands on a cluster", () => {
  let harness: Harness;
  let shop: Tenant;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("shop");
    await shop.upstream("orders");
    await shop.gateway();
    await shop.secret("erp-k1", { "api-key": "canary-cli-key" });
    await shop.enforce(MANIFESTS);
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const onCluster = (...args: readonly string[]) =>
    gatewardenEnds([...args, "--kubeconfig", harness.cluster.kubeconfig]);

  it("lint finds what is in force there, with the Secret that a consumer refers to, and prints no value of it", async () => {
    const { status, stdout, stderr } = await onCluster("lint", "-o", "json");
    expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
    const own = (JSON.parse(stdout) as readonly Finding[])
      .filter(({ object }) => object.split("/")[1] === shop.namespace)
      .map(({ code, object }) => `${code} ${object}`);
    expect(own).toContain(`GW-LINT-003 HTTPRoute/${shop.namespace}/orders`);
    expect(own).toContain(`GW-LINT-006 ApiConsumer/${shop.namespace}/erp`);
    expect(own.filter((one) => one.startsWith("GW-LINT-001") || one.startsWith("GW-LINT-013"))).toEqual([]);
    expect(stdout).not.toContain("canary-cli-key");
  });

  it("status says what the operator wrote", async () => {
    const before = await onCluster("status");
    expect(before.stdout).toMatch(new RegExp(`^ApiPolicy/${shop.namespace}/orders +Ready=True +Programmed`, "m"));
    await shop.apply(MANIFESTS.replace("authentication: {apiKey", "authentication: {apiKeys"));
    await shop.waitFor("ApiPolicy", "orders", "Accepted", { status: "False", reason: "Invalid" });
    const after = await onCluster("status");
    expect(after.status).toBe(1);
    expect(after.stdout).toMatch(
      new RegExp(
        `^ApiPolicy/${shop.namespace}/orders +Ready=False +Invalid +unknown field spec.authentication.apiKeys`,
        "m",
      ),
    );
  });

  it("kubectl runs it as a plugin, on the cluster of its own configuration", async () => {
    const found = await runCommand("kubectl", ["gatewarden", "score", "-o", "json"], {
      env: {
        KUBECONFIG: harness.cluster.kubeconfig,
        PATH: [join(REPOSITORY, "node_modules", ".bin"), process.env["PATH"] ?? ""].join(delimiter),
        NODE_OPTIONS: process.env["GATEWARDEN_RUN"] === "dist" ? undefined : "--conditions=source",
      },
    });
    expect(JSON.parse(found.stdout)).toContainEqual(
      expect.objectContaining({ api: `HTTPRoute/${shop.namespace}/orders`, score: expect.any(Number) }),
    );
  });

  it("ends with 3 where the API server does not let it read", async () => {
    const kubeconfig = JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "a",
      contexts: [{ name: "a", context: { cluster: "a", user: "a" } }],
      clusters: [{ name: "a", cluster: { server: harness.cluster.apiServer, "insecure-skip-tls-verify": true } }],
      users: [{ name: "a", user: { token: "wrong" } }],
    });
    const file = join(harness.directory, "wrong.kubeconfig");
    await writeFile(file, kubeconfig);
    const { status, stderr } = await gatewardenEnds(["lint", "--kubeconfig", file]);
    expect(status).toBe(3);
    expect(stderr).toContain("the cluster cannot be read: gatewayclasses: ");
  });
});
