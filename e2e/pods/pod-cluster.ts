/** A cluster where pods run, with the images of this checkout in it, and a shell that has its kubectl and Helm. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { operatorImage } from "../../images/src/operator.ts";
import { removeAtExit, runCommand } from "../cluster/child-process.ts";
import { type Cluster, type DriverName, startCluster } from "../cluster/driver.ts";
import { helmCommand, kubectlCommand } from "../cluster/parts.ts";
import { echoImage, envoyImage } from "../cluster/test-images.ts";
import { type Api, startApi } from "../harness/api.ts";
import { REPOSITORY } from "../harness/installation.ts";

export interface PodCluster {
  readonly cluster: Cluster;
  /** For files of a test; removed at the end. */
  readonly directory: string;
  /** For what is asked again and again: a kubectl each time would take the processors from the pods. */
  readonly api: Api;
  /** Runs lines in bash in the repository; its standard output. Throws with what it said where a line fails. */
  readonly shell: (script: string) => Promise<string>;
  /** The JSON of `kubectl get ARGUMENTS`. */
  readonly get: <T>(...args: readonly string[]) => Promise<T>;
  readonly stop: () => Promise<void>;
}

/** The operator's image under a second name, as if it were the next version. */
export const NEXT_TAG = "0.1.1-next";
/** One step of an installation; pods are pulled from nowhere. */
const SHELL_LIMIT_MS = 180_000;

/** Which driver runs pods: what DRIVER says, where it does; else `node`. */
export function podDriver(): DriverName {
  const asked = process.env["DRIVER"] ?? "";
  return asked === "kind" || asked === "existing" ? asked : "node";
}

/**
 * Starts a cluster and loads the images; the checkout must be built.
 * @param standIns names of images under which the tests' upstream is found, too
 */
export async function startPodCluster(
  say: (line: string) => void = () => undefined,
  standIns: readonly string[] = [],
): Promise<PodCluster> {
  const directory = removeAtExit(mkdtempSync(join(tmpdir(), "gatewarden-pods-")));
  const cluster = await startCluster({ driver: podDriver(), say });
  let api: Api | undefined;
  const stop = async (): Promise<void> => {
    await api?.stop();
    await cluster.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const files = [(await envoyImage(say)).file, (await echoImage(say)).file];
    for (const name of standIns) files.push((await echoImage(say, name)).file);
    for (const tag of ["0.1.0", NEXT_TAG]) {
      const file = join(directory, `${tag}.tar`);
      writeFileSync(file, operatorImage(REPOSITORY, `gatewarden/operator:${tag}`).archive);
      files.push(file);
    }
    for (const file of files) await cluster.loadImage?.(file);
    api = await startApi(cluster.kubeconfig, directory);
    const folders = [dirname(await helmCommand(say)), dirname(await kubectlCommand(say)), process.env["PATH"] ?? ""];
    const env = {
      PATH: folders.join(delimiter),
      KUBECONFIG: cluster.kubeconfig,
      HELM_CACHE_HOME: join(directory, "helm-cache"),
      HELM_CONFIG_HOME: join(directory, "helm-config"),
      HELM_DATA_HOME: join(directory, "helm-data"),
    };
    const options = { cwd: REPOSITORY, env, timeoutMs: SHELL_LIMIT_MS };
    return {
      cluster,
      directory,
      api,
      // Without --norc bash takes a socket on its standard input for a remote login, and reads the machine's bashrc.
      shell: async (script) =>
        (await runCommand("bash", ["--norc", "-eu", "-o", "pipefail", "-c", script], options)).stdout,
      get: async <T>(...args: readonly string[]) =>
        JSON.parse(await cluster.kubectl(["get", ...args, "--output", "json"])) as T,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
