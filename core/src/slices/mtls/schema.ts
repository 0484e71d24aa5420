/** Section `mtls`: client certificates at the listener (`client`) and TLS towards the Service (`backend`). */
import * as z from "zod";
import { certificate } from "../../schema/certificate.ts";
import { identities } from "../../schema/identity.ts";
import { later } from "../../schema/later.ts";
import { atomicList, listSet } from "../../schema/list.ts";
import { valueRef } from "../../schema/reference.ts";
import { type Immutable, defaultsTo, oneOrMore, rule } from "../../schema/rule.ts";
import { text } from "../../schema/text.ts";
import { wordOrOff } from "../../schema/word.ts";

export const DEFAULTS = { forwardHeader: "x-forwarded-client-cert", forwardFields: ["Subject", "URI", "DNS"] } as const;

const MAX_CAS = 8;

function client() {
  const forward = z.strictObject({
    header: defaultsTo(z.literal(DEFAULTS.forwardHeader), DEFAULTS.forwardHeader)
      .describe("Header that carries the certificate; a client's own copy never survives.")
      .exactOptional(),
    fields: defaultsTo(
      listSet(z.enum(["Subject", "URI", "DNS", "Cert", "Chain"]), 5),
      DEFAULTS.forwardFields.join(", "),
    )
      .describe("What it carries, besides the hash.")
      .exactOptional(),
  });
  const shape = z.strictObject({
    mode: wordOrOff(["Strict", "Optional"]).describe(
      "Strict: no connection without a verified certificate. Optional: none is fine, a bad one is refused.",
    ),
    caRefs: atomicList(valueRef(), MAX_CAS)
      .describe("CAs (PEM) that client certificates come from; absent: those of the Gateway's `spec.tls.frontend`.")
      .exactOptional(),
    identities: identities(0)
      .describe("Who may call; absent or empty: any certificate of these CAs. Checked per request.")
      .exactOptional(),
    crlRef: valueRef().describe("Revocation list (PEM) of these CAs.").exactOptional(),
    forwardCertificate: forward
      .describe("What the upstream is told about the certificate; absent: nothing.")
      .exactOptional(),
  });
  return rule(shape, {
    message: "is Off and says whom to accept",
    fix: "remove the other fields, or write mode Strict or Optional",
    check: ({ mode, caRefs, identities, crlRef, forwardCertificate }) =>
      mode !== "Off" || [caRefs, identities, crlRef, forwardCertificate].every((field) => field === undefined),
  });
}

function backend() {
  const shape = z.strictObject({
    mode: wordOrOff(["Mutual", "Simple"]).describe(
      "Mutual: TLS with a certificate of ours. Simple: TLS. Off: plain text. TLS always verifies.",
    ),
    certificate: certificate().describe("With Mutual: our certificate, made by cert-manager.").exactOptional(),
    caRefs: atomicList(valueRef(), MAX_CAS, 0)
      .describe("CAs (PEM) that the Service's certificate comes from; none: the system's.")
      .exactOptional(),
    sans: listSet(text(), 16, 0)
      .describe("Names that the certificate may carry, DNS or URI; none: the Service's DNS name.")
      .exactOptional(),
  });
  const certified = rule(shape, {
    message: "has a certificate that its mode does not use, or lacks it",
    fix: "write certificate with mode Mutual, and only with it",
    check: ({ mode, certificate }) => (certificate !== undefined) === (mode === "Mutual"),
  });
  return rule(certified, {
    message: "is Off and says what to verify",
    fix: "remove caRefs and sans, or write mode Simple or Mutual",
    check: ({ mode, caRefs, sans }) => mode !== "Off" || (caRefs === undefined && sans === undefined),
  });
}

export const schema = later(() =>
  oneOrMore(
    z.strictObject({
      client: client().describe("Certificates of clients. Only on a Gateway or a listener.").exactOptional(),
      backend: backend().describe("How calls reach the Service.").exactOptional(),
    }),
    ["client", "backend"],
  ),
);
export type Spec = Immutable<z.output<ReturnType<typeof schema>>>;
export type ClientSpec = NonNullable<Spec["client"]>;
export type BackendSpec = NonNullable<Spec["backend"]>;
