/** Routes that answer instead of routing, and what they say. The local reply configuration prints it from the route's metadata. */
import type { Refusal } from "../slice.ts";
import type { JsonObject } from "../world.ts";
import { TYPE } from "./chain.ts";

const TITLES: Readonly<Record<number, string>> = {
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  421: "Misdirected Request",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

export interface Answer {
  readonly status: 401 | 403 | 404 | 421 | 500 | 503;
  readonly code: string;
  readonly detail: string;
  readonly policy?: string;
  readonly challenge?: string;
}

export const NOT_FOUND: Answer = { status: 404, code: "GW-ROUTE-001", detail: "no route for this host and path" };
export const MISDIRECTED: Answer = {
  status: 421,
  code: "GW-ROUTE-002",
  detail: "this host has a listener of its own: connect with its name",
};
export const NO_BACKEND: Answer = {
  status: 500,
  code: "GW-ROUTE-003",
  detail: "the route has no backend that can be called",
};
export const NO_POLICY: Answer = {
  status: 403,
  code: "GW-POLICY-001",
  detail: "no policy says who may call this route",
};

export function brokenAnswer(detail: string): Answer {
  return { status: 503, code: "GW-ROUTE-004", detail: `the route cannot be served: ${detail.slice(0, 512)}` };
}

export function closedAnswer(policy: string, detail: string): Answer {
  return {
    status: 503,
    code: "GW-POLICY-002",
    policy,
    detail: `the policy cannot be enforced: ${detail.slice(0, 512)}`,
  };
}

/** What the answer says, as metadata of the route. */
export function answerMetadata(answer: Answer): JsonObject {
  return {
    code: answer.code,
    title: TITLES[answer.status] ?? "Refused",
    detail: answer.detail,
    ...(answer.policy === undefined ? {} : { policy: answer.policy }),
    ...(answer.challenge === undefined ? {} : { challenge: answer.challenge }),
  };
}

/** The filters before the router run first: a refusing route still checks addresses and counts calls. */
export function answerAction(answer: Answer): JsonObject {
  return { direct_response: { status: answer.status } };
}

/** Cluster of routes that never reach one. It does not exist: whatever got there would be answered 503. */
const NOWHERE = "refused";

/**
 * A slice's refusal: the `authz` slot denies, and the local reply turns that into the status. Not a direct response, since limits count
 * only where there is a route action, and a refused call has to count (guessing credentials).
 */
export function refusalRoute(
  refusal: Refusal,
  rateLimits: readonly JsonObject[],
): { readonly action: JsonObject; readonly authz: JsonObject } {
  return {
    action: { route: { cluster: NOWHERE, ...(rateLimits.length === 0 ? {} : { rate_limits: rateLimits }) } },
    authz: {
      "@type": `${TYPE}extensions.filters.http.rbac.v3.RBACPerRoute`,
      rbac: {
        rules: {
          action: "DENY",
          policies: { [refusalName(refusal.status)]: { permissions: [{ any: true }], principals: [{ any: true }] } },
        },
      },
    },
  };
}

/** Appears in Envoy's response code details; `local-reply.ts` recognises it. */
export function refusalName(status: number): string {
  return `gatewarden#refuse-${status}`;
}
