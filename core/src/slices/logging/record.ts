/**
 * One record, the same for every sink and every route, so that an edit of a policy never changes a listener: what differs stands in the
 * route's metadata. JSON only, identity only from what was verified (rules R42); the path has no query, since tokens stand in queries.
 */
import { LOG_NAMESPACE, OVERFLOW_NAMESPACE } from "../../envoy/collect.ts";
import { AUDIT_LIMIT_HEADER, AUDIT_LIMIT_NAMESPACE } from "../../translate/chain.ts";
import type { JsonObject } from "../../world.ts";

const route = (path: string): string => `%METADATA(ROUTE:gatewarden:${path})%`;
const rbac = (key: string): string => `%DYNAMIC_METADATA(envoy.filters.http.rbac:${key})%`;

const FILTER_METADATA = "xds.route_metadata.filter_metadata";
const LOG = `${FILTER_METADATA}['gatewarden']['log']`;
/** Refused by a policy: our own answer, and it names one. */
const DENIED = "(response.code_details != 'via_upstream' && 'x-gatewarden-policy' in response.headers)";
const FAILED = "(response.code >= 400 || response.code == 0)";

const DECISION = `${DENIED} ? 'Denied' : (response.code_details != 'via_upstream' && ${FAILED} ? 'Failed' : 'Allowed')`;

/** Which calls are recorded, by the metadata of translate.ts. Calls that found no route are: nobody said otherwise. */
export const RECORDED = [
  "!has(xds.route_metadata)",
  `!('gatewarden' in ${FILTER_METADATA})`,
  `!('log' in ${FILTER_METADATA}['gatewarden'])`,
  `(${LOG}['failed'] && ${FAILED})`,
  `(${LOG}['denied'] && ${DENIED})`,
  `(!${FAILED} && (${LOG}['all'] || request.headers['x-request-id'] < ${LOG}['sampled']))`,
].join(" || ");

/** Sections whose policies stand in the route's metadata. */
const SECTIONS = ["authentication", "authorization", "rateLimit", "mtls", "allowlist", "denylist", "logging"];
/** RBAC slots whose Audit verdicts are recorded. */
const AUDITED = ["denylist", "allowlist", "authn", "cert"];
/** In slot authz outcomes that allow have names too: only a refusal's is read; anything else is an error, which leaves the member out. */
const RBAC = "metadata.filter_metadata['envoy.filters.http.rbac']";
const AUDITED_RULE = `%CEL({'denied': ${RBAC}['authz_shadow_effective_policy_id']}[${RBAC}['authz_shadow_engine_result']])%`;

/** A call that another check refused still has the header; one that passed has it no more. */
const AUDITED_LIMIT = `%CEL('${AUDIT_LIMIT_HEADER}' in request.headers ? request.headers['${AUDIT_LIMIT_HEADER}'] : metadata.filter_metadata['${AUDIT_LIMIT_NAMESPACE}']['policy'])%`;

export function recordOf(gateway: string): JsonObject {
  return {
    time: "%START_TIME(%Y-%m-%dT%H:%M:%E3SZ)%",
    requestId: "%REQ(X-REQUEST-ID)%",
    gateway,
    route: "%ROUTE_NAME%",
    method: "%REQ(:METHOD)%",
    host: "%REQ(:AUTHORITY)%",
    path: "%PATH(NQ:ORIG_OR_PATH)%",
    protocol: "%PROTOCOL%",
    userAgent: "%REQ(USER-AGENT)%",
    clientIP: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    peerIP: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    status: "%RESPONSE_CODE%",
    decision: `%CEL(${DECISION})%`,
    policy: "%RESP(X-GATEWARDEN-POLICY)%",
    reason: "%RESPONSE_CODE_DETAILS%",
    flags: "%RESPONSE_FLAGS%",
    policies: Object.fromEntries(SECTIONS.map((section) => [section, route(section)])),
    wouldDeny: {
      ...Object.fromEntries(AUDITED.map((slot) => [slot, rbac(`${slot}_shadow_effective_policy_id`)])),
      authz: AUDITED_RULE,
      rateLimit: AUDITED_LIMIT,
    },
    consumer: "%FILTER_STATE(gatewarden.consumer:PLAIN)%",
    subject: "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:jwt:sub)%",
    certificate: { subject: "%DOWNSTREAM_PEER_SUBJECT%", uri: "%DOWNSTREAM_PEER_URI_SAN%" },
    limitOverflow: `%DYNAMIC_METADATA(${OVERFLOW_NAMESPACE}:overflow)%`,
    durationMs: "%DURATION%",
    bytesReceived: "%BYTES_RECEIVED%",
    bytesSent: "%BYTES_SENT%",
    upstream: "%UPSTREAM_HOST%",
    tlsVersion: "%DOWNSTREAM_TLS_VERSION%",
    serverName: "%REQUESTED_SERVER_NAME%",
    headers: `%DYNAMIC_METADATA(${LOG_NAMESPACE}:headers)%`,
    fields: route("log:fields"),
  };
}
