/**
 * cert-manager Certificates that policies ask for. A live one is never turned to another issuer or key (rules R30): these are part of its
 * name, so another issuer is another Certificate for the same Secret, whose old pair serves until the new one is issued.
 */
import { contentHash } from "./hash.ts";
import { CERTIFICATE_DEFAULTS, type CertificateSpec } from "./schema/certificate.ts";
import { durationMs } from "./schema/duration.ts";
import type { Source } from "./slice.ts";
import type { CertificateChange, JsonObject } from "./world.ts";

export interface WantedCertificate {
  readonly spec: CertificateSpec;
  readonly source: Source;
  readonly namespace: string;
  readonly secretName: string;
  readonly dnsNames?: readonly string[];
  readonly uris?: readonly string[];
  readonly usage: "server auth" | "client auth";
}

const MAX_NAME = 253;
const HOUR_MS = 3_600_000;

/** The Certificate as a whole, owned by the policy: deleted with it, while its Secret stays. */
export function certificateChange(wanted: WantedCertificate): CertificateChange {
  const { spec, source, namespace, secretName, dnsNames, uris, usage } = wanted;
  const { algorithm = CERTIFICATE_DEFAULTS.algorithm, size } = spec.privateKey ?? {};
  const privateKey = { algorithm, size: size ?? CERTIFICATE_DEFAULTS.size[algorithm], rotationPolicy: "Always" };
  const issuerRef = { group: "cert-manager.io", kind: spec.issuerRef.kind, name: spec.issuerRef.name };
  const suffix = `-${contentHash({ issuerRef, privateKey }).slice(0, 8)}`;
  const name = `${secretName.slice(0, MAX_NAME - suffix.length)}${suffix}`;
  const content: JsonObject = {
    secretName,
    ...(dnsNames === undefined ? {} : { dnsNames }),
    ...(uris === undefined ? {} : { uris }),
    usages: ["digital signature", "key encipherment", usage],
    duration: spec.duration ?? CERTIFICATE_DEFAULTS.duration,
    renewBefore: renewBeforeOf(spec),
    privateKey,
    issuerRef,
  };
  return {
    namespace,
    name,
    object: {
      apiVersion: "cert-manager.io/v1",
      kind: "Certificate",
      metadata: {
        name,
        namespace,
        labels: { "app.kubernetes.io/managed-by": "gatewarden" },
        ownerReferences: [{ uid: source.uid, kind: "ApiPolicy", name: source.name, ...OWNER }],
      },
      spec: content,
    },
  };
}

const OWNER = { apiVersion: "gatewarden.io/v1alpha1", controller: true, blockOwnerDeletion: false };

function renewBeforeOf({ duration = CERTIFICATE_DEFAULTS.duration, renewBefore }: CertificateSpec): string {
  if (renewBefore !== undefined) return renewBefore;
  const ms = durationMs(duration);
  if (ms >= durationMs(CERTIFICATE_DEFAULTS.duration)) return CERTIFICATE_DEFAULTS.renewBefore;
  return ms % (3 * HOUR_MS) === 0 ? `${String(ms / 3 / HOUR_MS)}h` : `${String(Math.floor(ms / 3_000))}s`;
}
