/**
 * The command `gatewarden` of this checkout: from its sources, so that a test sees the edit that was just made, or from what
 * `npm run build` made, as users run it (GATEWARDEN_RUN=dist, which the Makefile sets).
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type CommandResult, type ManagedProcess, runCommand, startProcess } from "../cluster/child-process.ts";
import { REPOSITORY } from "./installation.ts";

const FROM_SOURCE = ["--conditions=source", "--disable-warning=ExperimentalWarning"];
const FLAGS = process.env["GATEWARDEN_RUN"] === "dist" ? [] : FROM_SOURCE;
const BIN = join(REPOSITORY, "cli", "bin", "gatewarden.js");

/** Runs a command to its end; rejects with its standard error when the exit status is not 0. */
export function gatewarden(args: readonly string[]): Promise<CommandResult> {
  return runCommand(process.execPath, [...FLAGS, BIN, ...args]);
}

/** Starts a command that stays. */
export function startGatewarden(args: readonly string[], logFile: string): Promise<ManagedProcess> {
  return startProcess({
    name: `gatewarden ${args[0] ?? ""}`,
    command: process.execPath,
    args: [...FLAGS, BIN, ...args],
    logFile,
    // Jest's own flags for the node that it starts are not for ours.
    env: { NODE_OPTIONS: undefined },
  });
}

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, whatever its exit status: for commands whose exit status says what they found. */
export async function gatewardenEnds(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [...FLAGS, BIN, ...args], {
    env: { ...process.env, NODE_OPTIONS: undefined, ...env },
  });
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close") as Promise<[number]>,
  ]);
  return { status, stdout, stderr };
}
