/** Section `transport`: the listener's own certificate and its oldest TLS version (README.md beside this file). */
import { certificateChange } from "../../certificate.ts";
import type { Problem } from "../../problems.ts";
import type { CertificateSpec } from "../../schema/certificate.ts";
import { sameJson } from "../../same.ts";
import type { ListenerContext, ListenerPiece, Slice, Source, Tightened } from "../../slice.ts";
import { DEFAULTS, schema, type Spec } from "./schema.ts";

export interface Model {
  readonly source: Source;
  readonly certificate: CertificateSpec | undefined;
  readonly minTLSVersion: "1.2" | "1.3";
}

const VERSION = { "1.2": "TLSv1_2", "1.3": "TLSv1_3" } as const;

export const transport: Slice<"transport", Spec, Model> = {
  key: "transport",
  schema,
  levels: ["Gateway", "Listener"],
  listenerSettings: ["certificate", "minTLSVersion"],
  mayOpen: false,
  closes: true,
  audit: "a listener has one certificate and one set of TLS versions",
  validate: () => [],
  resolve: ({ certificate, minTLSVersion = DEFAULTS.minTLSVersion }, { source }) => ({
    ok: true,
    model: { source, certificate, minTLSVersion },
  }),
  tighten,
  listener,
};

/** The newer of both versions, the Override's certificate where it has one. `source` is whose certificate it is. */
function tighten(floor: Model, near: Model): Tightened<Model> {
  const minTLSVersion = floor.minTLSVersion > near.minTLSVersion ? floor.minTLSVersion : near.minTLSVersion;
  const own = floor.certificate ?? near.certificate;
  const source = floor.certificate === undefined && near.certificate !== undefined ? near.source : floor.source;
  const model = { source, certificate: own, minTLSVersion };
  const weaker = near.minTLSVersion < floor.minTLSVersion;
  const other = near.certificate !== undefined && !sameJson(own, near.certificate);
  if (!weaker && !other) return { model };
  const message = [
    ...(weaker ? [`minTLSVersion is ${floor.minTLSVersion}`] : []),
    ...(other ? ["its certificate is used"] : []),
  ].join(", ");
  const overridden = { reason: "Overridden", path: "spec.transport", message } as const;
  const left = (!other && near.certificate !== undefined) || near.minTLSVersion > floor.minTLSVersion;
  return left ? { model, overridden, partly: true } : { model, overridden };
}

function listener({ source, certificate, minTLSVersion }: Model, context: ListenerContext): ListenerPiece {
  if (context.listener.protocol === "HTTP") {
    // A Gateway's policy speaks of its HTTPS listeners; one that names this listener is mistaken.
    return source.level === "Listener" ? { problems: [plainListener(context)] } : {};
  }
  const tls = { common: { tls_params: { tls_minimum_protocol_version: VERSION[minTLSVersion] } } };
  if (certificate === undefined) return { tls };
  const problem = obstacle(context);
  if (problem !== undefined) return { tls, problems: [problem] };
  const { hostname = "", certificateRefs } = context.listener;
  const hostnames = new Set([hostname, ...(context.certificateHostnames ?? [])]);
  const wanted = certificateChange({
    spec: certificate,
    source,
    namespace: context.gateway.namespace,
    secretName: certificateRefs[0]?.name ?? "",
    dnsNames: [...hostnames].filter((name) => name !== "").sort(),
    usage: "server auth",
  });
  return { tls, certificates: [wanted] };
}

/** Why the certificate of this listener is not ours to make. What is there is not touched. */
function obstacle({
  gateway,
  listener: { name, hostname, certificateRefs },
  foreignCertificates = [],
}: ListenerContext): Problem | undefined {
  const path = "spec.transport.certificate";
  const [secret] = certificateRefs;
  if (secret === undefined) {
    const message = `listener ${name} has no certificateRef to a Secret`;
    return {
      reason: "Invalid",
      path,
      message,
      fix: "name the Secret that cert-manager is to write in tls.certificateRefs",
    };
  }
  if (secret.namespace !== gateway.namespace) {
    const message = `the certificateRef of listener ${name} is in namespace ${secret.namespace}, where the Gateway may only read`;
    return { reason: "Invalid", path, message, fix: `name a Secret in namespace ${gateway.namespace}` };
  }
  if (hostname === undefined) {
    const message = `listener ${name} has no hostname for the certificate`;
    return { reason: "Invalid", path, message, fix: "give the listener a hostname" };
  }
  const annotation = issuerAnnotation(gateway.annotations);
  if (annotation !== undefined) {
    const message = `the Gateway's annotation ${annotation} already makes cert-manager write Secret ${secret.name}`;
    return { reason: "Conflicted", path, message, fix: "remove the annotation or transport.certificate" };
  }
  const other = foreignCertificates.find(({ secretName }) => secretName === secret.name);
  if (other === undefined) return undefined;
  const message = `Certificate ${gateway.namespace}/${other.name} already writes Secret ${secret.name}`;
  return { reason: "Conflicted", path, message, fix: "delete that Certificate or remove transport.certificate" };
}

/** The annotation of a Gateway by which cert-manager writes the Secrets of its listeners by itself. */
export function issuerAnnotation(annotations: Readonly<Record<string, string>>): string | undefined {
  return Object.keys(annotations).find((key) => /^cert-manager\.io\/([a-z-]*-)?issuer$/.test(key));
}

function plainListener({ listener: { name } }: ListenerContext): Problem {
  return {
    reason: "UnsupportedForTarget",
    path: "spec.transport",
    message: `listener ${name} is HTTP and has no TLS`,
    fix: "target an HTTPS listener",
  };
}
