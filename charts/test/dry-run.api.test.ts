import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { CERT_MANAGER_NAMESPACE } from "@gatewarden/e2e/cluster/add-ons.ts";
import type { Cluster } from "@gatewarden/e2e/cluster/driver.ts";
import { testCluster } from "@gatewarden/e2e/cluster/shared.ts";
import { eventually } from "@gatewarden/e2e/cluster/condition.ts";
import { monitoringCrds } from "@gatewarden/e2e/cluster/monitoring.ts";
import { START_LIMIT_MS } from "@gatewarden/e2e/harness/harness.ts";
import { type Rendered, render } from "./chart.ts";

const TESTDATA = join(import.meta.dirname, "testdata");
const DRY_RUN = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts", "-f", "-"];

/** A pod of a Deployment's template: admission judges pods, and only warns about templates. */
function podOf(deployment: Rendered): object {
  const { template } = deployment["spec"] as { readonly template: { readonly spec: object } };
  const metadata = { name: "from-template", namespace: deployment.metadata.namespace };
  return { apiVersion: "v1", kind: "Pod", ...template, metadata };
}

describe("the charts on a real API server", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await testCluster();
    const namespace = (name: string, labels: object = {}): object => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels },
    });
    const restricted = { "pod-security.kubernetes.io/enforce": "restricted" };
    // Of its own, because other test files use gatewarden-system with other labels.
    const objects = [namespace("gatewarden-charts", restricted), namespace("shop"), namespace("pay")];
    const items = [...objects, namespace(CERT_MANAGER_NAMESPACE)];
    await cluster.apply(JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    // One of them makes a ProxyConfig, one a ServiceMonitor and a PrometheusRule.
    await cluster.apply(await monitoringCrds());
    await cluster.apply(JSON.stringify({ apiVersion: "v1", kind: "List", items: await render("gatewarden-crds") }));
    const established = ["--for=condition=Established", "customresourcedefinitions", "--all", "--timeout=60s"];
    await cluster.kubectl(["wait", ...established]);
    for (const name of ["gatewarden", "gatewarden-fallback"]) {
      const metadata = { name, namespace: "gatewarden-charts" };
      await cluster.apply(JSON.stringify({ apiVersion: "v1", kind: "ServiceAccount", metadata }));
    }
  }, START_LIMIT_MS);
  afterAll(() => cluster.stop());

  const inNamespace = (object: object): string =>
    JSON.stringify(object).replaceAll('"gatewarden-system"', '"gatewarden-charts"');

  it.each(readdirSync(TESTDATA).filter((file) => file.endsWith(".values.json")))(
    "takes every object of %s, strictly",
    async (file) => {
      const objects = await render("gatewarden", JSON.parse(readFileSync(join(TESTDATA, file), "utf8")) as object);
      expect(objects.length).toBeGreaterThan(8);
      await cluster.kubectl(DRY_RUN, inNamespace({ apiVersion: "v1", kind: "List", items: objects }));
    },
  );

  it("takes every kind of gatewarden-crds, strictly", async () => {
    const items = await render("gatewarden-crds");
    await cluster.kubectl(DRY_RUN, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  });

  it("would be told of a monitor or a rule that the Prometheus operator does not take", async () => {
    const objects = await render("gatewarden", { prometheusRule: { enabled: true } });
    const rule = JSON.stringify(objects.find(({ kind }) => kind === "PrometheusRule"));
    const refused = cluster.kubectl(DRY_RUN, inNamespace(JSON.parse(rule.replace('"for":"5m"', '"for":"5 minutes"')) as object));
    await expect(refused).rejects.toThrow(/spec.groups\[0\].rules\[0\].for/);
  });

  it("lets the operator's pod into a namespace with Pod Security `restricted`", async () => {
    const objects = await render("gatewarden", { jwks: { ca: { configMap: "corp" } } });
    const deployments = objects.filter(({ kind }) => kind === "Deployment");
    expect(deployments.map(({ metadata }) => metadata.name).sort()).toEqual(["gatewarden", "gatewarden-fallback"]);
    for (const deployment of deployments) await cluster.kubectl(DRY_RUN, inNamespace(podOf(deployment)));
  });

  it("keeps a pod out that may do more than the chart's", async () => {
    const [deployment] = (await render("gatewarden")).filter(({ kind }) => kind === "Deployment");
    const pod = inNamespace(podOf(deployment as Rendered)).replace('"runAsNonRoot":true', '"runAsNonRoot":false');
    await expect(cluster.kubectl(DRY_RUN, pod)).rejects.toThrow(/violates PodSecurity "restricted/);
  });

  it("gives admin, edit and view what belongs to them", async () => {
    const roles = (await render("gatewarden")).filter(({ metadata }) =>
      Object.keys(metadata.labels ?? {}).some((label) => label.includes("aggregate-to")),
    );
    await cluster.apply(JSON.stringify({ apiVersion: "v1", kind: "List", items: roles }));
    for (const role of ["view", "edit", "admin"]) {
      const binding = { apiVersion: "rbac.authorization.k8s.io/v1", kind: "RoleBinding" };
      const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role };
      const subjects = [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: `chart-${role}` }];
      const metadata = { name: `chart-${role}`, namespace: "shop" };
      await cluster.apply(JSON.stringify({ ...binding, metadata, roleRef, subjects }));
    }
    const may = async (role: string, verb: string, resource: string): Promise<boolean> => {
      const resourceAttributes = { namespace: "shop", group: "gatewarden.io", verb, resource };
      const spec = { user: `chart-${role}`, groups: ["system:authenticated"], resourceAttributes };
      const review = { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec };
      const answer = await cluster.kubectl(["create", "--output=json", "-f", "-"], JSON.stringify(review));
      return (JSON.parse(answer) as { readonly status: { readonly allowed: boolean } }).status.allowed;
    };
    await eventually("the roles aggregated", () => may("admin", "update", "apipolicies"));
    const table = await Promise.all(
      ["view", "edit", "admin"].map(async (role) => [
        role,
        await may(role, "get", "apipolicies"),
        await may(role, "create", "apipolicies"),
        await may(role, "update", "apiconsumers"),
        await may(role, "override", "apipolicies"),
        await may(role, "get", "apigrants"),
        await may(role, "create", "apigrants"),
      ]),
    );
    expect(table).toEqual([
      ["view", true, false, false, false, true, false],
      ["edit", true, true, true, false, true, false],
      ["admin", true, true, true, false, true, false],
    ]);
  });
});
