import { X509Certificate } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { CERT_MANAGER_NAMESPACE } from "./add-ons.ts";
import type { Cluster } from "./driver.ts";
import { upstreamAddress } from "./netns.ts";
import { testCluster } from "./shared.ts";

const START_LIMIT_MS = 15 * 60_000;
const LIMIT_MS = 120_000;

interface TokenReview {
  readonly status: {
    readonly authenticated?: boolean;
    readonly audiences?: readonly string[];
    readonly user?: { readonly username: string };
  };
}

describe("the test cluster", () => {
  let cluster: Cluster;
  let namespace: string;
  beforeAll(async () => {
    cluster = await testCluster();
    namespace = await cluster.createNamespace("driver");
  }, START_LIMIT_MS);
  afterAll(() => cluster.stop());

  const review = async (token: string, audience: string): Promise<TokenReview["status"]> => {
    const body = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token, audiences: [audience] },
    };
    const output = await cluster.kubectl(["create", "--output", "json", "--filename", "-"], JSON.stringify(body));
    return (JSON.parse(output) as TokenReview).status;
  };

  it("serves Kubernetes 1.34, Gateway API 1.6.1 and cert-manager's API", async () => {
    const version = JSON.parse(await cluster.kubectl(["version", "--output", "json"])) as {
      readonly serverVersion: { readonly gitVersion: string };
    };
    expect(version.serverVersion.gitVersion).toBe("v1.34.4");
    const jsonpath = "jsonpath={.metadata.annotations.gateway\\.networking\\.k8s\\.io/bundle-version}";
    const crd = "customresourcedefinition/httproutes.gateway.networking.k8s.io";
    expect(await cluster.kubectl(["get", crd, "--output", jsonpath])).toBe("v1.6.1");
    const kinds = await cluster.kubectl(["api-resources", "--api-group=cert-manager.io", "--output=name"]);
    expect(kinds).toContain("certificates.cert-manager.io");
  });

  it("refuses what Gateway API's schema refuses, and fields that it does not know", async () => {
    const gateway = (extra: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: ${namespace}}
spec: {gatewayClassName: gatewarden, ${extra}}`;
    await expect(cluster.apply(gateway("listeners: []"))).rejects.toThrow(/spec\.listeners/);
    const listeners = "listeners: [{name: http, port: 80, protocol: HTTP}]";
    await expect(cluster.apply(gateway(`${listeners}, nonsense: 1`))).rejects.toThrow(/nonsense/);
    await cluster.apply(gateway(listeners));
  });

  it("reviews a service account's token for its audience and for no other", async () => {
    await cluster.kubectl(["create", "serviceaccount", "proxy", "--namespace", namespace]);
    const token = await cluster.kubectl([
      "create",
      "token",
      "proxy",
      "--namespace",
      namespace,
      "--audience",
      "gatewarden",
    ]);
    expect(await review(token.trim(), "gatewarden")).toMatchObject({
      authenticated: true,
      audiences: ["gatewarden"],
      user: { username: `system:serviceaccount:${namespace}:proxy` },
    });
    expect((await review(token.trim(), "somebody-else")).authenticated ?? false).toBe(false);
    expect((await review(`${token.trim()}x`, "gatewarden")).authenticated ?? false).toBe(false);
    // The token of a proxy must be no credential for the API server itself.
    const asProxy = cluster.kubectl([
      "get",
      "namespaces",
      `--token=${token.trim()}`,
      "--kubeconfig=/dev/null",
      `--server=${cluster.apiServer}`,
      "--insecure-skip-tls-verify",
    ]);
    await expect(asProxy).rejects.toThrow(/Unauthorized|logged in/);
  });

  it(
    "issues a certificate with a SPIFFE URI from a CA ClusterIssuer",
    async () => {
      const root = `root-${namespace}`;
      await cluster.apply(`
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: "self-signed-${namespace}"}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: "${root}", namespace: ${CERT_MANAGER_NAMESPACE}}
spec:
  isCA: true
  commonName: test root
  secretName: "${root}"
  privateKey: {algorithm: ECDSA, rotationPolicy: Always}
  issuerRef: {kind: ClusterIssuer, name: "self-signed-${namespace}"}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: "${root}"}
spec: {ca: {secretName: "${root}"}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: leaf, namespace: ${namespace}}
spec:
  secretName: leaf
  uris: ["spiffe://cluster.local/ns/${namespace}/sa/proxy"]
  privateKey: {algorithm: ECDSA, rotationPolicy: Always}
  issuerRef: {kind: ClusterIssuer, name: "${root}"}`);
      await cluster.waitForCondition(
        { resource: "certificates.cert-manager.io", name: "leaf", namespace },
        "Ready",
        LIMIT_MS,
      );
      const secret = JSON.parse(
        await cluster.kubectl(["get", "secret", "leaf", "--namespace", namespace, "--output=json"]),
      ) as { readonly data: Readonly<Record<string, string>> };
      const pem = (key: string): X509Certificate => new X509Certificate(Buffer.from(secret.data[key] ?? "", "base64"));
      expect(pem("tls.crt").subjectAltName).toBe(`URI:spiffe://cluster.local/ns/${namespace}/sa/proxy`);
      expect(pem("tls.crt").verify(pem("ca.crt").publicKey)).toBe(true);
    },
    LIMIT_MS,
  );

  it("takes an EndpointSlice with the test address and refuses loopback", async () => {
    const slice = (name: string, address: string): string => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}, namespace: ${namespace}, labels: {kubernetes.io/service-name: echo}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: ["${address}"]}]`;
    await cluster.apply(`
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: ${namespace}}
spec: {ports: [{name: http, port: 80}]}
---${slice("ours", upstreamAddress())}`);
    await expect(cluster.apply(slice("loopback", "127.0.0.1"))).rejects.toThrow(/loopback/);
  });

  it(
    "deletes dependents with their owner, and whole namespaces",
    async () => {
      const doomed = await cluster.createNamespace("doomed");
      const owner = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owner","namespace":"${doomed}"}}`;
      await cluster.apply(owner);
      const uid = await cluster.kubectl([
        "get",
        "configmap/owner",
        "--namespace",
        doomed,
        "--output=jsonpath={.metadata.uid}",
      ]);
      await cluster.apply(`
apiVersion: v1
kind: ConfigMap
metadata:
  name: dependent
  namespace: ${doomed}
  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: "${uid}"}]`);
      await cluster.kubectl(["delete", "configmap/owner", "--namespace", doomed]);
      await cluster.waitForDeletion({ resource: "configmaps", name: "dependent", namespace: doomed }, LIMIT_MS);
      await cluster.kubectl(["delete", "namespace", doomed, "--wait=false"]);
      await cluster.waitForDeletion({ resource: "namespaces", name: doomed }, LIMIT_MS);
    },
    LIMIT_MS,
  );
});
