/** From the section as written to {@link Model}: CAs, revocation lists and our own certificate are read, and checked before Envoy sees them. */
import { certificatesFault, revocationListsFault } from "../../envoy/pem.ts";
import { regexFault } from "../../envoy/re2.ts";
import type { Problem } from "../../problems.ts";
import type { At, Lookup, Resolution } from "../../slice.ts";
import type { BackendCertificate, BackendModel, ClientModel, Model } from "./model.ts";
import { type BackendSpec, type ClientSpec, DEFAULTS, type Spec } from "./schema.ts";

interface Reading {
  readonly at: At;
  readonly lookup: Lookup;
  readonly problems: Problem[];
}

export function validate(spec: Spec, at: At): readonly Problem[] {
  return (spec.client?.identities ?? []).flatMap(({ type, value }, index) => {
    const fault = type === "Regex" ? regexFault(value) : undefined;
    if (fault === undefined) return [];
    const path = `${at.path}.client.identities[${String(index)}].value`;
    return [
      { reason: "Invalid" as const, path, message: `is no regular expression: ${fault}`, fix: "write RE2 syntax" },
    ];
  });
}

export function resolve(spec: Spec, at: At, lookup: Lookup): Resolution<Model> {
  const reading: Reading = { at, lookup, problems: [...validate(spec, at)] };
  const client = spec.client === undefined ? undefined : resolveClient(spec.client, reading);
  const backend = spec.backend === undefined ? undefined : resolveBackend(spec.backend, reading);
  const [problem, ...others] = reading.problems;
  if (problem !== undefined) return { ok: false, problems: [problem, ...others] };
  const waiting = backend === undefined || backend.mode === "Off" ? undefined : backend.certificate;
  return {
    ok: true,
    model: { ...(client === undefined ? {} : { client }), ...(backend === undefined ? {} : { backend }) },
    ...(waiting === undefined || waiting.pair !== undefined ? {} : { warnings: [notIssued(waiting, at)] }),
  };
}

function resolveClient(spec: ClientSpec, reading: Reading): ClientModel {
  const { mode, caRefs, crlRef, identities = [], forwardCertificate } = spec;
  const fields = forwardCertificate === undefined ? undefined : (forwardCertificate.fields ?? DEFAULTS.forwardFields);
  return {
    source: reading.at.source,
    mode,
    trustedCA: readAll(caRefs, "client.caRefs", certificatesFault, reading),
    crl: crlRef === undefined ? undefined : readAll([crlRef], "client.crlRef", revocationListsFault, reading),
    identities,
    further: [],
    forward: fields,
  };
}

function resolveBackend(spec: BackendSpec, reading: Reading): BackendModel {
  const { source } = reading.at;
  if (spec.mode === "Off") return { mode: "Off", source };
  return {
    mode: spec.mode,
    source,
    trustedCA: readAll(spec.caRefs, "backend.caRefs", certificatesFault, reading),
    sans: spec.sans ?? [],
    certificate: spec.certificate === undefined ? undefined : readCertificate(spec.certificate, reading),
  };
}

/** All texts that the references name, one behind the other; problems say which of them is missing or wrong. */
function readAll(
  refs: ClientSpec["caRefs"],
  field: string,
  faultOf: (pem: string) => string | undefined,
  { at, lookup, problems }: Reading,
): string | undefined {
  if (refs === undefined || refs.length === 0) return undefined;
  const texts = refs.map(({ kind, name, key }, index) => {
    const path = `${at.path}.${field}${field.endsWith("s") ? `[${String(index)}]` : ""}`;
    const found = lookup.value(kind, at.source.namespace, name, key);
    if (!found.ok) {
      problems.push({ ...found.problem, path });
      return "";
    }
    const text = new TextDecoder().decode(found.value);
    const fault = faultOf(text);
    const message = `key ${key} of ${kind} ${name} ${fault ?? ""}`;
    if (fault !== undefined) problems.push({ reason: "InvalidRef", path, message, fix: "put PEM there" });
    return text.endsWith("\n") ? text : `${text}\n`;
  });
  return texts.join("");
}

/** The Secret that cert-manager writes. That it is not there yet is no fault of the policy. */
function readCertificate(spec: NonNullable<BackendSpec["certificate"]>, { at, lookup }: Reading): BackendCertificate {
  const { namespace, name } = at.source;
  const secretName = `${name}-backend-tls`;
  const [certificate, privateKey] = ["tls.crt", "tls.key"].map((key) => {
    const found = lookup.value("Secret", namespace, secretName, key);
    return found.ok && found.value.length > 0 ? new TextDecoder().decode(found.value) : undefined;
  });
  const complete =
    certificate !== undefined && privateKey !== undefined && certificatesFault(certificate) === undefined;
  return { spec, secretName, pair: complete ? { certificate, privateKey } : undefined };
}

function notIssued({ secretName }: BackendCertificate, { path, source }: At): Problem {
  return {
    reason: "RefNotFound",
    path: `${path}.backend.certificate`,
    message: `the certificate is not issued yet: Secret ${source.namespace}/${secretName} has no usable tls.crt and tls.key that may be read`,
    fix: `kubectl -n ${source.namespace} describe certificate, and allow reading Secrets of the namespace`,
    severity: "warning",
  };
}

/** `client` belongs to the listener, `backend` to the route: a nearer policy that writes one of them keeps the other. */
export function merge(far: Model, near: Model): Model {
  return { ...far, ...near };
}
