/** The driver `existing`: the cluster of KUBECONFIG, which is somebody's; only what is missing is added, nothing removed. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Access, clusterAccess } from "./access.ts";
import { applyCrds, startCertManager } from "./add-ons.ts";
import { removeAtExit } from "./child-process.ts";
import type { Cluster, DriverName, DriverOptions } from "./driver.ts";
import { ensureParts } from "./parts.ts";

const GATEWAY_API = "gateways.gateway.networking.k8s.io";
const CERT_MANAGER = "certificates.cert-manager.io";

/** Uses the cluster that KUBECONFIG (one file) names. `stop` ends only what was started here. */
export async function startExisting(options: DriverOptions): Promise<Cluster> {
  const kubeconfig = process.env["KUBECONFIG"];
  if (kubeconfig === undefined || kubeconfig === "") throw new Error("DRIVER=existing needs KUBECONFIG");
  return joinCluster("existing", kubeconfig, options, () => Promise.resolve());
}

/** A Cluster around a kubeconfig; `release` runs at the end of `stop`. */
export async function joinCluster(
  driver: DriverName,
  kubeconfig: string,
  options: DriverOptions,
  release: () => Promise<void>,
): Promise<Cluster> {
  const access = clusterAccess(kubeconfig);
  const view = await access.kubectl([
    "config",
    "view",
    "--minify",
    "--output",
    "jsonpath={.clusters[0].cluster.server}",
  ]);
  const installed = await installedCrds(access);
  const stops: (() => Promise<unknown>)[] = [];
  if (options.crds && !(installed.has(GATEWAY_API) && installed.has(CERT_MANAGER))) {
    options.say("applying the CRDs of Gateway API and cert-manager");
    await applyCrds(access, await ensureParts(options.say));
  }
  // Where its CRDs were there before, a cert-manager runs already, and two would fight over the same objects.
  if (options.certManager && !installed.has(CERT_MANAGER)) {
    options.say("starting cert-manager's controllers on this machine");
    const directory = removeAtExit(mkdtempSync(join(tmpdir(), "gatewarden-cert-manager-")));
    const parts = await ensureParts(options.say);
    const certManager = await startCertManager(access, { parts, kubeconfig, directory });
    stops.push(async () => {
      await certManager.stop();
      rmSync(directory, { recursive: true, force: true });
    });
  }
  const stop = async (): Promise<void> => {
    await Promise.all(stops.map((each) => each()));
    await release();
  };
  return { driver, kubeconfig, apiServer: view.trim(), ...access, stop };
}

async function installedCrds(access: Access): Promise<ReadonlySet<string>> {
  const output = await access.kubectl(["get", "customresourcedefinitions", "--output", "name"]);
  return new Set(output.split("\n").map((line) => line.slice(line.indexOf("/") + 1)));
}
