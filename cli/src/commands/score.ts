/** `gatewarden score`: a number per API, made of its findings. */
import { readFlags, wrongUsage } from "../flags.ts";
import { lint } from "../lint/lint.ts";
import { type Score, scores } from "../lint/score.ts";
import { inspectObjects } from "../offline/inspect.ts";
import { table } from "../report/table.ts";
import { loadObjects, SOURCE_OPTIONS, SOURCE_USAGE } from "../source.ts";

const USAGE = `gatewarden score [-f DIR|FILE …] [-o table|json] [--min N]
${SOURCE_USAGE}  -o, --output FORMAT   table (default) or json
  --min N               end with 1 where an API has less than N
Exit status: 0 fine, 1 an API is below --min, 2 wrong usage or unreadable input, 3 cluster not reachable.
`;

export async function scoreCommand(args: readonly string[]): Promise<number> {
  const flags = readFlags(
    "score",
    args,
    {
      ...SOURCE_OPTIONS,
      output: { type: "string", short: "o", default: "table" },
      min: { type: "string", default: "0" },
    },
    USAGE,
  );
  if (!flags.ok) return flags.exitCode;
  const { file, kubeconfig, output } = flags.value;
  if (output !== "table" && output !== "json")
    return wrongUsage("score", `-o ${output}: expected table or json`, USAGE);
  const min = Number(flags.value.min);
  if (!Number.isInteger(min) || min < 0 || min > 100)
    return wrongUsage("score", `--min ${flags.value.min}: expected a number from 0 to 100`, USAGE);
  const loaded = await loadObjects({ files: file, kubeconfig });
  if (!loaded.ok) {
    process.stderr.write(`gatewarden score: ${loaded.message}\n`);
    return loaded.exitCode;
  }
  const world = inspectObjects(loaded.value.objects, { requirePolicy: true, nowMs: Date.now() });
  const found = scores(world.apis, lint(world));
  process.stdout.write(output === "json" ? `${JSON.stringify(found, null, 2)}\n` : text(found));
  return found.every(({ score }) => score >= min) ? 0 : 1;
}

function text(found: readonly Score[]): string {
  if (found.length === 0) return "no API is attached to a Gateway of ours\n";
  const rows = found.map(({ api, score, findings }) => [
    String(score).padStart(3),
    api,
    findings.map(({ code, penalty }) => `${code} -${penalty}`).join(", "),
  ]);
  return table(["SCORE", "API", "FINDINGS"], rows);
}
