/** Identities of verified client certificates as RBAC principals. */
import type { Identity } from "../schema/identity.ts";
import type { JsonObject } from "../world.ts";
import { exact, safeRegex } from "./pattern.ts";

const SAN_TYPE = { URI: "URI", DNS: "DNS", Email: "EMAIL" } as const;

/** Any certificate that the listener verified. */
export const VERIFIED_CERTIFICATE: JsonObject = mtls({ any_validated_client_certificate: true });

export function certificateWith({ type, san, value }: Identity): JsonObject {
  return mtls({ san_matcher: { san_type: SAN_TYPE[san], matcher: nameMatcher({ type, value }) } });
}

/** Envoy's StringMatcher for one name of a certificate. */
export function nameMatcher({ type, value }: Pick<Identity, "type" | "value">): JsonObject {
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

function mtls(config: JsonObject): JsonObject {
  return {
    custom: {
      name: "envoy.rbac.principals.mtls_authenticated",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.rbac.principals.mtls_authenticated.v3.Config",
        ...config,
      },
    },
  };
}
