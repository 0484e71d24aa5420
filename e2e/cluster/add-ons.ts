/** What every test cluster carries: the CRDs of Gateway API and cert-manager, and cert-manager's controllers. */
import { join } from "node:path";
import type { Access } from "./access.ts";
import { lastLines, type ManagedProcess, startProcess } from "./child-process.ts";
import { eventually } from "./condition.ts";
import { untilEstablished } from "./established.ts";
import { readManifests, type Parts } from "./parts.ts";
import { CERT_MANAGER_IMAGE } from "./test-images.ts";

/** Where ClusterIssuers look for their Secrets. */
export const CERT_MANAGER_NAMESPACE = "cert-manager";

/** Applies the CRDs and waits until the API server serves them. */
export async function applyCrds(access: Access, parts: Parts): Promise<void> {
  const manifests = [readManifests(parts.gatewayApiCrds), readManifests(parts.certManagerCrds)].join("\n---\n");
  await access.apply(manifests);
  await untilEstablished(access);
}

/** Starts cert-manager's controllers against the cluster of `kubeconfig`; resolves when they run. */
export async function startCertManager(
  access: Access,
  options: { readonly parts: Parts; readonly kubeconfig: string; readonly directory: string },
): Promise<ManagedProcess> {
  await access.apply(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"${CERT_MANAGER_NAMESPACE}"}}`);
  const logFile = join(options.directory, "cert-manager.log");
  const process = await startProcess({
    name: "cert-manager",
    command: options.parts.certManager,
    args: ["--kubeconfig", options.kubeconfig, "--cluster-resource-namespace", CERT_MANAGER_NAMESPACE],
    logFile,
  });
  await eventually("cert-manager running", () => lastLines(logFile, 1000).includes("cert-manager: running"), {
    giveUp: () => {
      const ending = process.ending();
      return ending === undefined ? undefined : `${ending}:\n${lastLines(logFile)}`;
    },
  });
  return process;
}

/** Runs cert-manager's controllers in a pod of image CERT_MANAGER_IMAGE, as cluster administrator; resolves when it runs. */
export async function startCertManagerPod(access: Access): Promise<void> {
  const account = { name: "cert-manager", namespace: CERT_MANAGER_NAMESPACE };
  const labels = { app: "cert-manager" };
  const rbac = "rbac.authorization.k8s.io";
  const container = { name: "cert-manager", image: CERT_MANAGER_IMAGE, imagePullPolicy: "Never" };
  const items = [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: CERT_MANAGER_NAMESPACE } },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: account },
    {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: "cert-manager" },
      roleRef: { apiGroup: rbac, kind: "ClusterRole", name: "cluster-admin" },
      subjects: [{ kind: "ServiceAccount", ...account }],
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: account,
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { serviceAccountName: account.name, containers: [container] } },
      },
    },
  ];
  await access.apply(JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const wait = ["rollout", "status", "deployment/cert-manager", "--namespace", CERT_MANAGER_NAMESPACE];
  await access.kubectl([...wait, "--timeout=120s"]);
}
