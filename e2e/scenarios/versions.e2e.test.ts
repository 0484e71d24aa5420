/** An operator beside CRDs and rights of an older chart: what is missing is off, everything else works, nothing opens. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";

const MANIFESTS = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders}
spec: {parentRefs: [{name: edge}], hostnames: [versions.test], rules: [{backendRefs: [{name: orders, port: 80}]}]}
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: orders}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders}]
  authentication: {apiKey: {from: {headers: [x-api-key]}}}
  authorization:
    rules:
      - {name: export, action: Allow, paths: ["/export"], grant: Required}
      - {name: read, action: Allow, paths: ["/orders"]}
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiConsumer
metadata: {name: erp}
spec: {apiKeys: [{name: k1, secretRef: {name: erp-k1, key: api-key}}]}
`;
const GRANT = `
apiVersion: gatewarden.io/v1alpha1
kind: ApiGrant
metadata: {name: erp-export}
spec: {consumer: {name: erp}, policy: {name: orders, rules: [export]}, expiresAt: "2036-01-01T00:00:00Z"}
`;

describe("an older chart", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness({ ownCluster: true });
    shop = await harness.tenant("shop");
    await shop.upstream("orders");
    edge = await shop.gateway();
    await shop.secret("erp-k1", { "api-key": "k-versions-1" });
    await shop.enforce(MANIFESTS + "---" + GRANT);
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const status = async (path: string): Promise<number> =>
    (await send(edge.target(), { host: "versions.test", path, headers: { "x-api-key": "k-versions-1" } })).status;
  const restarted = async (): Promise<void> => {
    await harness.operator.stop();
    await harness.operator.start();
  };

  it("works as a whole before", async () => {
    await eventually("the grant in force", async () => (await status("/export")) === 200);
    expect(await status("/orders")).toBe(200);
  });

  it(
    "without the right to read grants: the operator gets ready, and what needs a grant is refused",
    async () => {
      const role = await harness.cluster.kubectl(["get", "clusterrole", "gatewarden", "--output", "json"]);
      const { rules } = JSON.parse(role) as { readonly rules: readonly { readonly resources?: readonly string[] }[] };
      const young = (name: string): boolean => name.startsWith("apigrants") || name.startsWith("proxyconfigs");
      const older = rules
        .map((rule) => ({ ...rule, resources: (rule.resources ?? []).filter((name) => !young(name)) }))
        .filter(({ resources }) => resources.length > 0);
      await harness.cluster.kubectl([
        ...["patch", "clusterrole", "gatewarden", "--type", "merge", "--patch"],
        JSON.stringify({ rules: older }),
      ]);
      await restarted();
      await eventually("the right gone", async () => (await status("/export")) === 403);
      expect(await status("/orders")).toBe(200);
    },
    START_LIMIT_MS,
  );

  it(
    "without the CRDs that came later: the same",
    async () => {
      await harness.cluster.kubectl(["delete", "crd", "apigrants.gatewarden.io", "proxyconfigs.gatewarden.io"]);
      await restarted();
      expect(await status("/export")).toBe(403);
      expect(await status("/orders")).toBe(200);
      await shop.apply(MANIFESTS.replace('paths: ["/orders"]', 'paths: ["/items"]'));
      await eventually("an edit in force", async () => (await status("/items")) === 200);
    },
    START_LIMIT_MS,
  );
});
