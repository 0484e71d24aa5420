/** SARIF 2.1.0 (OASIS), as code scanners of forges read it. */
import path from "node:path";
import { pathToFileURL } from "node:url";
import { DOCUMENTATION } from "./documentation.ts";
import type { Finding, RuleInfo } from "./finding.ts";

const LEVELS = { error: "error", warning: "warning", info: "note" } as const;

/**
 * @param root files below it are named relative to it, so that a report is the same on every machine
 * @returns the log as an object; findings without a file get a logical location only
 */
export function sarif(findings: readonly Finding[], rules: readonly RuleInfo[], root: string): object {
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: {
            name: "gatewarden",
            informationUri: DOCUMENTATION,
            rules: rules.map(({ code, title, severity }) => ({
              id: code,
              shortDescription: { text: title },
              helpUri: `${DOCUMENTATION}/lint.md#${code.toLowerCase()}`,
              defaultConfiguration: { level: LEVELS[severity] },
            })),
          },
        },
        results: findings.map((finding) => ({
          ruleId: finding.code,
          level: LEVELS[finding.severity],
          message: { text: `${finding.message}. ${finding.mend}.` },
          locations: [location(finding, root)],
        })),
      },
    ],
  };
}

function location({ object, path: field, file, line }: Finding, root: string): object {
  const logicalLocations = [{ fullyQualifiedName: field === "" ? object : `${object}#${field}` }];
  if (file === undefined) return { logicalLocations };
  return {
    physicalLocation: {
      artifactLocation: { uri: uriOf(file, root) },
      ...(line === undefined ? {} : { region: { startLine: line } }),
    },
    logicalLocations,
  };
}

function uriOf(file: string, root: string): string {
  const relative = path.relative(root, path.resolve(root, file));
  if (relative.startsWith("..") || path.isAbsolute(relative)) return pathToFileURL(path.resolve(root, file)).href;
  return relative.split(path.sep).map(encodeURIComponent).join("/");
}
