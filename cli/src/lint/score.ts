/**
 * One number per API, from 0 to 100, made of its findings and nothing else: the same input gives the same number on every machine. It is
 * there to be compared, of one API over time and of APIs with each other.
 */
import type { Api } from "./apis.ts";
import type { Located } from "./lint.ts";
import type { Severity } from "../report/finding.ts";

/** What one kind of finding takes from 100; the same code counts once however often it is found, so that large APIs are not worse by size. */
export const PENALTIES: Readonly<Record<Severity, number>> = { error: 30, warning: 10, info: 2 };

export interface Score {
  readonly api: string; // HTTPRoute/namespace/name
  readonly score: number;
  readonly findings: readonly {
    readonly code: string;
    readonly severity: Severity;
    readonly count: number;
    readonly penalty: number;
  }[];
}

/** In the order of the routes' names. Routes that are not attached to a Gateway of ours have no score: nobody can call them. */
export function scores(apis: readonly Api[], findings: readonly Located[]): readonly Score[] {
  return [...new Set(apis.map(({ route }) => route))].sort().map((api) => {
    const byCode = new Map<string, { severity: Severity; count: number }>();
    for (const { code, severity, routes } of findings) {
      if (!routes.includes(api)) continue;
      const known = byCode.get(code);
      if (known === undefined) byCode.set(code, { severity, count: 1 });
      else byCode.set(code, { severity: worse(known.severity, severity), count: known.count + 1 });
    }
    const list = [...byCode]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([code, { severity, count }]) => ({ code, severity, count, penalty: PENALTIES[severity] }));
    return { api, score: Math.max(0, 100 - list.reduce((sum, { penalty }) => sum + penalty, 0)), findings: list };
  });
}

function worse(a: Severity, b: Severity): Severity {
  return PENALTIES[a] >= PENALTIES[b] ? a : b;
}
