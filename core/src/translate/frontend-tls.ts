/** Gateway API's own client certificates (`Gateway.spec.tls.frontend`): what a port validates, as a piece of its HTTPS listeners. */
import { askForCertificate } from "../envoy/client-certificate.ts";
import { certificatesFault } from "../envoy/pem.ts";
import { sdsConfig, validationSecret } from "../envoy/secret.ts";
import { valueOf } from "../kinds/core/value.ts";
import { type FrontendValidation, type Gateway, GATEWAY_GROUP } from "../kinds/gateway-api/gateway.ts";
import { idOf } from "../kinds/meta.ts";
import type { Objects } from "../objects.ts";
import type { ListenerPiece, RouteContext } from "../slice.ts";
import type { Views } from "../views.ts";

export interface FrontendReads {
  readonly values: Objects["values"];
  readonly permitted: Views["permitted"];
}

export interface FrontendFault {
  readonly reason: "InvalidCACertificateRef" | "InvalidCACertificateKind" | "RefNotPermitted";
  readonly message: string;
}

export type Frontend =
  | {
      readonly ok: true;
      readonly piece: ListenerPiece;
      readonly clientCertificates: RouteContext["clientCertificates"];
    }
  | { readonly ok: false; readonly fault: FrontendFault };

export function frontendOf({ frontend }: Gateway, port: number): FrontendValidation | undefined {
  if (frontend === undefined) return undefined;
  const own = frontend.byPort[String(port)];
  return own === undefined ? frontend.byDefault : (own ?? undefined);
}

/** Undefined where the port validates nothing. */
export function frontendPiece(gateway: Gateway, port: number, reads: FrontendReads): Frontend | undefined {
  const validation = frontendOf(gateway, port);
  if (validation === undefined) return undefined;
  const pems: string[] = [];
  for (const ref of validation.caRefs) {
    const namespace = ref.namespace ?? gateway.namespace;
    const what = `spec.tls.frontend: ${ref.kind} ${namespace}/${ref.name}`;
    if (ref.group !== "" || ref.kind !== "ConfigMap")
      return bad("InvalidCACertificateKind", `${what}: use a ConfigMap`);
    const reference = {
      from: { group: GATEWAY_GROUP, kind: "Gateway", namespace: gateway.namespace },
      to: { group: "", kind: "ConfigMap", name: ref.name },
    };
    if (namespace !== gateway.namespace && !reads.permitted(reference, namespace)) {
      return bad("RefNotPermitted", `${what}: namespace ${namespace} has no ReferenceGrant for it`);
    }
    const stored = reads.values.get(`ConfigMap/${namespace}/${ref.name}`);
    const value = stored && valueOf(stored, "ca.crt");
    if (value === undefined) return bad("InvalidCACertificateRef", `${what} has no key ca.crt`);
    const pem = Buffer.from(value).toString("utf8");
    const fault = certificatesFault(pem);
    if (fault !== undefined) return bad("InvalidCACertificateRef", `${what}, key ca.crt ${fault}`);
    pems.push(pem);
  }
  const own = gateway.frontend?.byPort[String(port)] !== undefined;
  const secret = validationSecret(`frontend-ca|${idOf(gateway)}|${own ? port : "default"}`, pems.join("\n"));
  const strict = validation.mode === "AllowValidOnly";
  return {
    ok: true,
    clientCertificates: strict ? "Strict" : "Optional",
    piece: {
      tls: {
        context: askForCertificate(strict),
        common: strict
          ? { validation_context_sds_secret_config: sdsConfig(secret.name) }
          : {
              // Also a certificate that does not verify is let in: routes then see that it was not validated.
              combined_validation_context: {
                default_validation_context: { trust_chain_verification: "ACCEPT_UNTRUSTED" },
                validation_context_sds_secret_config: sdsConfig(secret.name),
              },
            },
      },
      resources: [secret],
    },
  };
}

function bad(reason: FrontendFault["reason"], message: string): Frontend {
  return { ok: false, fault: { reason, message } };
}

/**
 * What the listener gets from both. Standard objects win (api.md): a policy may ask for a certificate where the Gateway does not insist, it
 * may not bring another CA or ask for less. `conflicts` says whether it tried to.
 */
export function withFrontend(
  frontend: ListenerPiece,
  policies: readonly ListenerPiece[],
): { readonly pieces: readonly ListenerPiece[]; readonly conflicts: boolean } {
  const insists = frontend.tls?.context?.["require_client_certificate"] === true;
  let conflicts = false;
  const pieces = policies.map((piece): ListenerPiece => {
    const { validation_context_sds_secret_config: ownCA, ...common } = piece.tls?.common ?? {};
    const { require_client_certificate: own, ...context } = piece.tls?.context ?? {};
    conflicts ||= ownCA !== undefined || (insists && own === false);
    if (piece.tls === undefined) return piece;
    return {
      ...piece,
      tls: { common, context: own === true && !insists ? { ...context, require_client_certificate: true } : context },
    };
  });
  return { pieces: [frontend, ...pieces], conflicts };
}
