/** What stands behind the checks: a service, a redirect, or nothing that can be called. */
import type { Effective } from "../attach/policies.ts";
import { NO_BACKEND } from "../translate/refusal.ts";
import { backendsOf, type ContextOf, type RuleInput } from "../translate/rule.ts";
import type { Call } from "./contract.ts";

export interface End {
  readonly status: number;
  readonly reason: string;
  readonly notes: readonly string[];
  readonly refused?: { readonly status: number; readonly code: string; readonly reason: string };
}

export function answerOf(input: RuleInput, usable: readonly Effective[], contextOf: ContextOf, call: Call): End {
  const redirect = input.rule.filters.find((filter) => filter.type === "RequestRedirect");
  if (redirect !== undefined)
    return { status: redirect.statusCode, reason: `redirects with ${String(redirect.statusCode)}`, notes: [] };
  const tls = usable
    .map((effective) => {
      const { slice, enforced } = effective;
      return slice.key === "mtls" && enforced !== undefined
        ? slice.route?.(enforced.model, contextOf(effective, false)).backendTls
        : undefined;
    })
    .find((one) => one !== undefined);
  const { targets, lost } = backendsOf(input, tls);
  const clusters = targets.filter(({ weight }) => weight > 0).map(({ cluster }) => cluster.replace(/#.*$/, ""));
  if (clusters.length === 0) {
    const { status, code, detail } = NO_BACKEND;
    return { status, reason: detail, notes: [], refused: { status, code, reason: detail } };
  }
  const share = Math.round(lost * 100);
  return {
    status: 200,
    reason: `goes to Service ${clusters.join(" or ")}${rewritten(input, call)}`,
    notes: lost === 0 ? [] : [`${String(share)} % of the calls answer 500: some backendRefs lead nowhere`],
  };
}

function rewritten({ rule }: RuleInput, { host }: Call): string {
  const rewrite = rule.filters.find((filter) => filter.type === "URLRewrite");
  if (rewrite === undefined) return "";
  const path =
    rewrite.path === undefined
      ? ""
      : rewrite.path.type === "ReplaceFullPath"
        ? `, path ${rewrite.path.value}`
        : `, its matched prefix replaced by ${rewrite.path.value}`;
  return ` as host ${rewrite.hostname ?? host}${path}`;
}
