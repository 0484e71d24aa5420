/**
 * Processes of the test cluster: started with a log file, watched, and ended by their id. Owns the list of what runs, so
 * that nothing outlives this process, however it ends.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync } from "node:fs";
import { promisify } from "node:util";
import { commandExists } from "./system-package.ts";

const run = promisify(execFile);

/** How much of a log is quoted in an error. */
const QUOTED_LOG_LINES = 25;
const GRACE_MS = 10_000;

export interface ManagedProcess {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  /** Undefined while it runs; then how it ended. */
  readonly ending: () => string | undefined;
  /** Settles when the process has ended. */
  readonly ended: Promise<void>;
  /** Sends SIGTERM, then SIGKILL after `graceMs`; resolves when the process is gone. With 0 it is SIGKILL at once. */
  readonly stop: (graceMs?: number) => Promise<void>;
  /** Stops the process where it stands: its sockets stay open and nothing is answered. */
  readonly pause: () => void;
  readonly resume: () => void;
}

export interface ProcessSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly logFile: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

const living = new Map<number, ChildProcess>();
const scratch = new Set<string>();
let hooked = false;

/** Starts a process; its output goes to `logFile` (appended). Throws when the command cannot be started. */
export async function startProcess(spec: ProcessSpec): Promise<ManagedProcess> {
  hookEndings();
  // The kernel ends the child with us even when we are killed outright and no handler of ours can run.
  const bound = commandExists("setpriv");
  const command = bound ? "setpriv" : spec.command;
  const args = bound ? ["--pdeathsig", "KILL", "--", spec.command, ...spec.args] : [...spec.args];
  const log = openSync(spec.logFile, "a");
  const child = spawn(command, args, {
    stdio: ["ignore", log, log],
    env: { ...process.env, ...spec.env },
    ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
  });
  closeSync(log);
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) => reject(new Error(`cannot start ${spec.name}: ${error.message}`)));
  });
  const pid = child.pid as number;
  living.set(pid, child);
  let ending: string | undefined;
  const ended = new Promise<void>((resolve) => {
    child.once("exit", (code, signal) => {
      living.delete(pid);
      ending = signal === null ? `exit status ${String(code)}` : `signal ${signal}`;
      resolve();
    });
  });
  return {
    name: spec.name,
    pid,
    logFile: spec.logFile,
    ending: () => ending,
    ended,
    stop: async (graceMs = GRACE_MS) => {
      if (ending !== undefined) return;
      child.kill("SIGCONT");
      child.kill(graceMs === 0 ? "SIGKILL" : "SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
      await ended;
      clearTimeout(timer);
    },
    pause: () => void child.kill("SIGSTOP"),
    resume: () => void child.kill("SIGCONT"),
  };
}

/** The last lines of a log file, for error messages. */
export function lastLines(logFile: string, lines: number = QUOTED_LOG_LINES): string {
  try {
    return readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  } catch {
    return "(no log)";
  }
}

/** A folder that is removed when this process ends. Returns the same path. */
export function removeAtExit(directory: string): string {
  hookEndings();
  scratch.add(directory);
  return directory;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. Throws an Error with the command's stderr when the exit status is not 0. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: {
    readonly stdin?: string;
    readonly cwd?: string;
    readonly env?: Readonly<Record<string, string | undefined>>;
    readonly timeoutMs?: number;
  } = {},
): Promise<CommandResult> {
  const promise = run(command, [...args], {
    maxBuffer: 256 * 1024 * 1024,
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
  });
  // A command that ends without reading its input makes this write fail; its exit status tells what happened.
  promise.child.stdin?.on("error", () => undefined);
  promise.child.stdin?.end(options.stdin ?? "");
  try {
    return await promise;
  } catch (error) {
    const failure = error as Error & Partial<CommandResult> & { code?: number | string; killed?: boolean };
    const why = failure.killed === true ? "timed out" : `failed (${String(failure.code)})`;
    const said = [failure.stderr, failure.stdout].filter((text) => text !== undefined && text !== "").join("\n");
    throw new Error(`${command} ${args.join(" ")} ${why}: ${said === "" ? failure.message : said}`.trimEnd(), {
      cause: { stderr: failure.stderr, stdout: failure.stdout, code: failure.code },
    });
  }
}

function hookEndings(): void {
  if (hooked) return;
  hooked = true;
  process.on("exit", endEverything);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    const onSignal = (): void => {
      // Somebody else listens too: then ending in order is theirs, and `exit` comes later.
      if (process.listenerCount(signal) > 1) return;
      endEverything();
      process.removeListener(signal, onSignal);
      process.kill(process.pid, signal);
    };
    process.on(signal, onSignal);
  }
}

function endEverything(): void {
  for (const child of living.values()) child.kill("SIGKILL");
  for (const directory of scratch) rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
}
