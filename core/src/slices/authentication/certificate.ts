/** Client certificates: the listener verifies the chain (mtls.client), slot authn compares the names, at every request. */
import { denyWhere, noneOf } from "../../envoy/rbac.ts";
import { exact, safeRegex } from "../../envoy/pattern.ts";
import type { Identity } from "../../schema/identity.ts";
import type { Branch } from "../../slice.ts";
import type { JsonObject } from "../../world.ts";

const MTLS = "type.googleapis.com/envoy.extensions.rbac.principals.mtls_authenticated.v3.Config";

export const certificatePresent: Branch["match"] = { tls_context: { presented: true } };

/** Per-route configuration of slot authn: whoever carries none of these names in a verified certificate is refused. */
export function onlyIdentities(identities: readonly Identity[], policy: string): JsonObject {
  return denyWhere([{ policy, principals: [noneOf(identities.map(principal))] }], "authn", false);
}

/** The same as a shadow rule: who would be refused is logged. `optional`: without a certificate nobody would. */
export function auditIdentities(identities: readonly Identity[], policy: string, optional: boolean): JsonObject {
  const none = noneOf(identities.map(principal));
  const denied = optional ? { and_ids: { ids: [anyCertificate, none] } } : none;
  return denyWhere([{ policy, principals: [denied] }], "authn", true);
}

const anyCertificate: JsonObject = {
  custom: {
    name: "envoy.rbac.principals.mtls_authenticated",
    typed_config: { "@type": MTLS, any_validated_client_certificate: true },
  },
};

function principal({ type, san, value }: Identity): JsonObject {
  const san_matcher = { san_type: san.toUpperCase(), matcher: matcher(type, value) };
  return { custom: { name: "envoy.rbac.principals.mtls_authenticated", typed_config: { "@type": MTLS, san_matcher } } };
}

function matcher(type: Identity["type"], value: string): JsonObject {
  switch (type) {
    case "Exact":
      return exact(value);
    case "Prefix":
      return { prefix: value };
    case "Suffix":
      return { suffix: value };
    case "Regex":
      return safeRegex(value);
  }
}
