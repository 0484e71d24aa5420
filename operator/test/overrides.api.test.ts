/** Who may write an Override, on a real API server: the verb `override`, asked about for the old and the new object (operator/deploy/overrides.yaml). */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type Cluster, startCluster } from "../../e2e/cluster/driver.ts";
import { eventually } from "../../e2e/cluster/condition.ts";

const DEPLOY = new URL("../deploy/overrides.yaml", import.meta.url);
const CRD = new URL("../../crds/out/gatewarden.io_apipolicies.yaml", import.meta.url);
const IMPOSTOR = "system:serviceaccount:shop:generic-garbage-collector";
const START_LIMIT_MS = 15 * 60_000;
/** Users that the policy does not ask about. */
const CONTROLLERS = ["namespace-controller", "generic-garbage-collector"].map(
  (name) => `system:serviceaccount:kube-system:${name}`,
);

describe("an Override", () => {
  let cluster: Cluster;
  let namespace: string;

  const as = (user: string, args: readonly string[], object?: object): Promise<string> =>
    cluster.kubectl(
      [...args, `--as=${user}`, ...(object === undefined ? [] : ["--filename=-"])],
      object && JSON.stringify(object),
    );
  const policy = (name: string, spec: object = {}): object => ({
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiPolicy",
    metadata: { name, namespace },
    spec: { targetRefs: [{ kind: "Namespace" }], denylist: { entries: [{ cidr: "192.0.2.0/24" }] }, ...spec },
  });
  const floor = (name: string): object => policy(name, { precedence: "Override" });
  const remove = (name: string): readonly string[] => ["delete", "apipolicy", name, "--namespace", namespace];
  const patch = (name: string, spec: object): readonly string[] => [
    ...["patch", "apipolicy", name, "--namespace", namespace],
    ...["--type=merge", `--patch=${JSON.stringify({ spec })}`],
  ];
  const dry = "--dry-run=server";
  const forbidden =
    /needs the verb "override" on apipolicies in namespace .*RoleBinding to ClusterRole gatewarden-override/;

  /** `everything` may do all with ApiPolicies but `override`; `platform` may that too; `one` only for the Override `named`. */
  const rights = (): object => {
    const role = (name: string, verbs: readonly string[], resourceNames?: readonly string[]): object => ({
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: { name, namespace },
      rules: [
        {
          apiGroups: ["gatewarden.io"],
          resources: ["apipolicies", "apipolicies/status"],
          verbs,
          ...(resourceNames && { resourceNames }),
        },
      ],
    });
    const binding = (user: string, name: string): object => ({
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: `${name}-${user.replaceAll(":", "-")}`, namespace },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: user }],
    });
    const verbs = ["get", "list", "create", "update", "patch", "delete", "deletecollection"];
    const items = [
      role("write", verbs),
      role("override", ["override"]),
      role("override-named", ["override"], ["named"]),
      ...["team", "platform", "one", IMPOSTOR, ...CONTROLLERS].map((user) => binding(user, "write")),
      binding("platform", "override"),
      binding("one", "override-named"),
    ];
    return { apiVersion: "v1", kind: "List", items };
  };

  beforeAll(async () => {
    cluster = await startCluster({ crds: false });
    await cluster.apply(readFileSync(CRD, "utf8"));
    await cluster.waitForCondition(
      { resource: "customresourcedefinitions", name: "apipolicies.gatewarden.io" },
      "Established",
    );
    namespace = await cluster.createNamespace("overrides");
    await cluster.apply(readFileSync(DEPLOY, "utf8"));
    await cluster.apply(JSON.stringify(rights()));
    await eventually("the admission policy holds", async () => {
      const said = await as("team", ["create", dry], floor("probe")).catch(String);
      return forbidden.test(said);
    });
    await cluster.kubectl(["create", "--filename=-"], JSON.stringify(floor("standing")));
    await cluster.kubectl(["create", "--filename=-"], JSON.stringify(policy("plain")));
  }, START_LIMIT_MS);
  afterAll(() => cluster.stop());

  it("is made by whoever has the verb, and by nobody else", async () => {
    await expect(as("team", ["create", dry], floor("new"))).rejects.toThrow(forbidden);
    await as("platform", ["create", dry], floor("new"));
    await as("team", ["create", dry], policy("new"));
    await as("team", ["create", dry], policy("new", { precedence: "Default" }));
  });

  it("is neither made of a Default, nor made one, nor changed, nor deleted without the verb", async () => {
    for (const args of [
      patch("plain", { precedence: "Override" }),
      patch("standing", { precedence: "Default" }),
      patch("standing", { precedence: null }),
      patch("standing", { denylist: null, allowlist: { entries: [{ cidr: "0.0.0.0/0" }] } }),
      remove("standing"),
      ["label", "apipolicy", "standing", "--namespace", namespace, "a=b"],
      ["delete", "apipolicies", "--all", "--namespace", namespace],
    ]) {
      await expect(as("team", [...args, dry])).rejects.toThrow(forbidden);
      await as("platform", [...args, dry]);
    }
    await as("team", [...patch("plain", { mode: "Audit" }), dry]);
    await as("team", [...remove("plain"), dry]);
  });

  it("can be one that somebody has the verb for by name", async () => {
    await as("platform", ["create"], floor("named"));
    await as("one", [...patch("named", { mode: "Audit" }), dry]);
    await expect(as("one", [...patch("standing", { mode: "Audit" }), dry])).rejects.toThrow(forbidden);
  });

  it("can have its status written by who has not the verb", async () => {
    const status = { status: { target: "Namespace" } };
    const args = ["--subresource=status", "--type=merge", `--patch=${JSON.stringify(status)}`];
    await as("team", ["patch", "apipolicy", "standing", "--namespace", namespace, ...args]);
  });

  it("goes with its namespace and its owner: the cluster's own controllers are not asked", async () => {
    for (const user of CONTROLLERS) await as(user, [...remove("standing"), dry]);
    await expect(as(IMPOSTOR, [...remove("standing"), dry])).rejects.toThrow(forbidden);
  });
});
