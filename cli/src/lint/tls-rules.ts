/** TLS that is weaker than it could be, on the listener and towards the Service. */
import { X509Certificate } from "node:crypto";
import type { ParsedApiPolicy } from "@gatewarden/core/kinds/api-policy.ts";
import { parseGateway } from "@gatewarden/core/kinds/gateway-api/gateway.ts";
import { CERTIFICATE_DEFAULTS } from "@gatewarden/core/schema/certificate.ts";
import { keyText } from "@gatewarden/operator/kube/kinds.ts";
import type { Hit, LintRule, LintWorld } from "./rule.ts";

/** NIST SP 800-131A: 2,048 bits are the floor until 2030. */
const SMALLEST_RSA_BITS = 3_072;

export const weakTls: LintRule = {
  code: "GW-LINT-010",
  title: "Weak TLS",
  severity: "warning",
  check: (world) => [
    ...world.policies.flatMap((policy) => policyHits(policy)),
    ...[...world.manifests.values()].flatMap(({ key, object }) =>
      key.kind === "Gateway" ? certificateHits(keyText(key), parseGateway(object), world) : [],
    ),
  ],
};

function policyHits(policy: ParsedApiPolicy): readonly Hit[] {
  const { mtls } = policy.sections;
  const object = keyText(policy.key);
  const hits: Hit[] = [];
  if (mtls?.client?.mode === "Optional") {
    hits.push({
      object,
      path: "spec.mtls.client.mode",
      message: "callers without a certificate get through the listener",
      mend: "write Strict, or ask for the certificate where it counts with authentication.clientCertificate",
      severity: "info",
    });
  }
  if (mtls?.backend?.mode === "Off") {
    hits.push({
      object,
      path: "spec.mtls.backend.mode",
      message: "calls to the Service go in clear text",
      mend: "write Simple or Mutual",
    });
  }
  const key = policy.sections.transport?.certificate?.privateKey;
  const bits = key?.size ?? CERTIFICATE_DEFAULTS.size.RSA;
  if (key?.algorithm === "RSA" && bits < SMALLEST_RSA_BITS) {
    hits.push({
      object,
      path: "spec.transport.certificate.privateKey",
      message: `an RSA key of ${bits} bits`,
      mend: `write ${SMALLEST_RSA_BITS}, or algorithm: ECDSA`,
    });
  }
  return hits;
}

function certificateHits(object: string, gateway: ReturnType<typeof parseGateway>, world: LintWorld): readonly Hit[] {
  return gateway.listeners.flatMap((listener, index) =>
    (listener.tls?.certificateRefs ?? []).flatMap((ref, at): readonly Hit[] => {
      const certificate = certificateOf(world, ref.namespace ?? gateway.namespace, ref.name);
      if (certificate === undefined) return [];
      const path = `spec.listeners[${index}].tls.certificateRefs[${at}]`;
      const bits = certificate.publicKey.asymmetricKeyDetails?.modulusLength;
      const ended = Date.parse(certificate.validTo) <= world.nowMs;
      return [
        ...(bits === undefined || bits >= SMALLEST_RSA_BITS
          ? []
          : [
              {
                object,
                path,
                message: `its certificate has an RSA key of ${bits} bits`,
                mend: `use ${SMALLEST_RSA_BITS} bits, or ECDSA`,
                severity: "info" as const,
              },
            ]),
        ...(ended
          ? [
              {
                object,
                path,
                message: `its certificate ended on ${new Date(certificate.validTo).toISOString()}`,
                mend: "renew it, or let cert-manager do so with transport.certificate",
                severity: "error" as const,
              },
            ]
          : []),
      ];
    }),
  );
}

function certificateOf({ manifests }: LintWorld, namespace: string, name: string): X509Certificate | undefined {
  const data = manifests.get(`Secret/${namespace}/${name}`)?.object["data"] as Record<string, unknown> | undefined;
  const encoded = data?.["tls.crt"];
  if (typeof encoded !== "string") return undefined;
  try {
    return new X509Certificate(Buffer.from(encoded, "base64"));
  } catch {
    return undefined; // the Gateway's own status says that it is no certificate
  }
}
