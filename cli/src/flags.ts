/** Flags of one command: wrong ones end in one sentence and its usage, `--help` in its usage. */
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";

/** Prints what is wrong, with the command's usage; the answer is the exit status of wrong usage. */
export function wrongUsage(command: string, message: string, usage: string): number {
  process.stderr.write(`gatewarden ${command}: ${message}\n\n${usage}`);
  return 2;
}

/** Reads flags strictly; `help` is added. */
export function readFlags<const Options extends ParseArgsOptionsConfig>(
  command: string,
  args: readonly string[],
  options: Options,
  usage: string,
  allowPositionals = false,
) {
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(usage);
    return { ok: false, exitCode: 0 } as const;
  }
  try {
    const parsed = parseArgs({ args: [...args], strict: true, allowPositionals, options });
    return { ok: true, value: parsed.values, positionals: parsed.positionals } as const;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { ok: false, exitCode: wrongUsage(command, message, usage) } as const;
  }
}
