/** Short forms for the scenarios about cert-manager: an issuer in a namespace, its Certificates, and asking for a renewal. */
import { X509Certificate } from "node:crypto";
import type { Authority } from "../cluster/pki.ts";
import { eventually } from "../cluster/condition.ts";
import { type Condition, conditionsOf } from "../harness/condition.ts";
import type { KubeObject } from "../harness/api.ts";
import type { Harness } from "../harness/harness.ts";
import type { Tenant } from "../harness/tenant.ts";

/** A cert-manager Issuer that signs with this authority. */
export async function addIssuer(tenant: Tenant, name: string, authority: Authority): Promise<void> {
  await tenant.secret(`${name}-ca`, { "tls.crt": authority.certificate, "tls.key": authority.privateKey });
  await tenant.apply({
    apiVersion: "cert-manager.io/v1",
    kind: "Issuer",
    metadata: { name },
    spec: { ca: { secretName: `${name}-ca` } },
  });
}

/** The Certificates of a namespace that write this Secret. */
export async function certificatesFor(
  harness: Harness,
  tenant: Tenant,
  secretName: string,
): Promise<readonly KubeObject[]> {
  const all = await harness.api.list("Certificate", tenant.namespace);
  return all.filter(({ spec }) => (spec as { readonly secretName?: string }).secretName === secretName);
}

/** Waits until one Certificate writes the Secret and is Ready at its generation. */
export function issued(harness: Harness, tenant: Tenant, secretName: string): Promise<KubeObject> {
  return eventually(`a Certificate for Secret ${secretName}`, async () => {
    const [one, ...more] = await certificatesFor(harness, tenant, secretName);
    if (one === undefined || more.length > 0)
      throw new Error(`${String(more.length + (one === undefined ? 0 : 1))} Certificates`);
    const ready = conditionsOf(one).find(({ type }) => type === "Ready");
    if (ready?.status !== "True" || ready.observedGeneration !== one.metadata.generation)
      throw new Error(JSON.stringify(ready));
    return one;
  });
}

/** What `cmctl renew` does: cert-manager issues anew although nothing has expired. */
export async function renew(
  harness: Harness,
  { metadata: { name, namespace = "" }, ...rest }: KubeObject,
): Promise<void> {
  const { conditions = [] } = (rest.status ?? {}) as { readonly conditions?: readonly Condition[] };
  const issuing = {
    type: "Issuing",
    status: "True",
    reason: "ManuallyTriggered",
    message: "a test asked for it",
    lastTransitionTime: new Date().toISOString(),
  };
  const path = `/apis/cert-manager.io/v1/namespaces/${namespace}/certificates/${name}/status`;
  const status = { conditions: [...conditions.filter(({ type }) => type !== "Issuing"), issuing] };
  await harness.api.call("PATCH", path, { status }, "application/merge-patch+json");
}

/** The certificate in a TLS Secret; undefined while there is none. */
export async function certificateIn(tenant: Tenant, secretName: string): Promise<X509Certificate | undefined> {
  const data = (await tenant.get("Secret", secretName))?.["data"] as Readonly<Record<string, string>> | undefined;
  const pem = Buffer.from(data?.["tls.crt"] ?? "", "base64").toString("utf8");
  return pem === "" ? undefined : new X509Certificate(pem);
}
