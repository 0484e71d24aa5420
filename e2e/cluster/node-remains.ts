/** What a node leaves when it is not taken down in order: processes of pods, mounts, and folders of runs whose owner was killed. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { eventually } from "./condition.ts";

const OWNER = "owner-pid";
const NETWORKS = "/var/run/netns";

/** Marks a folder as this process's, so that a later run can tell that nobody needs it any more. */
export function markOwned(directory: string): void {
  writeFileSync(join(directory, OWNER), String(process.pid));
}

/** Removes folders of earlier runs below `parent` with `prefix` whose owner is gone, with all that still runs in them. */
export async function removeAbandoned(parent: string, prefix: string): Promise<void> {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(prefix)) continue;
    const owner = join(parent, name, OWNER);
    if (!existsSync(owner) || existsSync(`/proc/${readFileSync(owner, "utf8")}`)) continue;
    await removeRemains(join(parent, name));
    rmSync(join(parent, name), { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Ends every process that belongs to containerd's folder `directory` and unmounts everything below it. */
export async function removeRemains(directory: string): Promise<void> {
  // A shim ends when its container does, and is a container's parent: both are known by the folder in the shim's command line.
  const shims = processes().filter(
    ({ command }) => command.includes(`${directory}/`) && command.includes("containerd-shim"),
  );
  const doomed = [...shims, ...processes().filter(({ parent }) => shims.some(({ pid }) => pid === parent))];
  const networks = networksOf(doomed.map(({ pid }) => pid));
  for (const { pid } of doomed) signal(pid);
  await eventually("the processes of pods gone", () => doomed.every(({ pid }) => !alive(pid)));
  for (const target of mountsBelow(directory)) spawnSync("umount", ["--lazy", target]);
  for (const name of networks) spawnSync("ip", ["netns", "delete", name]);
}

/** The network namespaces that CNI made for pods with these processes. */
function networksOf(pids: readonly number[]): readonly string[] {
  const inodes = new Set(pids.map((pid) => inode(`/proc/${String(pid)}/ns/net`)));
  inodes.delete(inode("/proc/self/ns/net"));
  inodes.delete(undefined);
  if (!existsSync(NETWORKS)) return [];
  return readdirSync(NETWORKS).filter((name) => name.startsWith("cni-") && inodes.has(inode(join(NETWORKS, name))));
}

function inode(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined;
  }
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

function processes(): readonly Process[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ");
        const parent = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${name}/status`, "utf8"))?.[1];
        return [{ pid: Number(name), parent: Number(parent), command }];
      } catch {
        return []; // ended in the meantime
      }
    });
}

function signal(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // ended in the meantime
  }
}

/** A zombie waits for its parent and holds nothing. */
function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${String(pid)}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Deepest first. */
function mountsBelow(directory: string): readonly string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((target) => target.startsWith(`${directory}/`))
    .reverse();
}
