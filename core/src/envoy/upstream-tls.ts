/** What every TLS connection to a service has in common, whoever asked for it: a policy's mtls.backend or a BackendTLSPolicy. */

/** Where Debian's and Envoy's images keep the system's roots. */
export const SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt";

/** Left to itself Envoy stops at 1.2 as a client, and a service that takes 1.3 only could not be called. */
export const UPSTREAM_VERSIONS = {
  tls_minimum_protocol_version: "TLSv1_2",
  tls_maximum_protocol_version: "TLSv1_3",
} as const;
