/**
 * A network namespace for a whole test run: every address in it is ours, so upstreams can have addresses that the API
 * server takes in EndpointSlices (it refuses loopback) and ports below 1024 collide with nobody. Linux, root, iproute2.
 */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { constants, networkInterfaces } from "node:os";
import { commandExists, ensurePackages, isRoot } from "./system-package.ts";

/** The environment variable with an address of this machine (or namespace) that is not loopback. */
export const ADDRESS_VARIABLE = "GATEWARDEN_TEST_ADDRESS";
/** Set inside a namespace, to its name. */
export const NAMESPACE_VARIABLE = "GATEWARDEN_TEST_NETNS";

/** All of this range belongs to the namespace: any address in it can be listened on without further set-up. */
const RANGE = "10.99.0.0/16";
const OWN_ADDRESS = "10.99.0.1";
const NAME_PREFIX = "gatewarden-";
const FOLDER = "/var/run/netns";

export interface NetworkNamespace {
  readonly name: string;
  readonly address: string;
  /** The words to put before a command that is to run inside. */
  readonly enter: readonly string[];
  readonly remove: () => void;
}

/** Why no namespace can be made here; undefined when one can. */
export function whyNoNamespace(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are a Linux thing";
  if (!isRoot()) return "making a network namespace needs root";
  return undefined;
}

/** Drivers whose cluster is somewhere else: in Docker, or wherever KUBECONFIG points. From inside a namespace nothing outside is reachable. */
const ELSEWHERE: readonly string[] = ["kind", "existing"];

/** Why a test run stays in the network that this process is in; undefined when it gets a namespace of its own. */
export function whyStay(driver: string | undefined, obstacle: string | undefined): string | undefined {
  if (driver !== undefined && ELSEWHERE.includes(driver))
    return `the cluster of DRIVER=${driver} cannot be reached from a network namespace`;
  return obstacle;
}

/** Makes a namespace with `lo` up and the range 10.99.0.0/16 local. Throws with what `ip` said when it cannot. */
export function createNamespace(say: (line: string) => void): NetworkNamespace {
  ensurePackages(["iproute2"], () => commandExists("ip"), say);
  ensurePackages(["util-linux"], () => commandExists("nsenter"), say);
  removeLeftOvers();
  const name = `${NAME_PREFIX}${String(process.pid)}-${randomBytes(3).toString("hex")}`;
  ip("netns", "add", name);
  const remove = (): void => void spawnSync("ip", ["netns", "delete", name], { stdio: "ignore" });
  try {
    // Both ends stay inside: the pair is only there to carry an address, for programs that look for one on an interface.
    ip("-n", name, "link", "add", "veth0", "type", "veth", "peer", "name", "veth1");
    for (const device of ["lo", "veth0", "veth1"]) ip("-n", name, "link", "set", device, "up");
    ip("-n", name, "address", "add", `${OWN_ADDRESS}/32`, "dev", "veth0");
    ip("-n", name, "route", "add", "local", RANGE, "dev", "lo");
  } catch (error) {
    remove();
    throw error;
  }
  // `ip netns exec` would mount another /sys over the real one.
  return { name, address: OWN_ADDRESS, enter: ["nsenter", `--net=${FOLDER}/${name}`, "--"], remove };
}

/**
 * Runs a command in a new namespace, with its standard streams, and resolves with its exit status (128 + n after signal
 * n). Without root, or with a cluster elsewhere (DRIVER=kind, existing), it says so and runs the command as it is, with the machine's own address in
 * GATEWARDEN_TEST_ADDRESS.
 */
export async function runInNamespace(command: readonly string[], say: (line: string) => void): Promise<number> {
  if (process.env[NAMESPACE_VARIABLE] !== undefined) return runForeground(command, {});
  const reason = whyStay(process.env["DRIVER"], whyNoNamespace());
  if (reason === undefined) {
    const namespace = createNamespace(say);
    try {
      const env = { [NAMESPACE_VARIABLE]: namespace.name, [ADDRESS_VARIABLE]: namespace.address };
      return await runForeground([...namespace.enter, ...command], env);
    } finally {
      namespace.remove();
    }
  }
  const address = upstreamAddress();
  say(`${reason}; using this machine's own address ${address} instead`);
  return runForeground(command, { [ADDRESS_VARIABLE]: address });
}

/**
 * An address that upstreams can listen on and an EndpointSlice can hold: GATEWARDEN_TEST_ADDRESS, else the first address
 * of this machine that is not loopback. Throws when there is none.
 */
export function upstreamAddress(): string {
  const given = process.env[ADDRESS_VARIABLE];
  if (given !== undefined && given !== "") return given;
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) {
      // The API server refuses link-local addresses like loopback ones.
      if (family === "IPv4" && !internal && !address.startsWith("169.254.")) return address;
    }
  }
  throw new Error("this machine has no address but loopback, which EndpointSlices cannot hold");
}

/** Namespaces whose maker was killed before it could remove them, and in which nothing runs. */
function removeLeftOvers(): void {
  for (const name of namespaceNames()) {
    const pid = /^gatewarden-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || processLives(Number(pid))) continue;
    if (ip("netns", "pids", name).trim() === "") ip("netns", "delete", name);
  }
}

function namespaceNames(): readonly string[] {
  try {
    return readdirSync(FOLDER).filter((name) => name.startsWith(NAME_PREFIX));
  } catch {
    return [];
  }
}

function processLives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function ip(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr.trim()}`);
  return stdout;
}

function runForeground(command: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const [program = "", ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, ...env } });
    // The terminal sends SIGINT to both of us; a kill reaches only this process and is passed on.
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
    const ignore = (): void => undefined;
    process.on("SIGTERM", pass).on("SIGHUP", pass).on("SIGINT", ignore);
    const finish = (): void => {
      process.off("SIGTERM", pass).off("SIGHUP", pass).off("SIGINT", ignore);
    };
    child.once("error", (error) => {
      finish();
      reject(error);
    });
    child.once("exit", (code, signal) => {
      finish();
      resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]);
    });
  });
}
