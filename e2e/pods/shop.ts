/** The namespace `shop` of the quickstart with everything in pods: an upstream, a Gateway whose proxies the operator runs, the example's policy. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { RequestSpec } from "../client/http1.ts";
import type { Target } from "../client/target.ts";
import { ECHO_IMAGE } from "../cluster/test-images.ts";
import { REPOSITORY } from "../harness/installation.ts";
import type { PodCluster } from "./pod-cluster.ts";

export const SHOP = "shop";
export const KEY = "example-key-1-change-me";
const PROXIES = "gateway-edge";

const MANIFESTS = `
apiVersion: v1
kind: Namespace
metadata: {name: ${SHOP}, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: ${SHOP}}
spec:
  replicas: 2
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: orders
          image: ${ECHO_IMAGE}
          imagePullPolicy: Never
          # Without a request it is the last that gets a processor, and calls wait for seconds.
          resources: {requests: {cpu: 150m, memory: 48Mi}}
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, timeoutSeconds: 5}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, readOnlyRootFilesystem: true}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: ${SHOP}}
spec: {selector: {app: orders}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: gatewarden.io/v1alpha1
kind: ProxyConfig
metadata: {name: edge, namespace: ${SHOP}}
spec:
  replicas: 2
  service: {type: NodePort}
  drainTime: 5s
  resources: {requests: {cpu: 200m, memory: 64Mi}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: ${SHOP}}
spec:
  gatewayClassName: gatewarden
  listeners: [{name: http, protocol: HTTP, port: 80}]
  infrastructure: {parametersRef: {group: gatewarden.io, kind: ProxyConfig, name: edge}}
`;

export interface Shop {
  readonly target: Target;
  readonly request: (key?: string) => RequestSpec;
}

/** Applies all of it with kubectl; resolves when the policy is in force on every proxy. */
export async function openShop({ cluster, shell, get }: PodCluster): Promise<Shop> {
  await cluster.apply(MANIFESTS);
  await cluster.apply(readFileSync(join(REPOSITORY, "examples", "02-api-key", "api-key.yaml"), "utf8"));
  try {
    await shell(`kubectl rollout status deployment/orders --namespace ${SHOP} --timeout 60s
kubectl wait gateway/edge --for condition=Programmed --namespace ${SHOP} --timeout 90s
kubectl wait apipolicy/key --for condition=Ready --namespace ${SHOP} --timeout 60s
kubectl rollout status deployment/${PROXIES} --namespace ${SHOP} --timeout 60s`);
  } catch (error) {
    // What a person would look at next.
    const more = await shell(`kubectl get pods --all-namespaces --output wide
kubectl get gateway/edge --namespace ${SHOP} --output jsonpath='{.status.conditions}{"\\n"}'
kubectl logs --namespace gatewarden-system --selector app.kubernetes.io/component=operator --tail 15 --prefix`);
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${more}`);
  }
  const service = await get<{ readonly spec: { readonly ports: readonly ServicePort[] } }>(
    "service",
    PROXIES,
    "--namespace",
    SHOP,
  );
  const nodes = await get<{
    readonly items: readonly [{ readonly status: { readonly addresses: readonly Address[] } }];
  }>("nodes");
  const address = nodes.items[0].status.addresses.find(({ type }) => type === "InternalIP")?.address;
  const port = service.spec.ports.find((each) => each.port === 80)?.nodePort;
  if (address === undefined || port === undefined) throw new Error("the Gateway's Service has no port on the node");
  return {
    target: { address, port },
    request: (key) => ({
      host: "key.shop.test",
      path: "/orders",
      headers: key === undefined ? {} : { "x-api-key": key },
    }),
  };
}

interface ServicePort {
  readonly port: number;
  readonly nodePort?: number;
}

interface Address {
  readonly type: string;
  readonly address: string;
}
