/** Commands and Debian packages that the test parts need from the system; installed when this is root, else named. */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Whether a command is on PATH. */
export function commandExists(command: string): boolean {
  return findCommand(command) !== undefined;
}

/** The full path of a command on PATH or in one of `more` folders; undefined when it is nowhere. */
export function findCommand(command: string, more: readonly string[] = []): string | undefined {
  for (const folder of [...(process.env["PATH"] ?? "").split(delimiter), ...more]) {
    const path = join(folder, command);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** Whether this process has user id 0. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * Makes sure that `present()` holds, by installing `packages` with apt-get when it does not.
 * Throws with the sentence to tell a person when that is not possible (not root, no apt-get, no such package).
 */
export function ensurePackages(packages: readonly string[], present: () => boolean, say: (line: string) => void): void {
  if (present()) return;
  const list = packages.join(" ");
  if (!isRoot() || !commandExists("apt-get")) throw new Error(`missing system packages: apt-get install ${list}`);
  say(`installing ${list} with apt-get`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = (): number | null =>
    spawnSync("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...packages], { env, stdio: "ignore" })
      .status;
  if (install() !== 0) {
    spawnSync("apt-get", ["update", "-q"], { env, stdio: "ignore" });
    if (install() !== 0) throw new Error(`apt-get install ${list} failed`);
  }
  if (!present()) throw new Error(`${list} was installed, but what it should bring is still missing`);
}
