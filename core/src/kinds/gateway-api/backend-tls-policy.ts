/** BackendTLSPolicy as written: how a Service's ports are called over TLS. */
import type { KubeObject } from "../../world.ts";
import { fields, items, present, text } from "../json.ts";
import { type Meta, metaOf } from "../meta.ts";
import { type ObjectRef, parseObjectRef } from "./gateway.ts";

export interface BackendTlsPolicy extends Meta {
  readonly targets: readonly {
    readonly group: string;
    readonly kind: string;
    readonly name: string;
    readonly sectionName?: string;
  }[];
  readonly hostname: string;
  readonly caRefs: readonly ObjectRef[];
  readonly systemRoots: boolean;
  readonly sans: readonly { readonly type: "Hostname" | "URI"; readonly value: string }[];
}

export function parseBackendTlsPolicy(object: KubeObject): BackendTlsPolicy {
  const spec = fields(object.spec);
  const validation = fields(spec["validation"]);
  return {
    ...metaOf(object),
    targets: items(spec["targetRefs"]).map((item) => ({
      ...parseObjectRef(item, "", "Service"),
      ...present<{ sectionName: string }>({ sectionName: text(fields(item)["sectionName"]) }),
    })),
    hostname: text(validation["hostname"]) ?? "",
    caRefs: items(validation["caCertificateRefs"]).map((ref) => parseObjectRef(ref, "", "ConfigMap")),
    systemRoots: validation["wellKnownCACertificates"] === "System",
    sans: items(validation["subjectAltNames"]).flatMap((item) => {
      const type = text(fields(item)["type"]);
      const value = text(fields(item)[type === "URI" ? "uri" : "hostname"]);
      return value === undefined ? [] : [{ type: type === "URI" ? "URI" : "Hostname", value } as const];
    }),
  };
}
