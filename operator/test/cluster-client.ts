/** Clients for a test cluster: with the rights of an administrator, or with those of a ServiceAccount and nothing more. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Cluster } from "../../e2e/cluster/driver.ts";
import { systemClock } from "../src/clock.ts";
import { createKubeClient, type KubeClient } from "../src/kube/client.ts";
import { loadCredentials, type Credentials } from "../src/kube/credentials.ts";

export async function adminClient(cluster: Cluster): Promise<KubeClient> {
  return createKubeClient(await loadCredentials(cluster.kubeconfig, {}, systemClock), systemClock);
}

/** @param directory where a kubeconfig may be written */
export async function accountCredentials(
  cluster: Cluster,
  directory: string,
  namespace: string,
  account: string,
): Promise<Credentials> {
  const token = (await cluster.kubectl(["create", "token", account, "--namespace", namespace])).trim();
  const view = await cluster.kubectl(["config", "view", "--raw", "--minify", "--flatten", "--output", "json"]);
  const { clusters } = JSON.parse(view) as { readonly clusters: readonly [{ readonly cluster: unknown }] };
  const file = path.join(directory, `${account}.kubeconfig`);
  const config = {
    clusters: [{ name: "test", cluster: clusters[0].cluster }],
    users: [{ name: "account", user: { token } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "account" } }],
    "current-context": "test",
  };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return loadCredentials(file, {}, systemClock);
}

const REPOSITORY = path.join(import.meta.dirname, "..", "..");

/** The rights as we ship them, for an operator in another namespace. */
export function rbacManifest(namespace: string): string {
  const text = readFileSync(path.join(REPOSITORY, "operator", "deploy", "rbac.yaml"), "utf8");
  return text
    .replaceAll("gatewarden-system", namespace)
    .replace(/(kind: ClusterRoleBinding\nmetadata:\n {2}name: )gatewarden/, `$1gatewarden-${namespace}`);
}

export function crdManifests(): string {
  return ["apipolicies", "apiconsumers", "apigrants", "proxyconfigs"]
    .map((plural) => readFileSync(path.join(REPOSITORY, "crds", "out", `gatewarden.io_${plural}.yaml`), "utf8"))
    .join("\n---\n");
}
