/**
 * Secrets that cert-manager writes: those of Certificates in the files, of Gateways with its annotation, and of Certificates that policies ask
 * for. Nobody keeps them in Git, and without them every such listener would have no certificate here and one in the cluster.
 */
import { parseCertificate } from "@gatewarden/core/kinds/cert-manager.ts";
import { parseGateway } from "@gatewarden/core/kinds/gateway-api/gateway.ts";
import { issuerAnnotation } from "@gatewarden/core/slices/transport/slice.ts";
import { openObjects } from "./inspect.ts";
import type { Manifest } from "./manifests.ts";

/** `namespace/name`. */
export function issuedSecrets(objects: ReadonlyMap<string, Manifest>, nowMs: number): ReadonlySet<string> {
  const found = new Set<string>();
  for (const { key, object } of objects.values()) {
    if (key.kind === "Certificate") found.add(`${key.namespace}/${parseCertificate(object).secretName}`);
    if (key.kind === "Gateway")
      for (const name of annotated(parseGateway(object))) found.add(`${key.namespace}/${name}`);
  }
  // What policies ask for depends on their targets and on other policies: the engine knows.
  if ([...objects.values()].some(asksForCertificate))
    for (const { namespace, object } of openObjects(objects, { requirePolicy: true, nowMs }).world.certificates())
      if (object !== undefined) found.add(`${namespace}/${parseCertificate(object).secretName}`);
  return found;
}

/** cert-manager makes one Certificate for each Secret of a listener with a hostname. */
function annotated({ annotations, namespace, listeners }: ReturnType<typeof parseGateway>): readonly string[] {
  if (issuerAnnotation(annotations) === undefined) return [];
  return listeners
    .filter(({ hostname }) => hostname !== undefined)
    .flatMap(({ tls }) => tls?.certificateRefs ?? [])
    .filter((ref) => ref.group === "" && ref.kind === "Secret" && (ref.namespace ?? namespace) === namespace)
    .map(({ name }) => name);
}

interface WithCertificate {
  readonly transport?: { readonly certificate?: unknown } | null;
  readonly mtls?: { readonly backend?: { readonly certificate?: unknown } | null } | null;
}

function asksForCertificate({ key, object }: Manifest): boolean {
  if (key.kind !== "ApiPolicy") return false;
  const { transport, mtls } = (object.spec ?? {}) as WithCertificate;
  return transport?.certificate !== undefined || mtls?.backend?.certificate !== undefined;
}
