/** `gatewarden test DIR`: runs files with expectations, so that an edit which opens or closes too much fails in the pull request. */
import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import type { OpenEngine } from "@gatewarden/core/engine.ts";
import { type ExpectationFile, readExpectations } from "../expect/file.ts";
import { type Outcome, runExpectation, timeOf } from "../expect/run.ts";
import { readFlags, wrongUsage } from "../flags.ts";
import { openObjects } from "../offline/inspect.ts";
import { isExpectations, readManifests } from "../offline/manifests.ts";
import { assumeSurroundings } from "../offline/surroundings.ts";
import { junit } from "../report/junit.ts";
import { printable } from "../report/table.ts";

const USAGE = `gatewarden test DIR|FILE … [-f DIR|FILE …] [-o table|json|junit]
  DIR|FILE              expectations: files named *.expect.yaml (docs/test.md)
  -f, --file DIR|FILE   manifests for files that name none (default: the folder of the file)
  -o, --output FORMAT   table (default), json, junit
  --require-policy=BOOL whether the operator answers 403 where no policy is (default true)
Exit status: 0 everything as expected, 1 something is not, 2 wrong usage or unreadable input.
`;

interface Result extends Outcome {
  readonly file: string;
  readonly line: number;
}

type Results =
  { readonly ok: true; readonly value: readonly Result[] } | { readonly ok: false; readonly message: string };

export async function testCommand(args: readonly string[]): Promise<number> {
  const flags = readFlags(
    "test",
    args,
    {
      file: { type: "string", short: "f", multiple: true },
      output: { type: "string", short: "o", default: "table" },
      "require-policy": { type: "string", default: "true" },
    },
    USAGE,
    true,
  );
  if (!flags.ok) return flags.exitCode;
  const { output, file: manifests } = flags.value;
  if (flags.positionals.length === 0) return wrongUsage("test", "expected DIR or FILE", USAGE);
  if (output !== "table" && output !== "json" && output !== "junit")
    return wrongUsage("test", `-o ${output}: expected table, json or junit`, USAGE);
  const files = await filesOf(flags.positionals);
  if (!files.ok) return unreadable(files.message);
  const results: Result[] = [];
  for (const file of files.value) {
    const read = await readExpectations(file);
    if (!read.ok) return unreadable(read.message);
    const run = await runFile(read.value, manifests, flags.value["require-policy"] !== "false");
    if (!run.ok) return unreadable(run.message);
    results.push(...run.value);
  }
  process.stdout.write(written(output, results));
  return results.every(({ failure }) => failure === undefined) ? 0 : 1;
}

function unreadable(message: string): number {
  process.stderr.write(`gatewarden test: ${message}\n`);
  return 2;
}

/** A folder without expectations is a mistake, not a success. */
async function filesOf(
  paths: readonly string[],
): Promise<
  { readonly ok: true; readonly value: readonly string[] } | { readonly ok: false; readonly message: string }
> {
  const found: string[] = [];
  for (const given of paths) {
    try {
      if (!(await stat(given)).isDirectory()) {
        found.push(given);
        continue;
      }
      const entries = await readdir(given, { recursive: true, withFileTypes: true });
      const own = entries.filter((entry) => entry.isFile() && isExpectations(entry.name));
      if (own.length === 0) return { ok: false, message: `${given}: no file named *.expect.yaml` };
      found.push(...own.map((entry) => path.join(entry.parentPath, entry.name)));
    } catch (error) {
      return { ok: false, message: error instanceof Error ? error.message : String(error) };
    }
  }
  return { ok: true, value: found.sort() };
}

async function runFile(
  { file, manifests, expectations, line }: ExpectationFile,
  given: readonly string[] | undefined,
  requirePolicy: boolean,
): Promise<Results> {
  const folder = path.dirname(file);
  const read = await readManifests(manifests?.map((one) => path.resolve(folder, one)) ?? given ?? [folder]);
  if (!read.ok) return read;
  const { objects, notes } = assumeSurroundings(read.value.objects);
  for (const note of notes) process.stderr.write(`gatewarden test: ${note}\n`);
  const nowMs = Date.now();
  // What has ended or begun by then differs, so each point in time is a world of its own.
  const worlds = new Map<number, OpenEngine>();
  const value = expectations.map((expectation, index): Result => {
    const atMs = timeOf(expectation, nowMs);
    const open = worlds.get(atMs) ?? openObjects(objects, { requirePolicy, nowMs: atMs }).open;
    worlds.set(atMs, open);
    return { ...runExpectation(open, expectation, atMs), file, line: line(`expectations[${index}]`) };
  });
  return { ok: true, value };
}

function written(output: "table" | "json" | "junit", results: readonly Result[]): string {
  const failed = results.filter(({ failure }) => failure !== undefined).length;
  switch (output) {
    case "json":
      return `${JSON.stringify(
        results.map(({ name, file, line, failure }) => ({ name, file, line, passed: failure === undefined, failure })),
        null,
        2,
      )}\n`;
    case "junit":
      return junit(
        "gatewarden test",
        results.map(({ name, file, line, failure }) => ({
          suite: file,
          name,
          file,
          line,
          ...(failure === undefined ? {} : { failure: { message: failure, text: failure } }),
        })),
      );
    case "table":
      return [
        ...results.map(({ name, file, line, failure }) =>
          failure === undefined
            ? `ok    ${printable(name)}\n`
            : `FAIL  ${printable(name)}\n      ${file}:${line}: ${printable(failure)}\n`,
        ),
        `${results.length - failed} as expected, ${failed} not\n`,
      ].join("");
  }
}
