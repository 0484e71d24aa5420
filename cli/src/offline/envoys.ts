/** One Envoy for each Gateway, started when it appears and ended when it goes; one that ends by itself is started again. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { bootstrap } from "@gatewarden/xds/bootstrap.ts";

export interface EnvoysOptions {
  readonly command: string;
  /** A folder of our own, mode 0700. */
  readonly directory: string;
  readonly xdsAddress: string;
  readonly tokenFile: string;
  readonly caFile: string;
  readonly serverName: string;
  readonly say: (line: string) => void;
}

export interface Envoys {
  /** The Gateways ("namespace/name") that have one from now on. */
  set(gateways: readonly string[]): void;
  stop(): Promise<void>;
}

const RESTART_MS = 1_000;
const KILL_AFTER_MS = 5_000;

interface Running {
  process: ChildProcess | undefined;
  restart: NodeJS.Timeout | undefined;
}

export function createEnvoys(options: EnvoysOptions): Envoys {
  const running = new Map<string, Running>();
  const ending = new Set<Promise<void>>();

  const start = (gateway: string, entry: Running): void => {
    const folder = path.join(options.directory, gateway.replace("/", "_"));
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const file = path.join(folder, "bootstrap.json");
    const config = bootstrap({
      ...options,
      gateway,
      address: options.xdsAddress,
      admin: `unix:${path.join(folder, "admin.sock")}`,
    });
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    // Its logs go to standard error; access logs of policies to our standard output.
    const child = spawn(options.command, ["--config-path", file, "--disable-hot-restart", "--log-level", "warning"], {
      stdio: ["ignore", "inherit", "inherit"],
      // A group of its own: Ctrl-C in a terminal is ours to act on, in order.
      detached: true,
    });
    entry.process = child;
    child.once("error", (error) => options.say(`envoy of ${gateway} does not start: ${error.message}`));
    child.once("exit", (code, signal) => {
      entry.process = undefined;
      if (running.get(gateway) !== entry) return;
      options.say(`envoy of ${gateway} ended (${signal ?? String(code)}) and is started again`);
      entry.restart = setTimeout(() => start(gateway, entry), RESTART_MS);
    });
    options.say(`envoy of ${gateway} started, process ${String(child.pid)}`);
  };

  const end = (gateway: string, entry: Running): void => {
    running.delete(gateway);
    clearTimeout(entry.restart);
    const child = entry.process;
    if (child === undefined || child.exitCode !== null) return;
    const done = new Promise<void>((resolve) => {
      const kill = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
      child.once("exit", () => {
        clearTimeout(kill);
        resolve();
      });
      child.kill("SIGTERM");
    });
    ending.add(done);
    void done.then(() => ending.delete(done));
  };

  return {
    set(gateways) {
      const wanted = new Set(gateways);
      for (const [gateway, entry] of [...running]) if (!wanted.has(gateway)) end(gateway, entry);
      for (const gateway of wanted) {
        if (running.has(gateway)) continue;
        const entry: Running = { process: undefined, restart: undefined };
        running.set(gateway, entry);
        start(gateway, entry);
      }
    },
    async stop() {
      for (const [gateway, entry] of [...running]) end(gateway, entry);
      await Promise.all(ending);
    },
  };
}
