/** SDS: certificates and CAs travel apart from listeners and clusters, so that a new one drains nothing and rebuilds nothing. */
import type { NamedResource } from "../slice.ts";
import type { JsonObject } from "../world.ts";
import { SECRET } from "./type-url.ts";

/** A reference by name; the proxy asks for it on the stream that everything comes from. */
export function sdsConfig(name: string): JsonObject {
  return { name, sds_config: { ads: {}, resource_api_version: "V3" } };
}

export function validationSecret(name: string, trustedCA: string, crl?: string): NamedResource {
  const context = {
    trusted_ca: { inline_string: trustedCA },
    // Intermediate CAs have no list here; theirs would refuse every leaf.
    ...(crl === undefined ? {} : { crl: { inline_string: crl }, only_verify_leaf_cert_crl: true }),
  };
  return { type: "secret", name, json: { "@type": SECRET, name, validation_context: context } };
}

export function certificateSecret(name: string, certificate: string, privateKey: string): NamedResource {
  const pair = { certificate_chain: { inline_string: certificate }, private_key: { inline_string: privateKey } };
  return { type: "secret", name, json: { "@type": SECRET, name, tls_certificate: pair } };
}
