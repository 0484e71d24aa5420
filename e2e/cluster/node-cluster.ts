/** The driver `node`: a control plane of its own and one node with real pods on this machine, without Docker. Linux and root. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clusterAccess } from "./access.ts";
import { applyCrds, startCertManagerPod } from "./add-ons.ts";
import { removeAtExit } from "./child-process.ts";
import { startControlPlane } from "./control-plane.ts";
import type { Lookup } from "./dns.ts";
import type { Cluster, DriverOptions } from "./driver.ts";
import { NAMESPACE_VARIABLE, upstreamAddress } from "./netns.ts";
import { startNode } from "./node.ts";
import { ensureNodeParts } from "./node-parts.ts";
import { markOwned, removeAbandoned } from "./node-remains.ts";
import { ensureParts } from "./parts.ts";
import { certManagerImage, pauseImage } from "./test-images.ts";

const PREFIX = "gatewarden-node-";

/** Starts everything anew. Throws where a node cannot run, and says why. */
export async function startNodeCluster(options: DriverOptions): Promise<Cluster> {
  const nodeParts = await ensureNodeParts(options.say);
  if (process.env[NAMESPACE_VARIABLE] === undefined)
    throw new Error("DRIVER=node needs a network namespace of its own: start it with e2e/run-in-netns.ts");
  const parts = await ensureParts(options.say);
  await removeAbandoned(tmpdir(), PREFIX);
  const directory = removeAtExit(mkdtempSync(join(tmpdir(), PREFIX)));
  markOwned(directory);
  const address = upstreamAddress();
  options.say("starting etcd, kube-apiserver and kube-controller-manager");
  const controlPlane = await startControlPlane(parts.controlPlane, directory, { nodeAddress: address });
  const stops: (() => Promise<unknown>)[] = [controlPlane.stop];
  const stop = async (): Promise<void> => {
    for (const each of stops.splice(0).reverse()) await each();
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const { kubeconfig, apiServer, chaos } = controlPlane;
    const access = clusterAccess(kubeconfig);
    options.say("starting containerd, kubelet, kube-proxy, kube-scheduler and DNS");
    const node = await startNode({
      parts: nodeParts,
      controlPlane,
      kubectl: access.kubectl,
      lookup: lookupThrough(controlPlane.read),
      address,
      pauseImage: await pauseImage(nodeParts, options.say),
      directory: join(directory, "node"),
    });
    stops.push(node.stop);
    if (options.crds) {
      options.say("applying the CRDs of Gateway API and cert-manager");
      await applyCrds(access, parts);
    }
    if (options.certManager) {
      options.say("starting cert-manager's controllers in a pod");
      await node.loadImage((await certManagerImage(parts, options.say)).file);
      await startCertManagerPod(access);
    }
    return { driver: "node", kubeconfig, apiServer, ...access, chaos, loadImage: node.loadImage, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Envoys look names up every few seconds: a kubectl for each would be the machine's main work. */
function lookupThrough(read: (path: string) => Promise<unknown>): Lookup {
  return async (name, namespace) => {
    const path = (plural: string): string =>
      ["/api/v1/namespaces", ...[namespace, plural, name].map(encodeURIComponent)].join("/");
    const service = (await read(path("services"))) as { readonly spec: { readonly clusterIP?: string } } | undefined;
    if (service === undefined) return undefined;
    const address = service.spec.clusterIP;
    if (address !== undefined && address !== "None") return [address];
    const endpoints = (await read(path("endpoints"))) as
      { readonly subsets?: readonly { readonly addresses?: readonly { readonly ip: string }[] }[] } | undefined;
    return (endpoints?.subsets ?? []).flatMap(({ addresses = [] }) => addresses.map(({ ip }) => ip));
  };
}
