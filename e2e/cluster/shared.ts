/**
 * One running cluster for many test files. Whoever starts it publishes a file and names it in GATEWARDEN_TEST_CLUSTER;
 * test files attach to it and keep apart by namespaces. Without that variable a test file starts a cluster of its own.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { clusterAccess } from "./access.ts";
import { type Cluster, type DriverName, startCluster } from "./driver.ts";

/** The environment variable with the path of the published file. */
export const CLUSTER_VARIABLE = "GATEWARDEN_TEST_CLUSTER";

interface Published {
  readonly driver: DriverName;
  readonly kubeconfig: string;
  readonly apiServer: string;
}

/** Writes what `testCluster` needs to attach, and sets the variable for the processes started from here on. */
export function publishCluster(cluster: Cluster, file: string): void {
  const { driver, kubeconfig, apiServer } = cluster;
  const published: Published = { driver, kubeconfig, apiServer };
  writeFileSync(file, JSON.stringify(published), { mode: 0o600 });
  process.env[CLUSTER_VARIABLE] = file;
}

/**
 * The shared cluster when there is one (its `stop` does nothing and it has no `chaos`), else a new one. Tests that hurt
 * the control plane call `startCluster` themselves.
 */
export async function testCluster(): Promise<Cluster> {
  const file = process.env[CLUSTER_VARIABLE];
  if (file === undefined || file === "") return startCluster();
  const published = JSON.parse(readFileSync(file, "utf8")) as Published;
  return { ...published, ...clusterAccess(published.kubeconfig), stop: () => Promise.resolve() };
}
