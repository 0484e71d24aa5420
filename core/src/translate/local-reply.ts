/**
 * What a refused call gets (api.md): problem+json for Envoy's own answers ≥ 400, by the filter that gave them. Constant: who refused
 * stands in the route's metadata. Redirects and upstream answers stay untouched.
 */
import type { JsonObject } from "../world.ts";
import { PATH_GUARD, TYPE } from "./chain.ts";
import { NOT_FOUND, refusalName } from "./refusal.ts";

/** filter_metadata key of everything that local replies and logs say about a route. */
export const ROUTE_METADATA = "gatewarden";

interface Mapper {
  /** CEL over an answer whose code is at least 400. */
  readonly when: string;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  /** Format of the policy's name. */
  readonly policy?: string;
  readonly status?: number;
  /** `WWW-Authenticate`: true takes the route's; a text is its format. */
  readonly challenge?: boolean | string;
  /** Format of the rule's name, where a section has rules. */
  readonly rule?: string;
}

const details = "response.code_details";
const metadata = (key: string): string => `%METADATA(ROUTE:${ROUTE_METADATA}:${key})%`;
/** Limits of several policies add up: the filter whose limit it was has named it in its answer. */
const LIMITING_POLICY = "%RESP(X-GATEWARDEN-POLICY)%";

/** Lists of several policies add up: only the rule that matched knows whose it was. */
const MATCHED_POLICY = "%CEL(re.extract(response.code_details, '[[](.*)[]]', '\\\\1'))%";

/** Several policies may have to allow: the name of the outcome says whose rule refused (slices/authorization/translate.ts). */
const AUTHORIZING_POLICY = "%CEL(re.extract(response.code_details, '[[](.*#authorization)', '\\\\1'))%";
const AUTHORIZING_RULE = "%CEL(re.extract(response.code_details, '#authorization/([^!]*).*[]]', '\\\\1'))%";
const STEP_UP_CHALLENGE =
  "%CEL(xds.route_metadata.filter_metadata['gatewarden']['stepUp'][re.extract(response.code_details, '[[](.*)[]]', '\\\\1')])%";

