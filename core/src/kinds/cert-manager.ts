/** cert-manager's Certificate as far as it matters here: which Secret it writes, and whether it is one of ours. */
import type { KubeObject } from "../world.ts";
import { fields, text } from "./json.ts";
import { metaOf } from "./meta.ts";

export interface CertManagerCertificate {
  readonly namespace: string;
  readonly name: string;
  readonly secretName: string;
  readonly ours: boolean;
}

export function parseCertificate(object: KubeObject): CertManagerCertificate {
  const { namespace, name } = metaOf(object);
  return {
    namespace,
    name,
    secretName: text(fields(object.spec)["secretName"]) ?? "",
    ours: object.metadata.labels?.["app.kubernetes.io/managed-by"] === "gatewarden",
  };
}
