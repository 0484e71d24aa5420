/** The part of a Cluster that needs only a kubeconfig: every driver's `kubectl`, `apply` and waits. */
import { randomBytes } from "node:crypto";
import { runCommand } from "./child-process.ts";
import type { Cluster } from "./driver.ts";
import { kubectlCommand } from "./parts.ts";

export type Access = Pick<Cluster, "kubectl" | "apply" | "waitForCondition" | "waitForDeletion" | "createNamespace">;

const DEFAULT_WAIT_MS = 60_000;
/** Above this kubectl itself hangs; longer waits go through `kubectl wait`, which has its own limit. */
const COMMAND_LIMIT_MS = 180_000;

/** Access through kubectl with a kubeconfig file. */
export function clusterAccess(kubeconfig: string): Access {
  const kubectl: Access["kubectl"] = async (args, stdin) => {
    const env = { KUBECONFIG: kubeconfig };
    const options = { env, timeoutMs: COMMAND_LIMIT_MS, ...(stdin === undefined ? {} : { stdin }) };
    return (await runCommand(await kubectlCommand(), args, options)).stdout;
  };
  return {
    kubectl,
    apply: async (yaml) => {
      const flags = ["--server-side", "--force-conflicts", "--field-manager=gatewarden-tests", "--validate=strict"];
      await kubectl(["apply", ...flags, "-f", "-"], yaml);
    },
    waitForCondition: async (object, condition, timeoutMs = DEFAULT_WAIT_MS) => {
      const target = [`${object.resource}/${object.name}`, ...inNamespace(object.namespace)];
      await kubectl(["wait", "--for=create", ...target, timeoutFlag(timeoutMs)]);
      await kubectl(["wait", `--for=condition=${condition}`, ...target, timeoutFlag(timeoutMs)]);
    },
    waitForDeletion: async (object, timeoutMs = DEFAULT_WAIT_MS) => {
      const target = [`${object.resource}/${object.name}`, ...inNamespace(object.namespace)];
      await kubectl(["wait", "--for=delete", ...target, timeoutFlag(timeoutMs)]);
    },
    createNamespace: async (prefix = "test") => {
      const name = `${prefix}-${randomBytes(5).toString("hex")}`;
      await kubectl(["create", "namespace", name]);
      return name;
    },
  };
}

function inNamespace(namespace: string | undefined): readonly string[] {
  return namespace === undefined ? [] : ["--namespace", namespace];
}

function timeoutFlag(timeoutMs: number): string {
  return `--timeout=${String(Math.ceil(timeoutMs / 1000))}s`;
}
