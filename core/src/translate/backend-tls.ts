/** BackendTLSPolicy: how a Service's port is called over TLS, which of several policies says it, and what is wrong with one. */
import { certificatesFault } from "../envoy/pem.ts";
import { SYSTEM_ROOTS, UPSTREAM_VERSIONS } from "../envoy/upstream-tls.ts";
import { contentHash } from "../hash.ts";
import { joinKey, splitKey } from "../key.ts";
import { valueOf } from "../kinds/core/value.ts";
import type { BackendTlsPolicy } from "../kinds/gateway-api/backend-tls-policy.ts";
import { byAge, splitId } from "../kinds/meta.ts";
import type { Derived, Graph } from "../memo.ts";
import type { Objects } from "../objects.ts";
import type { JsonObject } from "../world.ts";
import { TYPE } from "./chain.ts";
import type { TlsToBackend } from "./rule.ts";

export interface BackendTlsFault {
  readonly reason: "InvalidCACertificateRef" | "InvalidKind" | "Invalid";
  readonly message: string;
}

export interface BackendTlsViews {
  /** Undefined: no policy speaks of the port. */
  readonly of: (service: string, port: number) => TlsToBackend | undefined;
  /** The policy that holds for a target; others on it are in conflict. */
  readonly winner: (service: string, section: string | undefined) => BackendTlsPolicy | undefined;
  /** Why it cannot be followed; calls to its targets then fail rather than go out unverified. */
  readonly fault: (policy: BackendTlsPolicy) => BackendTlsFault | undefined;
}

export function createBackendTls(graph: Graph, objects: Objects): BackendTlsViews {
  function winner(service: string, section: string | undefined): BackendTlsPolicy | undefined {
    const { name } = splitId(service);
    return [...objects.backendTlsByService.get(service).keys()]
      .flatMap((id) => objects.backendTls.get(id) ?? [])
      .filter(({ targets }) =>
        targets.some(
          (target) =>
            target.group === "" && target.kind === "Service" && target.name === name && target.sectionName === section,
        ),
      )
      .sort(byAge)[0];
  }

  /** The PEM of all CAs, or the first fault. */
  function authorities({ namespace, caRefs }: BackendTlsPolicy): { readonly pem: string } | BackendTlsFault {
    const pems: string[] = [];
    for (const ref of caRefs) {
      const what = `${ref.kind} ${namespace}/${ref.name}`;
      if (ref.group !== "" || ref.kind !== "ConfigMap")
        return { reason: "InvalidKind", message: `caCertificateRefs: ${what}: use a ConfigMap` };
      const stored = objects.values.get(`ConfigMap/${namespace}/${ref.name}`);
      const value = stored && valueOf(stored, "ca.crt");
      if (value === undefined)
        return { reason: "InvalidCACertificateRef", message: `caCertificateRefs: ${what} has no key ca.crt` };
      const pem = Buffer.from(value).toString("utf8");
      const fault = certificatesFault(pem);
      if (fault !== undefined)
        return { reason: "InvalidCACertificateRef", message: `caCertificateRefs: ${what}, key ca.crt ${fault}` };
      pems.push(pem);
    }
    return { pem: pems.join("\n") };
  }

  function fault(policy: BackendTlsPolicy): BackendTlsFault | undefined {
    if (policy.hostname === "") return { reason: "Invalid", message: "spec.validation.hostname is missing" };
    if (policy.caRefs.length === 0 && !policy.systemRoots) {
      return {
        reason: "Invalid",
        message: "spec.validation names no CA: write caCertificateRefs or wellKnownCACertificates",
      };
    }
    const found = authorities(policy);
    return "pem" in found ? undefined : found;
  }

  const byPort: Derived<TlsToBackend | undefined> = graph.derived<TlsToBackend | undefined>(
    "backend-tls",
    (key) => {
      const [service = "", number = ""] = splitKey(key);
      const port = objects.services.get(service)?.ports.find((one) => one.port === Number(number));
      const policy =
        (port === undefined || port.name === "" ? undefined : winner(service, port.name)) ?? winner(service, undefined);
      if (policy === undefined) return undefined;
      const found = authorities(policy);
      if (fault(policy) !== undefined || !("pem" in found)) return { ok: false };
      const transportSocket = upstreamTls(policy, found.pem);
      return { ok: true, id: contentHash(transportSocket), transportSocket };
    },
    undefined,
  );

  return { of: (service, port) => byPort.get(joinKey(service, String(port))), winner, fault };
}

function upstreamTls({ hostname, sans, systemRoots, caRefs }: BackendTlsPolicy, pem: string): JsonObject {
  const names = sans.length === 0 ? [{ type: "Hostname", value: hostname }] : sans;
  const roots = caRefs.length === 0 && systemRoots ? { filename: SYSTEM_ROOTS } : { inline_string: pem };
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": `${TYPE}extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
      sni: hostname,
      common_tls_context: {
        tls_params: UPSTREAM_VERSIONS,
        validation_context: {
          trusted_ca: roots,
          match_typed_subject_alt_names: names.map(({ type, value }) => ({
            san_type: type === "URI" ? "URI" : "DNS",
            matcher: { exact: value },
          })),
        },
      },
    },
  };
}
