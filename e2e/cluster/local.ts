/** The driver `local`: a control plane of its own on this machine, without Docker and without nodes. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clusterAccess } from "./access.ts";
import { applyCrds, startCertManager } from "./add-ons.ts";
import { removeAtExit } from "./child-process.ts";
import { startControlPlane } from "./control-plane.ts";
import type { Cluster, DriverOptions } from "./driver.ts";
import { ensureParts } from "./parts.ts";

/** Starts everything anew; nothing is shared with another cluster but the binaries. */
export async function startLocal(options: DriverOptions): Promise<Cluster> {
  const parts = await ensureParts(options.say);
  const directory = removeAtExit(mkdtempSync(join(tmpdir(), "gatewarden-cluster-")));
  options.say("starting etcd, kube-apiserver and kube-controller-manager");
  const controlPlane = await startControlPlane(parts.controlPlane, directory);
  const stops: (() => Promise<unknown>)[] = [controlPlane.stop];
  const stop = async (): Promise<void> => {
    await Promise.all(stops.map((each) => each()));
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const { kubeconfig, apiServer, chaos } = controlPlane;
    const access = clusterAccess(kubeconfig);
    if (options.crds) {
      options.say("applying the CRDs of Gateway API and cert-manager");
      await applyCrds(access, parts);
    }
    if (options.certManager) {
      options.say("starting cert-manager's controllers");
      const certManager = await startCertManager(access, { parts, kubeconfig, directory });
      stops.push(() => certManager.stop(0));
    }
    return { driver: "local", kubeconfig, apiServer, ...access, chaos, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
