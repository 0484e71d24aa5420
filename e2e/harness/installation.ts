/** What an administrator installs before the operator can start: CRDs, rights, the issuer, the GatewayClass. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CERT_MANAGER_NAMESPACE } from "../cluster/add-ons.ts";
import { untilEstablished } from "../cluster/established.ts";
import type { Cluster } from "../cluster/driver.ts";
import { readManifests } from "../cluster/parts.ts";

export const OPERATOR_NAMESPACE = "gatewarden-system";
export const OPERATOR_ACCOUNT = "gatewarden";
export const GATEWAY_CLASS = "gatewarden";
export const REPOSITORY = join(import.meta.dirname, "..", "..");

const ISSUER = `
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: gatewarden-self-signed}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: gatewarden-ca, namespace: ${CERT_MANAGER_NAMESPACE}}
spec:
  isCA: true
  commonName: gatewarden-ca
  secretName: gatewarden-ca
  duration: 87600h
  privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Always}
  issuerRef: {kind: ClusterIssuer, name: gatewarden-self-signed}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: gatewarden-ca}
spec: {ca: {secretName: gatewarden-ca}}`;

const CLASS = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: ${GATEWAY_CLASS}}
spec: {controllerName: gatewarden.io/gateway-controller}`;

/** Applies everything with kubectl; doing it again changes nothing. */
export async function install(cluster: Cluster): Promise<void> {
  await cluster.apply(readManifests(join(REPOSITORY, "crds", "out")));
  await untilEstablished(cluster);
  await cluster.apply(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"${OPERATOR_NAMESPACE}"}}`);
  for (const file of ["rbac.yaml", "overrides.yaml", "fallback.yaml"])
    await cluster.apply(readFileSync(join(REPOSITORY, "operator", "deploy", file), "utf8"));
  await cluster.apply(`${ISSUER}\n---${CLASS}`);
  await cluster.waitForCondition({ resource: "clusterissuers.cert-manager.io", name: "gatewarden-ca" }, "Ready");
}
