import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { Cluster } from "../cluster/driver.ts";
import { testCluster } from "../cluster/shared.ts";
import { type Api, readManifests, startApi } from "./api.ts";
import { waitForCondition } from "./condition.ts";
import { START_LIMIT_MS } from "./harness.ts";

describe("the harness's way to the API server", () => {
  const directory = mkdtempSync(join(tmpdir(), "gatewarden-api-"));
  let cluster: Cluster;
  let api: Api;
  let namespace: string;
  beforeAll(async () => {
    cluster = await testCluster();
    api = await startApi(cluster.kubeconfig, directory);
    namespace = await cluster.createNamespace("api");
  }, START_LIMIT_MS);
  afterAll(async () => {
    await api.stop();
    await cluster.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it("applies YAML and objects, reads, lists and removes them", async () => {
    await api.apply(
      `
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data: {a: "1"}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: "class-${namespace}"}
spec: {controllerName: tests.gatewarden.io/nobody}`,
      namespace,
    );
    await api.apply({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "two", namespace } });
    expect(await api.get({ kind: "ConfigMap", name: "one", namespace })).toMatchObject({ data: { a: "1" } });
    const names = (await api.list("ConfigMap", namespace)).map(({ metadata }) => metadata.name);
    expect(names).toEqual(expect.arrayContaining(["one", "two"]));
    await api.remove({ kind: "ConfigMap", name: "one", namespace });
    await api.remove({ kind: "ConfigMap", name: "one", namespace });
    expect(await api.get({ kind: "ConfigMap", name: "one", namespace })).toBeUndefined();
    await api.remove({ kind: "GatewayClass", name: `class-${namespace}` });
  });

  it("passes on why the server refused", async () => {
    const map = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "x", namespace }, nonsense: {} };
    await expect(api.apply(map)).rejects.toThrow(/nonsense/);
  });

  it("says which conditions were there in place of the one that did not come", async () => {
    const ref = { kind: "Certificate", name: "leaf", namespace };
    await api.apply(
      `
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: leaf}
spec: {secretName: leaf, dnsNames: [x.test], privateKey: {rotationPolicy: Always}, issuerRef: {kind: Issuer, name: missing}}`,
      namespace,
    );
    const wait = waitForCondition(api, ref, "Ready", { status: "True" }, 3_000);
    await expect(wait).rejects.toThrow(/Ready=True: not within 3000 ms[^]*Ready=False/);
    await waitForCondition(api, ref, "Ready", { status: "False", message: /./ });
  });

  it("reads no objects out of empty YAML, and refuses broken YAML", () => {
    expect(readManifests("# nothing\n---\n")).toEqual([]);
    expect(() => readManifests("a: [")).toThrow();
  });
});
