/** A listener's `certificateRefs`: which Secrets it may show, and which references lead to nothing it may use. */
import { GATEWAY_GROUP } from "../kinds/gateway-api/gateway.ts";
import type { OwnGateway, Views } from "../views.ts";
import type { Fault, Listener } from "./listeners.ts";

export type CertificateRef =
  { readonly ok: true; readonly secret: string } | { readonly ok: false; readonly fault: Fault };

export function certificateRefs(
  { gateway }: OwnGateway,
  listener: Listener,
  { permitted }: Pick<Views, "permitted">,
): readonly CertificateRef[] {
  return (listener.spec.tls?.certificateRefs ?? []).map((ref): CertificateRef => {
    const namespace = ref.namespace ?? gateway.namespace;
    const secret = `${namespace}/${ref.name}`;
    if (ref.group !== "" || ref.kind !== "Secret")
      return bad("InvalidCertificateRef", `certificateRef ${secret}: kind ${ref.kind} is not served; use Secret`);
    if (namespace === gateway.namespace) return { ok: true, secret };
    const reference = {
      from: { group: GATEWAY_GROUP, kind: "Gateway", namespace: gateway.namespace },
      to: { group: "", kind: "Secret", name: ref.name },
    };
    if (permitted(reference, namespace)) return { ok: true, secret };
    return bad(
      "RefNotPermitted",
      `certificateRef ${secret}: namespace ${namespace} has no ReferenceGrant from Gateways of namespace ${gateway.namespace} to this Secret`,
    );
  });
}

function bad(reason: string, message: string): CertificateRef {
  return { ok: false, fault: { condition: "ResolvedRefs", reason, message } };
}
