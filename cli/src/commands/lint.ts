/** `gatewarden lint`: misconfigurations that are legal and dangerous, each with a stable code, a page and a mend. */
import { readFlags, wrongUsage } from "../flags.ts";
import { lint, LINT_RULE_INFOS } from "../lint/lint.ts";
import { inspectObjects } from "../offline/inspect.ts";
import { SEVERITIES, type Severity } from "../report/finding.ts";
import { isReportFormat, report, REPORT_FORMATS } from "../report/write.ts";
import { loadObjects, SOURCE_OPTIONS, SOURCE_USAGE } from "../source.ts";

const USAGE = `gatewarden lint [-f DIR|FILE …] [-o table|json|sarif|junit] [--severity error|warning|info]
${SOURCE_USAGE}  -o, --output FORMAT   table (default), json, sarif, junit
  --severity LEVEL      leave out what is less severe (default: info, so nothing)
  --require-policy=BOOL whether the operator answers 403 where no policy is (default true)
Exit status: 0 no findings, 1 findings, 2 wrong usage or unreadable input, 3 cluster not reachable.
docs/lint.md has a page for each code.
`;

export async function lintCommand(args: readonly string[]): Promise<number> {
  const flags = readFlags(
    "lint",
    args,
    {
      ...SOURCE_OPTIONS,
      output: { type: "string", short: "o", default: "table" },
      severity: { type: "string", default: "info" },
      "require-policy": { type: "string", default: "true" },
    },
    USAGE,
  );
  if (!flags.ok) return flags.exitCode;
  const { file, kubeconfig, output, severity } = flags.value;
  if (!isReportFormat(output)) return wrongUsage("lint", `-o ${output}: expected ${REPORT_FORMATS.join(", ")}`, USAGE);
  if (!(SEVERITIES as readonly string[]).includes(severity))
    return wrongUsage("lint", `--severity ${severity}: expected ${SEVERITIES.join(", ")}`, USAGE);
  const loaded = await loadObjects({ files: file, kubeconfig });
  if (!loaded.ok) {
    process.stderr.write(`gatewarden lint: ${loaded.message}\n`);
    return loaded.exitCode;
  }
  const world = inspectObjects(loaded.value.objects, {
    requirePolicy: flags.value["require-policy"] !== "false",
    nowMs: Date.now(),
  });
  const findings = lint(world).filter(
    (finding) => SEVERITIES.indexOf(finding.severity) <= SEVERITIES.indexOf(severity as Severity),
  );
  process.stdout.write(report(output, "gatewarden lint", findings, LINT_RULE_INFOS, process.cwd()));
  return findings.length === 0 ? 0 : 1;
}
