/** What a node with pods is made of: Debian's containerd and its company, and Kubernetes' node programs from their Go module. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Say } from "./cache.ts";
import { whyNoNamespace } from "./netns.ts";
import { ensureBinary, NODE, PAUSE } from "./parts.ts";
import { commandExists, ensurePackages } from "./system-package.ts";

export interface NodeParts {
  /** First argument: `kubelet`, `kube-proxy` or `kube-scheduler`. */
  readonly node: string;
  /** The program that holds a pod's namespaces. */
  readonly pause: string;
  /** Folder of the CNI plugins. */
  readonly cni: string;
}

/** Set to 1: where no node can run, its tests are left out; otherwise they fail. */
export const SKIP_NODE_VARIABLE = "GATEWARDEN_SKIP_NODE";

const CNI = "/usr/lib/cni";
const PACKAGES = ["containerd", "runc", "containernetworking-plugins", "iptables", "conntrack"];

/** Why no node can run here; undefined when one can. */
export function whyNoNode(): string | undefined {
  return whyNoNamespace();
}

/** Finds, installs or builds every part. Throws with what is missing and cannot be had. */
export async function ensureNodeParts(say: Say): Promise<NodeParts> {
  const obstacle = whyNoNode();
  if (obstacle !== undefined) throw new Error(`a node with pods cannot run here: ${obstacle}`);
  const present = (): boolean =>
    ["containerd", "runc", "iptables", "conntrack"].every(commandExists) && existsSync(join(CNI, "bridge"));
  ensurePackages(PACKAGES, present, say);
  const node = await ensureBinary(NODE, say);
  const pause = await ensureBinary(PAUSE, say);
  return { node: join(node, NODE.program), pause: join(pause, PAUSE.program), cni: CNI };
}