/** First match answers. */
const mappers: readonly Mapper[] = [
  {
    when: `response.code == ${NOT_FOUND.status} && (${details} == 'direct_response' || ${details} == 'route_not_found')`,
    code: NOT_FOUND.code,
    title: "Not Found",
    detail: NOT_FOUND.detail,
  },
  {
    when: `${details} == 'direct_response'`,
    code: metadata("code"),
    title: metadata("title"),
    detail: metadata("detail"),
    policy: metadata("policy"),
    challenge: true,
  },
  ...([401, 403, 503] as const).map((status): Mapper => ({
    when: `${details}.contains('${refusalName(status)}')`,
    code: metadata("code"),
    title: metadata("title"),
    detail: metadata("detail"),
    policy: metadata("policy"),
    status,
    challenge: true,
  })),
  {
    when: `${details}.contains('${PATH_GUARD}')`,
    code: "GW-PATH-001",
    title: "Bad Request",
    detail: "the path holds a semicolon, which servers read differently",
    status: 400,
  },
  {
    when: `${details}.contains('#denylist')`,
    code: "GW-DENY-001",
    title: "Forbidden",
    detail: "this address is denied",
    policy: MATCHED_POLICY,
  },
  {
    when: `${details}.startsWith('rbac_access_denied') && ${details}.contains('#allowlist')`,
    code: "GW-ALLOW-001",
    title: "Forbidden",
    detail: "this address is not allowed",
    policy: MATCHED_POLICY,
  },
  {
    when: `${details}.contains('#authorization/') && ${details}.contains('!mfa]')`,
    code: "GW-AUTHZ-003",
    title: "Unauthorized",
    detail: "a stronger or more recent authentication is required",
    policy: AUTHORIZING_POLICY,
    rule: AUTHORIZING_RULE,
    status: 401,
    challenge: STEP_UP_CHALLENGE,
  },
  {
    when: `${details}.contains('#authorization/')`,
    code: "GW-AUTHZ-002",
    title: "Forbidden",
    detail: "a rule denies this call",
    policy: AUTHORIZING_POLICY,
    rule: AUTHORIZING_RULE,
  },
  {
    when: `${details}.contains('#authorization]')`,
    code: "GW-AUTHZ-001",
    title: "Forbidden",
    detail: "no rule allows this call",
    policy: AUTHORIZING_POLICY,
  },
  {
    when: `${details}.contains('#mtls')`,
    code: "GW-MTLS-001",
    title: "Forbidden",
    detail: "this client certificate is not allowed",
    policy: MATCHED_POLICY,
  },
  {
    when: "response.code == 429",
    code: "GW-RATE-001",
    title: "Too Many Requests",
    detail: "too many requests",
    policy: LIMITING_POLICY,
  },
  {
    when: `${details}.startsWith('jwt_authn_access_denied{Jwt_is_missing') || ${details} == 'missing_api_key' || ${details} == 'no_credential_for_basic_auth'`,
    code: "GW-AUTHN-001",
    title: "Unauthorized",
    detail: "no credential",
    policy: metadata("authentication"),
    status: 401,
    challenge: true,
  },
  {
    // A token of an issuer whose keys were never obtained (slices/authentication/jwt.ts).
    when: `${details}.contains('Jwks_remote_fetch_is_failed')`,
    code: "GW-AUTHN-005",
    title: "Service Unavailable",
    detail: "jwks-unavailable: the keys of this token's issuer are not there",
    policy: metadata("authentication"),
    status: 503,
  },
  {
    when: `${details}.contains('Jwt_is_expired')`,
    code: "GW-AUTHN-004",
    title: "Unauthorized",
    detail: "this token is expired",
    policy: metadata("authentication"),
    status: 401,
    challenge: true,
  },
  {
    // slices/authentication/recognise.ts
    when: `${details}.contains('#authentication/suspended')`,
    code: "GW-AUTHN-006",
    title: "Forbidden",
    detail: "this consumer is suspended",
    policy: metadata("authentication"),
    status: 403,
  },
  {
    when: `${details}.startsWith('jwt_authn_access_denied') || ${details}.contains('#authentication') || response.code == 401`,
    code: "GW-AUTHN-002",
    title: "Unauthorized",
    detail: "this credential is not accepted",
    policy: metadata("authentication"),
    status: 401,
    challenge: true,
  },
  {
    when: "response.code == 403",
    code: "GW-AUTHN-003",
    title: "Forbidden",
    detail: "this caller is not allowed here",
    policy: metadata("authentication"),
  },
  { when: "response.code == 400", code: "GW-HTTP-400", title: "Bad Request", detail: "the request is malformed" },
  { when: "response.code == 404", code: "GW-ROUTE-001", title: "Not Found", detail: "no route for this host and path" },
  {
    when: "response.code == 408",
    code: "GW-HTTP-408",
    title: "Request Timeout",
    detail: "the request took too long to arrive",
  },
  { when: "response.code == 413", code: "GW-HTTP-413", title: "Content Too Large", detail: "the request is too large" },
  {
    when: "response.code == 431",
    code: "GW-HTTP-431",
    title: "Request Header Fields Too Large",
    detail: "the request's headers are too large",
  },
  {
    when: "response.code == 504",
    code: "GW-UPSTREAM-504",
    title: "Gateway Timeout",
    detail: "the service did not answer in time",
  },
  {
    when: "response.code >= 500",
    code: "GW-UPSTREAM-503",
    title: "Service Unavailable",
    detail: "the service could not be reached",
  },
  { when: "true", code: "GW-HTTP-000", title: "Request Refused", detail: "the request was refused" },
];

/** The first that matches answers: what is no refusal is left as it is, without asking all the others (12 µs). */
const untouched: JsonObject = {
  filter: {
    status_code_filter: {
      comparison: { op: "LE", value: { default_value: 399, runtime_key: "gatewarden.largest_untouched_status" } },
    },
  },
};

export function localReplyConfig(): JsonObject {
  return { mappers: [untouched, ...mappers.map(mapperJson)] };
}

function mapperJson(mapper: Mapper): JsonObject {
  const { policy } = mapper;
  return {
    filter: {
      extension_filter: {
        name: "cel",
        typed_config: {
          "@type": `${TYPE}extensions.access_loggers.filters.cel.v3.ExpressionFilter`,
          expression: mapper.when,
        },
      },
    },
    ...(mapper.status === undefined ? {} : { status_code: mapper.status }),
    headers_to_add: [
      ...(policy === undefined ? [] : [header("x-gatewarden-policy", policy)]),
      ...(mapper.challenge === undefined || mapper.challenge === false
        ? []
        : [header("www-authenticate", mapper.challenge === true ? metadata("challenge") : mapper.challenge)]),
    ],
    body_format_override: {
      content_type: "application/problem+json",
      omit_empty_values: true,
      json_format: {
        type: "about:blank",
        title: mapper.title,
        status: "%RESPONSE_CODE%",
        detail: mapper.detail,
        code: mapper.code,
        ...(policy === undefined ? {} : { policy }),
        ...(mapper.rule === undefined ? {} : { rule: mapper.rule }),
        requestId: "%REQ(X-REQUEST-ID)%",
      },
    },
  };
}

function header(key: string, value: string): JsonObject {
  return { header: { key, value }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD", keep_empty_value: false };
}
