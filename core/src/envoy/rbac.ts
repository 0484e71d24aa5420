/** RBAC for one slot of a route. Every refusal names a policy: rules deny what does not fit, they never allow what does. */
import type { JsonObject } from "../world.ts";
import { RBAC_PER_ROUTE } from "./type-url.ts";

/** A caller that fits `principals` (any of them) is refused in the name of `policy`. */
export interface DenyRule {
  readonly policy: string; // "namespace/name#section": Envoy prints it in RESPONSE_CODE_DETAILS
  readonly principals: readonly JsonObject[];
}

export const ANYBODY: JsonObject = { any: true };

/** `prefix` keeps the verdicts of several RBAC slots apart in their common dynamic metadata `envoy.filters.http.rbac`. */
export function denyWhere(rules: readonly DenyRule[], prefix: string, audit: boolean): JsonObject {
  // Of one policy there may be several rules: none may hide another.
  const policies = Object.fromEntries(
    [...Map.groupBy(rules, ({ policy }) => policy)].map(([policy, own]) => [
      policy,
      { permissions: [{ any: true }], principals: own.flatMap(({ principals }) => principals) },
    ]),
  );
  const denied = { action: "DENY", policies };
  return {
    "@type": RBAC_PER_ROUTE,
    rbac: audit
      ? { shadow_rules: denied, shadow_rules_stat_prefix: `${prefix}_` }
      : { rules: denied, rules_stat_prefix: `${prefix}_` },
  };
}

/** Everybody who is none of these. */
export function noneOf(principals: readonly JsonObject[]): JsonObject {
  return principals.length === 0 ? ANYBODY : { not_id: { or_ids: { ids: principals } } };
}
