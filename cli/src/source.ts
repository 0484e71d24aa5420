/** Where a command takes its objects from: manifests (`-f`), or without them the cluster of a kubeconfig. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import type { Concern } from "./offline/concerning.ts";
import type { Manifests } from "./offline/manifests.ts";
import { readManifests } from "./offline/manifests.ts";
import { assumeSurroundings } from "./offline/surroundings.ts";

export interface SourceFlags {
  /** Files and folders; none: a cluster. */
  readonly files: readonly string[] | undefined;
  /** Default: KUBECONFIG, then ~/.kube/config, then the pod that we run in. */
  readonly kubeconfig?: string | undefined;
}

/** `exitCode` as every command has it: 2 unreadable input, 3 the cluster cannot be read. */
export type Loaded =
  | { readonly ok: true; readonly value: Manifests }
  | { readonly ok: false; readonly exitCode: 2 | 3; readonly message: string };

/** Options of parseArgs that every command with a source has. */
export const SOURCE_OPTIONS = {
  file: { type: "string", short: "f", multiple: true },
  kubeconfig: { type: "string" },
} as const;

export const SOURCE_USAGE = `  -f, --file DIR|FILE   manifests; folders are read with all that is in them; may be repeated
  --kubeconfig FILE     without -f: the cluster to read (default: KUBECONFIG, ~/.kube/config, or the pod's own)
`;

/** `concern`: the objects are for a question about calls to one host. */
export async function loadObjects({ files, kubeconfig }: SourceFlags, concern?: Concern): Promise<Loaded> {
  if (files !== undefined && files.length > 0) {
    const manifests = await readManifests(files, concern);
    if (!manifests.ok) return { ok: false, exitCode: 2, message: manifests.message };
    const { objects, notes } = assumeSurroundings(manifests.value.objects);
    // What was assumed belongs to the answer, and standard output to programs.
    for (const note of notes) process.stderr.write(`gatewarden: ${note}\n`);
    return { ok: true, value: { objects, notes: [...manifests.value.notes, ...notes] } };
  }
  const { readCluster } = await import("./cluster/read.ts");
  const cluster = await readCluster(kubeconfig ?? defaultKubeconfig(process.env), process.env);
  return cluster.ok ? cluster : { ok: false, exitCode: 3, message: `the cluster cannot be read: ${cluster.message}` };
}

/** As kubectl finds it, where no flag names one; of several files in KUBECONFIG the first that is there. */
export function defaultKubeconfig(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const named = (env["KUBECONFIG"] ?? "").split(path.delimiter).filter((file) => file !== "");
  if (named.length > 0) return named.find((file) => existsSync(file)) ?? named[0];
  const usual = path.join(homedir(), ".kube", "config");
  return existsSync(usual) ? usual : undefined;
}
