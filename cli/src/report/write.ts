/** A report in the format that was asked for. */
import { type Case, junit } from "./junit.ts";
import { type Finding, type RuleInfo, SEVERITIES } from "./finding.ts";
import { sarif } from "./sarif.ts";
import { printable } from "./table.ts";

export const REPORT_FORMATS = ["table", "json", "sarif", "junit"] as const;
export type ReportFormat = (typeof REPORT_FORMATS)[number];

export function isReportFormat(text: string): text is ReportFormat {
  return (REPORT_FORMATS as readonly string[]).includes(text);
}

/** @param name what made the report: `gatewarden lint` */
export function report(
  format: ReportFormat,
  name: string,
  findings: readonly Finding[],
  rules: readonly RuleInfo[],
  root: string,
): string {
  switch (format) {
    case "json":
      return `${JSON.stringify(findings.map(plain), null, 2)}\n`;
    case "sarif":
      return `${JSON.stringify(sarif(findings, rules, root), null, 2)}\n`;
    case "junit":
      return junit(name, cases(findings, rules));
    case "table":
      return text(findings);
  }
}

/** The members of api.md first, in its order. */
function plain({ code, severity, object, path, message, mend, file, line }: Finding): Finding {
  return {
    code,
    severity,
    object,
    path,
    message,
    mend,
    ...(file === undefined ? {} : { file }),
    ...(line === undefined ? {} : { line }),
  };
}

/** A rule that found nothing is a case that passed. */
function cases(findings: readonly Finding[], rules: readonly RuleInfo[]): readonly Case[] {
  return rules.flatMap(({ code, title }): readonly Case[] => {
    const own = findings.filter((finding) => finding.code === code);
    if (own.length === 0) return [{ suite: code, name: title }];
    return own.map((finding) => ({
      suite: code,
      name: `${finding.object}${finding.path === "" ? "" : ` ${finding.path}`}`,
      failure: { message: finding.message, text: `${finding.severity}: ${finding.message}\n${finding.mend}` },
      ...(finding.file === undefined ? {} : { file: finding.file }),
      ...(finding.line === undefined ? {} : { line: finding.line }),
    }));
  });
}

/** One paragraph per finding, as compilers print them. */
function text(findings: readonly Finding[]): string {
  if (findings.length === 0) return "no findings\n";
  const paragraphs = findings.map(({ code, severity, object, path, message, mend, file, line }) => {
    const where = file === undefined ? "" : `${file}${line === undefined ? "" : `:${line}`}: `;
    return [
      `${where}${severity} ${code} ${object}${path === "" ? "" : ` ${path}`}`,
      `    ${message}`,
      `    mend: ${mend}`,
    ]
      .map((row) => `${printable(row)}\n`)
      .join("");
  });
  const counts = SEVERITIES.flatMap((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length;
    return count === 0 ? [] : [`${count} ${severity}${count === 1 || severity === "info" ? "" : "s"}`];
  });
  return `${paragraphs.join("")}${counts.join(", ")}\n`;
}
