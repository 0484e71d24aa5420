/**
 * Where built and downloaded test parts live: outside the clone, one folder per content hash of what they are made from,
 * so that a second clone finds them and a changed version never meets an old binary.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

/** Receives one line of progress at a time. */
export type Say = (line: string) => void;

const LOCK_POLL_MS = 500;
export const HEARTBEAT_MS = 20_000;

/** The root of the cache: `GATEWARDEN_CACHE`, else `~/.cache/gatewarden`. */
export function cacheRoot(): string {
  return process.env["GATEWARDEN_CACHE"] ?? join(homedir(), ".cache", "gatewarden");
}

/** Twelve hexadecimal digits over the given texts, in order. */
export function contentHash(...texts: readonly (string | Buffer)[]): string {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(String(text.length)).update(":").update(text);
  return hash.digest("hex").slice(0, 12);
}

/**
 * The folder `name` of the cache; when it is missing, `make` fills it first. `make` gets the folder that it fills and
 * throws when it cannot; half-made folders are never seen by anybody. Several processes may ask at the same time.
 */
export async function cached(
  name: string,
  make: (directory: string) => Promise<void>,
  say: Say,
  placement: "moved" | "inPlace" = "moved",
): Promise<string> {
  const root = cacheRoot();
  const directory = join(root, name);
  // A Python environment has its own path written into it, so it cannot be made elsewhere and moved.
  const complete = placement === "moved" ? directory : join(directory, ".complete");
  if (existsSync(complete)) return directory;
  mkdirSync(root, { recursive: true });
  const unlock = await lock(`${directory}.lock`, say);
  try {
    if (existsSync(complete)) return directory;
    if (placement === "inPlace") {
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory);
      await make(directory);
      writeFileSync(complete, "");
      return directory;
    }
    const draft = mkdtempSync(`${directory}.draft-`);
    try {
      await make(draft);
      renameSync(draft, directory);
    } finally {
      rmSync(draft, { recursive: true, force: true });
    }
    return directory;
  } finally {
    unlock();
  }
}

/** Runs `work` and says every 20 s that it still runs, and at the end how long it took. */
export async function withHeartbeat<T>(title: string, say: Say, work: () => Promise<T>): Promise<T> {
  const begin = Date.now();
  const seconds = (): string => `${String(Math.round((Date.now() - begin) / 1000))} s`;
  say(`${title} …`);
  const timer = setInterval(() => say(`${title} … ${seconds()}`), HEARTBEAT_MS);
  try {
    const result = await work();
    say(`${title}: done in ${seconds()}`);
    return result;
  } finally {
    clearInterval(timer);
  }
}

async function lock(path: string, say: Say): Promise<() => void> {
  let told = false;
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: "wx" });
      return () => rmSync(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    if (!holderLives(path)) rmSync(path, { force: true });
    else if (!told) {
      told = true;
      say(`waiting for another process that fills the cache (${path})`);
    }
    await wait(LOCK_POLL_MS);
  }
}

function holderLives(path: string): boolean {
  try {
    const pid = Number(readFileSync(path, "utf8"));
    // Created and not yet written: its maker is alive, the next look will tell.
    if (pid === 0) return true;
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
