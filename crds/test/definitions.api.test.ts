/** The CRDs themselves on a real API server: nothing of them is lost, and kubectl shows what api.md promises. */
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { Cluster } from "../../e2e/cluster/driver.ts";
import { testCluster } from "../../e2e/cluster/shared.ts";
import { definition } from "../src/definition.ts";
import { KINDS } from "../src/kinds.ts";
import { installCrds } from "./install.ts";

const START_LIMIT_MS = 15 * 60_000;
const OUT = fileURLToPath(new URL("../out/", import.meta.url));

describe("our CRDs on the API server", () => {
  let cluster: Cluster;
  let namespace: string;
  beforeAll(async () => {
    cluster = await testCluster();
    await installCrds(cluster);
    namespace = await cluster.createNamespace("definitions");
  }, START_LIMIT_MS);
  afterAll(() => cluster.stop());

  const patchStatus = (name: string, status: object): Promise<string> =>
    cluster.kubectl([
      ...["patch", "apipolicy", name, "--namespace", namespace],
      ...["--subresource=status", "--type=merge", `--patch=${JSON.stringify({ status })}`],
    ]);
  const condition = (type: string, status: string, reason: string): object => ({
    ...{ type, status, reason, message: "", lastTransitionTime: "2026-01-01T00:00:00Z", observedGeneration: 1 },
  });

  it.each(KINDS.map((kind) => [kind.kind, kind] as const))("%s is stored as it was generated", async (_, kind) => {
    const wanted = definition(kind);
    const text = await cluster.kubectl(["get", "crd", `${kind.plural}.gatewarden.io`, "--output=json"]);
    // The server adds (a conversion strategy, names); what we wrote must all be there, nothing dropped.
    expect(JSON.parse(text)).toMatchObject(wanted);
  });

  it("can also be applied client-side, and shows no warning", async () => {
    for (const file of readdirSync(OUT)) {
      const yaml = readFileSync(OUT + file, "utf8");
      await cluster.kubectl(["apply", "--dry-run=server", "--warnings-as-errors", "--filename=-"], yaml);
      await cluster.kubectl(["create", "--dry-run=client", "--save-config", "--filename=-"], yaml);
    }
  });

  it("are listed by short name and category, with their columns", async () => {
    await cluster.apply(`
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: orders, namespace: ${namespace}}
spec: {targetRefs: [{kind: HTTPRoute, name: orders}], mode: Audit, denylist: {entries: [{cidr: 10.0.0.0/8}]}}
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiConsumer
metadata: {name: erp, namespace: ${namespace}}
spec: {type: Job}`);
    await patchStatus("orders", {
      target: "HTTPRoute/orders",
      conditions: [condition("Ready", "False", "Reconciling")],
    });
    const list = (...args: readonly string[]): Promise<string> =>
      cluster.kubectl(["get", ...args, "--namespace", namespace]);
    expect(await list("apol")).toMatch(
      /^NAME\s+TARGET\s+MODE\s+PRECEDENCE\s+READY\s+REASON\s+AGE\norders\s+HTTPRoute\/orders\s+Audit\s+False\s+Reconciling\s/,
    );
    expect(await list("apc")).toMatch(/^NAME\s+TYPE\s+SUSPENDED\s+READY\s+REASON\s+AGE\nerp\s+Job\s/);
    const all = await list("gatewarden", "--output=name");
    expect(all.trim().split("\n").toSorted()).toEqual([
      "apiconsumer.gatewarden.io/erp",
      "apipolicy.gatewarden.io/orders",
    ]);
    const selected = await cluster.kubectl([
      "get",
      "crd",
      "--selector=gateway.networking.k8s.io/policy=Inherited",
      "--output=name",
    ]);
    expect(selected).toContain("apipolicies.gatewarden.io");
  });

  it("explain every field", async () => {
    const text = await cluster.kubectl(["explain", "apipolicy.spec.rateLimit.limits"]);
    expect(text).toMatch(/per\s+<string> -required-/);
    expect(text).toContain("In which time.");
  });

  it("keep the status apart from the spec, and bounded", async () => {
    const ancestor = (n: number): object => ({
      ancestorRef: { kind: "Gateway", name: `g${String(n)}` },
      controllerName: "gatewarden.io/gateway-controller",
      conditions: [condition("Accepted", "True", "Accepted")],
    });
    const ancestors = (count: number): object => ({ ancestors: Array.from({ length: count }, (_, n) => ancestor(n)) });
    await cluster.apply(`
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: bounded, namespace: ${namespace}}
spec: {targetRefs: [{kind: HTTPRoute, name: orders}], denylist: {entries: [{cidr: 10.0.0.0/8}]}}`);
    await patchStatus("bounded", ancestors(16));
    await expect(patchStatus("bounded", ancestors(17))).rejects.toThrow(
      /status\.ancestors: Too many: 17: must have at most 16/,
    );
    const text = await cluster.kubectl(["get", "apol", "bounded", "--namespace", namespace, "--output=json"]);
    const stored = JSON.parse(text) as { readonly metadata: { readonly generation: number }; readonly status: unknown };
    expect(stored.metadata.generation).toBe(1);
    expect(stored.status).toEqual(ancestors(16));
  });
});
