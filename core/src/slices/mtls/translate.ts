/**
 * Client certificates: the listener asks for and verifies them (LDS, CA by SDS), the slot `cert` decides about each request, so that an edit
 * of identities or mode holds on open connections. Backends: a TLS transport socket that always verifies.
 */
import { certificateChange } from "../../certificate.ts";
import { contentHash } from "../../hash.ts";
import { askForCertificate } from "../../envoy/client-certificate.ts";
import { type DenyRule, denyWhere, noneOf } from "../../envoy/rbac.ts";
import { certificateWith, VERIFIED_CERTIFICATE } from "../../envoy/san.ts";
import { certificateSecret, sdsConfig, validationSecret } from "../../envoy/secret.ts";
import { TRANSPORT_SOCKET } from "../../envoy/type-url.ts";
import { SYSTEM_ROOTS, UPSTREAM_VERSIONS } from "../../envoy/upstream-tls.ts";
import type { Problem } from "../../problems.ts";
import type {
  BackendTls,
  ListenerContext,
  ListenerPiece,
  NamedResource,
  RouteContext,
  RoutePiece,
} from "../../slice.ts";
import type { JsonObject } from "../../world.ts";
import type { BackendModel, ClientModel, ForwardField, Model } from "./model.ts";

type TlsBackend = Exclude<BackendModel, { mode: "Off" }>;

export function listener({ client }: Model, context: ListenerContext): ListenerPiece {
  if (client === undefined || client.mode === "Off") return {};
  if (context.listener.protocol === "HTTP") return {};
  const secret =
    client.trustedCA === undefined
      ? undefined
      : validationSecret(`client-ca|${policyOf(client)}`, client.trustedCA, client.crl);
  return {
    tls: {
      context: askForCertificate(client.mode === "Strict"),
      ...(secret === undefined ? {} : { common: { validation_context_sds_secret_config: sdsConfig(secret.name) } }),
    },
    hcm: client.forward === undefined ? {} : forwardedCertificate(client.forward),
    ...(secret === undefined ? {} : { resources: [secret] }),
    ...(secret === undefined && context.frontendCA !== true ? { problems: [needsCA(client)] } : {}),
  };
}

/** A plain listener has no certificates to ask for: Strict closes its routes. */
export function unsupported({ client }: Model, { tls }: RouteContext): readonly Problem[] {
  return client?.mode === "Strict" && !tls ? [needsTls(client)] : [];
}

export function route({ client, backend }: Model, context: RouteContext): RoutePiece {
  const denied = client === undefined ? [] : unverified(client);
  const tls = backend === undefined || backend.mode === "Off" ? undefined : backendTls(backend);
  const policies = [client?.source.text, ...(client?.further ?? []).map(({ policy }) => policy), backend?.source.text];
  const named = [...new Set(policies.filter((policy) => policy !== undefined))].join(", ");
  return {
    ...(denied.length === 0 ? {} : { slots: { cert: denyWhere(denied, "cert", context.audit) } }),
    ...(tls === undefined ? {} : { backendTls: tls }),
    ...(named === "" ? {} : { metadata: { mtls: named } }),
    ...refusal(backend),
  };
}

/** Whom the slot `cert` refuses, in whose name; a bad certificate has already failed its handshake. */
function unverified({ source, mode, identities, further }: ClientModel): readonly DenyRule[] {
  if (mode === "Off") return [];
  const own = identities.length === 0 ? [] : [{ policy: source.text, identities }];
  const rules = [...own, ...further].map(({ policy, identities: some }): DenyRule => {
    const stranger = noneOf(some.map(certificateWith));
    return {
      policy,
      principals: [mode === "Strict" ? stranger : { and_ids: { ids: [VERIFIED_CERTIFICATE, stranger] } }],
    };
  });
  if (mode === "Optional" || own.length > 0) return rules;
  return [{ policy: source.text, principals: [{ not_id: VERIFIED_CERTIFICATE }] }, ...rules];
}

function forwardedCertificate(fields: readonly ForwardField[]): JsonObject {
  const has = (field: ForwardField): boolean => fields.includes(field);
  return {
    forward_client_cert_details: "SANITIZE_SET",
    set_current_client_cert_details: {
      subject: has("Subject"),
      uri: has("URI"),
      dns: has("DNS"),
      cert: has("Cert"),
      chain: has("Chain"),
    },
  };
}

