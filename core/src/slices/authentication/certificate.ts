/** Client certificates: the listener verifies the chain (mtls.client), slot authn compares the names, at every request. */
import { denyWhere, noneOf } from "../../envoy/rbac.ts";
import { certificateWith, VERIFIED_CERTIFICATE } from "../../envoy/san.ts";
import type { Identity } from "../../schema/identity.ts";
import type { Branch } from "../../slice.ts";
import type { JsonObject } from "../../world.ts";

export const certificatePresent: Branch["match"] = { tls_context: { presented: true } };

/** Whoever carries none of these names in a verified certificate is refused. */
export function onlyIdentities(identities: readonly Identity[]): JsonObject {
  return noneOf(identities.map(certificateWith));
}

/** The same as a shadow rule: who would be refused is logged. `optional`: without a certificate nobody would. */
export function auditIdentities(identities: readonly Identity[], policy: string, optional: boolean): JsonObject {
  const none = noneOf(identities.map(certificateWith));
  const denied = optional ? { and_ids: { ids: [VERIFIED_CERTIFICATE, none] } } : none;
  return denyWhere([{ policy, principals: [denied] }], "authn", true);
}
