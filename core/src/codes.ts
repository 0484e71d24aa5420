/**
 * Every code that a refused call can carry (`code` of its problem+json, api.md "What a refused call gets"). Codes are never renamed and
 * never used again for something else; each has a section in docs/codes.md.
 */

export interface Code {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  /** What it means, in one sentence: the first line of its section in docs/codes.md. */
  readonly meaning: string;
}

export const codes: readonly Code[] = [
  code("GW-AUTHN-001", 401, "Unauthorized", "The call carries no credential, and the route asks for one."),
  code("GW-AUTHN-002", 401, "Unauthorized", "The call carries a credential that is not accepted."),
  code("GW-AUTHN-003", 403, "Forbidden", "The caller is known, and the policy does not select it."),
  code("GW-AUTHN-004", 401, "Unauthorized", "The token was good and is expired."),
  code(
    "GW-AUTHN-005",
    503,
    "Service Unavailable",
    "The keys of the token's issuer were never obtained (jwks-unavailable).",
  ),
  code("GW-AUTHN-006", 403, "Forbidden", "The token or certificate is that of an ApiConsumer that is suspended."),
  code("GW-AUTHZ-001", 403, "Forbidden", "No rule of the policy allows the call, and what no rule fits is denied."),
  code("GW-AUTHZ-002", 403, "Forbidden", "A rule of the policy denies the call."),
  code(
    "GW-AUTHZ-003",
    401,
    "Unauthorized",
    "A rule would allow the call of somebody who signed in more strongly or more recently (step-up).",
  ),
  code("GW-ALLOW-001", 403, "Forbidden", "The address is on no allowlist."),
  code("GW-DENY-001", 403, "Forbidden", "The address is on a denylist."),
  code("GW-MTLS-001", 403, "Forbidden", "The client certificate is none of the listener's identities."),
  code("GW-MTLS-002", 503, "Service Unavailable", "The proxy's own certificate for the service is not issued yet."),
  code("GW-RATE-001", 429, "Too Many Requests", "A limit is used up; Retry-After says when to come again."),
  code("GW-PATH-001", 400, "Bad Request", "The path holds what servers read differently (a path parameter)."),
  code("GW-POLICY-001", 403, "Forbidden", "No policy says who may call the route."),
  code("GW-POLICY-002", 503, "Service Unavailable", "A policy of the route is broken and cannot be enforced."),
  code("GW-ROUTE-001", 404, "Not Found", "No route for this host and path."),
  code("GW-ROUTE-002", 421, "Misdirected Request", "The host has a listener of its own."),
  code("GW-ROUTE-003", 500, "Internal Server Error", "The route has no backend that can be called."),
  code("GW-ROUTE-004", 503, "Service Unavailable", "The rule of the route that asks for this cannot be served."),
  code("GW-HTTP-000", 400, "Request Refused", "The proxy refused the request for a reason without a code of its own."),
  code("GW-HTTP-400", 400, "Bad Request", "The request is malformed."),
  code("GW-HTTP-408", 408, "Request Timeout", "The request took too long to arrive."),
  code("GW-HTTP-413", 413, "Content Too Large", "The request is too large."),
  code("GW-HTTP-431", 431, "Request Header Fields Too Large", "The request's headers are too large."),
  code("GW-UPSTREAM-503", 503, "Service Unavailable", "The service could not be reached."),
  code("GW-UPSTREAM-504", 504, "Gateway Timeout", "The service did not answer in time."),
];

function code(name: string, status: number, title: string, meaning: string): Code {
  return { code: name, status, title, meaning };
}
