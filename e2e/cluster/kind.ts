/** The driver `kind`: a cluster in Docker, made and deleted by the `kind` command. cert-manager's controllers run here. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeAtExit, runCommand } from "./child-process.ts";
import type { Cluster, DriverOptions } from "./driver.ts";
import { joinCluster } from "./existing.ts";
import { commandExists } from "./system-package.ts";

/** Makes a kind cluster of one node; `stop` deletes it. Needs `kind` and `docker` on PATH. */
export async function startKind(options: DriverOptions): Promise<Cluster> {
  for (const command of ["kind", "docker"]) {
    if (!commandExists(command)) throw new Error(`DRIVER=kind needs ${command} on PATH`);
  }
  const name = `gatewarden-${randomBytes(4).toString("hex")}`;
  const directory = removeAtExit(mkdtempSync(join(tmpdir(), "gatewarden-kind-")));
  const kubeconfig = join(directory, "kubeconfig");
  const release = async (): Promise<void> => {
    await runCommand("kind", ["delete", "cluster", "--name", name, "--kubeconfig", kubeconfig]);
    rmSync(directory, { recursive: true, force: true });
  };
  options.say(`creating the kind cluster ${name}`);
  try {
    await runCommand("kind", ["create", "cluster", "--name", name, "--kubeconfig", kubeconfig, "--wait", "120s"]);
    const cluster = await joinCluster("kind", kubeconfig, options, release);
    const loadImage = async (file: string): Promise<void> =>
      void (await runCommand("kind", ["load", "image-archive", file, "--name", name]));
    return { ...cluster, loadImage };
  } catch (error) {
    await release();
    throw error;
  }
}
