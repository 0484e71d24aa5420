/** The section with its references resolved: what `resolve` makes and `translate` reads. */
import type { CertificateSpec } from "../../schema/certificate.ts";
import type { Identity } from "../../schema/identity.ts";
import type { Source } from "../../slice.ts";
import type { ClientSpec } from "./schema.ts";

export interface Model {
  readonly client?: ClientModel;
  readonly backend?: BackendModel;
}

export type ForwardField = NonNullable<NonNullable<ClientSpec["forwardCertificate"]>["fields"]>[number];

export interface ClientModel {
  readonly source: Source; // whose CAs, revocation list and identities these are
  readonly mode: "Strict" | "Optional" | "Off";
  /** PEM; undefined: the Gateway's own `spec.tls.frontend`. */
  readonly trustedCA: string | undefined;
  readonly crl: string | undefined;
  readonly identities: readonly Identity[]; // empty: any certificate of the CAs
  /** Identities that a certificate must have as well, list by list: those of the other policies where Overrides are among them. */
  readonly further: readonly IdentityList[];
  readonly forward: readonly ForwardField[] | undefined; // undefined: nothing
}

export interface IdentityList {
  readonly policy: string; // "namespace/name#mtls"
  readonly identities: readonly Identity[]; // never empty
}

export type BackendModel =
  | { readonly mode: "Off"; readonly source: Source }
  | {
      readonly mode: "Simple" | "Mutual";
      readonly source: Source;
      readonly trustedCA: string | undefined; // undefined: the system's
      readonly sans: readonly string[]; // empty: the Service's DNS name
      readonly certificate: BackendCertificate | undefined;
    };

export interface BackendCertificate {
  readonly spec: CertificateSpec;
  readonly secretName: string;
  /** Undefined until cert-manager has issued it. */
  readonly pair: { readonly certificate: string; readonly privateKey: string } | undefined;
}
