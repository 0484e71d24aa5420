/** The real Envoy as a process of a test: started from a bootstrap object, asked over its socket, ended by its id. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lastLines, removeAtExit, runCommand, startProcess } from "../cluster/child-process.ts";
import { eventually } from "../cluster/condition.ts";
import { type EnvoyAdmin, envoyAdmin } from "./admin.ts";
import { ensureEnvoy } from "./binary.ts";

/** A bootstrap in Envoy's canonical JSON; YAML read into an object will do. */
export type Bootstrap = Readonly<Record<string, unknown>>;

export interface EnvoyOptions {
  /** `admin` is replaced by a Unix socket in the process's own folder. */
  readonly bootstrap: Bootstrap;
  /** Worker threads. Default 1. */
  readonly concurrency?: number;
  /** How long a removed listener drains. Default 600 s, Envoy's own. */
  readonly drainSeconds?: number;
  /** Default `info`; also `component=level` pairs such as `upstream:debug,config:trace`. */
  readonly logLevel?: string;
  readonly componentLogLevel?: string;
  /** Further flags, such as `--reject-unknown-dynamic-fields`. */
  readonly flags?: readonly string[];
  /** When to hand it back: `ready` (default) waits for `/ready`, `started` only for the admin socket (no xDS server yet). */
  readonly wait?: "ready" | "started";
}

export interface EnvoyProcess {
  readonly pid: number;
  readonly admin: EnvoyAdmin;
  /** The process's folder: bootstrap, log, admin socket. */
  readonly directory: string;
  readonly logFile: string;
  /** Everything logged so far. */
  readonly log: () => string;
  /** Undefined while it runs; then how it ended. */
  readonly ending: () => string | undefined;
  /** Waits for `/ready`. */
  readonly waitReady: (limitMs?: number) => Promise<void>;
  /** Ends the process (at once) and removes its folder. */
  readonly stop: () => Promise<void>;
}

const quiet = (): void => undefined;
const READY_LIMIT_MS = 30_000;

/** Starts Envoy. Throws with the end of its log when it refuses the bootstrap or is not ready in time. */
export async function startEnvoy(options: EnvoyOptions): Promise<EnvoyProcess> {
  const command = await ensureEnvoy(quiet);
  const directory = removeAtExit(mkdtempSync(join(tmpdir(), "gatewarden-envoy-")));
  const socket = join(directory, "admin.sock");
  const bootstrapFile = join(directory, "bootstrap.json");
  writeFileSync(bootstrapFile, JSON.stringify(withAdmin(options.bootstrap, socket), null, 1), { mode: 0o600 });
  const process = await startProcess({
    name: "envoy",
    command,
    args: [...flagsOf(options), "--config-path", bootstrapFile],
    logFile: join(directory, "envoy.log"),
  });
  const admin = envoyAdmin(socket);
  const until = (what: string, probe: () => Promise<boolean>, limitMs: number): Promise<true> =>
    eventually(`Envoy ${what}`, async () => (await probe()) || undefined, {
      limitMs,
      giveUp: () =>
        process.ending() === undefined ? undefined : `${String(process.ending())}:\n${lastLines(process.logFile)}`,
    });
  const stop = async (): Promise<void> => {
    await process.stop(0);
    rmSync(directory, { recursive: true, force: true });
  };
  const waitReady = async (limitMs = READY_LIMIT_MS): Promise<void> =>
    void (await until("ready", admin.ready, limitMs));
  try {
    if (options.wait === "started")
      await until("started", async () => (await admin.get("/server_info")) !== "", READY_LIMIT_MS);
    else await waitReady();
  } catch (error) {
    await stop();
    throw error;
  }
  const log = (): string => readFileSync(process.logFile, "utf8");
  const { pid, logFile, ending } = process;
  return { pid, admin, directory, logFile, log, ending, waitReady, stop };
}

/** Whether Envoy accepts a bootstrap in validate mode; `message` is what it logged at level `warn` and above. */
export async function validate(bootstrap: Bootstrap): Promise<{ readonly ok: boolean; readonly message: string }> {
  const command = await ensureEnvoy(quiet);
  const directory = mkdtempSync(join(tmpdir(), "gatewarden-validate-"));
  const file = join(directory, "bootstrap.json");
  try {
    writeFileSync(file, JSON.stringify(bootstrap), { mode: 0o600 });
    const args = ["--mode", "validate", "--disable-hot-restart", "--log-level", "warn", "--config-path", file];
    const { stderr } = await runCommand(command, args);
    return { ok: true, message: stderr.trim() };
  } catch (error) {
    const { code, stderr } = (error as Error).cause as { readonly code: unknown; readonly stderr: string };
    // A number is Envoy's own verdict; anything else means that it did not run or crashed.
    if (typeof code !== "number") throw error;
    return { ok: false, message: stderr.trim() };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function withAdmin(bootstrap: Bootstrap, socket: string): Bootstrap {
  return { ...bootstrap, admin: { address: { pipe: { path: socket, mode: 0o600 } } } };
}

function flagsOf(options: EnvoyOptions): readonly string[] {
  return [
    "--concurrency",
    String(options.concurrency ?? 1),
    "--drain-time-s",
    String(options.drainSeconds ?? 600),
    // Files of access logs are written at once instead of every 10 s: tests and people read them.
    "--file-flush-interval-msec",
    "100",
    // Many run side by side; hot restart would have them share memory by base id.
    "--disable-hot-restart",
    "--log-level",
    options.logLevel ?? "info",
    ...(options.componentLogLevel === undefined ? [] : ["--component-log-level", options.componentLogLevel]),
    ...(options.flags ?? []),
  ];
}
