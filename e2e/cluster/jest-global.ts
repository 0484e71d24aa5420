/** Jest's globalSetup for the suites that need a cluster: starts one before the first test file and shares it. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeAtExit } from "./child-process.ts";
import { type Cluster, startCluster } from "./driver.ts";
import { CLUSTER_VARIABLE, publishCluster } from "./shared.ts";

declare global {
  var gatewardenSharedCluster: Cluster | undefined;
}

export default async function startSharedCluster(): Promise<void> {
  // Published by somebody outside (a kept cluster): used as it is and left alone.
  if ((process.env[CLUSTER_VARIABLE] ?? "") !== "") return;
  const cluster = await startCluster({ say: (line) => process.stderr.write(`cluster: ${line}\n`) });
  // The teardown is loaded as a module graph of its own; only the global object is common to both.
  globalThis.gatewardenSharedCluster = cluster;
  const directory = removeAtExit(mkdtempSync(join(tmpdir(), "gatewarden-shared-")));
  publishCluster(cluster, join(directory, "cluster.json"));
}
