/** What `lint` and `test` report, whatever the output format. */
import type { ObjectKey } from "@gatewarden/core/world.ts";

export const SEVERITIES = ["error", "warning", "info"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** One thing that is wrong, where, and what mends it. Never holds a value of a Secret. */
export interface Finding {
  readonly code: string; // GW-LINT-001
  readonly severity: Severity;
  readonly object: string; // Kind/namespace/name
  readonly path: string; // spec.rules[0], "" = the object as a whole
  readonly message: string;
  readonly mend: string;
  readonly file?: string;
  readonly line?: number; // from 1
}

/** What stands behind a code, for formats that list rules beside results. */
export interface RuleInfo {
  readonly code: string;
  readonly title: string;
  readonly severity: Severity;
}

/** `Kind/namespace/name`, without the namespace where there is none. */
export function objectText({ kind, namespace, name }: ObjectKey): string {
  return namespace === "" ? `${kind}/${name}` : `${kind}/${namespace}/${name}`;
}

/** Worst first, then by code, object and path: the same input prints the same report. */
export function compareFindings(a: Finding, b: Finding): number {
  return (
    SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) ||
    compare(a.code, b.code) ||
    compare(a.object, b.object) ||
    compare(a.path, b.path) ||
    compare(a.message, b.message)
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
