/** How a listener asks for client certificates. */
import type { JsonObject } from "../world.ts";

/**
 * Fields of DownstreamTlsContext. A session that is taken up again is not verified again, so Envoy calls its certificate unverified and RBAC
 * refuses it (measured): sessions cannot be taken up where certificates count.
 */
export function askForCertificate(required: boolean): JsonObject {
  return {
    require_client_certificate: required,
    disable_stateless_session_resumption: true,
    disable_stateful_session_resumption: true,
  };
}