function backendTls(backend: TlsBackend): BackendTls {
  const { certificate, source } = backend;
  const policy = policyOf(backend);
  const resources: readonly NamedResource[] = [
    ...(backend.trustedCA === undefined ? [] : [validationSecret(`backend-ca|${policy}`, backend.trustedCA)]),
    ...(certificate?.pair === undefined
      ? []
      : [certificateSecret(`backend-tls|${policy}`, certificate.pair.certificate, certificate.pair.privateKey)]),
  ];
  return {
    // What is in SDS is not part of it: a renewed certificate must not rebuild the cluster.
    id: contentHash([policy, backend.sans, resources.map(({ name }) => name)]),
    transportSocket: (service) => upstreamTls(backend, resources, service),
    beside: {
      policy,
      certificates: resources.filter(({ name }) => name.startsWith("backend-tls|")).map(({ name }) => sdsConfig(name)),
      ...(backend.trustedCA === undefined && backend.sans.length === 0 ? {} : { contradicts: twice(backend) }),
    },
    resources,
    ...(certificate === undefined
      ? {}
      : {
          certificates: [
            certificateChange({
              spec: certificate.spec,
              source,
              namespace: source.namespace,
              secretName: certificate.secretName,
              uris: [`spiffe://cluster.local/ns/${source.namespace}/apipolicy/${source.name}`],
              usage: "client auth",
            }),
          ],
        }),
  };
}

function upstreamTls(
  { sans, trustedCA }: TlsBackend,
  resources: readonly NamedResource[],
  { namespace, name }: { readonly namespace: string; readonly name: string },
): JsonObject {
  const own = `${name}.${namespace}.svc`;
  const names = sans.length === 0 ? [own, `${own}.cluster.local`] : sans;
  const named = (prefix: string) => resources.find((resource) => resource.name.startsWith(prefix));
  const [ca, pair] = [named("backend-ca|"), named("backend-tls|")];
  const matchers = {
    match_typed_subject_alt_names: names.map((san) => ({
      san_type: san.includes("://") ? "URI" : "DNS",
      matcher: { exact: san },
    })),
  };
  const validation: JsonObject =
    trustedCA === undefined || ca === undefined
      ? { validation_context: { ...matchers, trusted_ca: { filename: SYSTEM_ROOTS } } }
      : {
          combined_validation_context: {
            default_validation_context: matchers,
            validation_context_sds_secret_config: sdsConfig(ca.name),
          },
        };
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": `${TRANSPORT_SOCKET}.tls.v3.UpstreamTlsContext`,
      sni: names.find((san) => !san.includes("://") && !san.startsWith("*")) ?? own,
      common_tls_context: {
        tls_params: UPSTREAM_VERSIONS,
        ...validation,
        ...(pair === undefined ? {} : { tls_certificate_sds_secret_configs: [sdsConfig(pair.name)] }),
      },
    },
  };
}

/** Until our certificate is there a call could only go out without it. */
function refusal(backend: BackendModel | undefined): Pick<RoutePiece, "refuse"> {
  if (backend === undefined || backend.mode === "Off" || backend.certificate === undefined) return {};
  if (backend.certificate.pair !== undefined) return {};
  const detail = "the proxy's certificate for the service is not issued yet";
  return { refuse: { status: 503, code: "GW-MTLS-002", policy: backend.source.text, detail } };
}

function policyOf({ source }: ClientModel | TlsBackend): string {
  return `${source.namespace}/${source.name}`;
}

/** Standard objects win (api.md). */
function twice({ source }: TlsBackend): Problem {
  return {
    reason: "Conflicted",
    path: "spec.mtls.backend",
    message: `a BackendTLSPolicy already says how the Service is verified (${source.text})`,
    fix: "leave out caRefs and sans, or remove the BackendTLSPolicy",
  };
}

function needsTls({ source }: ClientModel): Problem {
  return {
    reason: "UnsupportedForTarget",
    path: "spec.mtls.client.mode",
    message: `the listener is HTTP, and client certificates need TLS (${source.text})`,
    fix: "target an HTTPS listener by sectionName, or make this one HTTPS",
  };
}

function needsCA({ source }: ClientModel): Problem {
  return {
    reason: "Invalid",
    path: "spec.mtls.client.caRefs",
    message: `no CA says which client certificates are good (${source.text})`,
    fix: "write caRefs, or spec.tls.frontend in the Gateway",
  };
}
