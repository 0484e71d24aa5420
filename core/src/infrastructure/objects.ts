/** Everything that runs a Gateway's proxies in the cluster, as objects for server-side apply: a function of the Gateway, its ProxyConfig and the CA. */
import { contentHash } from "../hash.ts";
import { type Gateway, GATEWAY_GROUP } from "../kinds/gateway-api/gateway.ts";
import { DEFAULTS, type ProxyConfigSpec } from "../kinds/proxy-config.ts";
import { idOf } from "../kinds/meta.ts";
import type { InfrastructureOptions, JsonObject, KubeObject } from "../world.ts";
import { deploymentSpec } from "./deployment.ts";
import { containerPort, MANAGED_BY, objectName, OPERATOR_LABEL, PATHS, selectorLabels, serviceName } from "./names.ts";

export interface InfrastructureInput {
  readonly gateway: Gateway;
  readonly config: ProxyConfigSpec;
  /** PEM, the newest authority first. */
  readonly caPem: string;
  readonly options: InfrastructureOptions;
  readonly logDirectory: string;
}

/** In the order in which they are to be made: what a pod needs comes before the pods. */
export function infrastructureObjects(input: InfrastructureInput): readonly KubeObject[] {
  const { gateway, config, caPem, options, logDirectory } = input;
  const name = objectName(gateway.name);
  const selector = selectorLabels(gateway);
  const labels = {
    ...gateway.infrastructure?.labels,
    ...config.labels,
    ...selector,
    [MANAGED_BY.label]: MANAGED_BY.value,
    [OPERATOR_LABEL]: options.namespace,
  };
  const annotations = gateway.infrastructure?.annotations ?? {};
  const bootstrap = JSON.stringify(options.bootstrap(idOf(gateway), PATHS));
  const object = (apiVersion: string, kind: string, rest: JsonObject, own = name, more = annotations): KubeObject => ({
    apiVersion,
    kind,
    metadata: {
      name: own,
      namespace: gateway.namespace,
      labels,
      ...(Object.keys(more).length === 0 ? {} : { annotations: more }),
      // Not blocking: that would need a right on the Gateway's finalizers.
      ownerReferences: [
        { apiVersion: `${GATEWAY_GROUP}/v1`, kind: "Gateway", name: gateway.name, uid: gateway.uid, controller: true },
      ],
    },
    ...rest,
  });
  // An authority that is added comes first and needs a restart, since Envoy reads the file once; one that is dropped from the end does not.
  const checksum = contentHash([bootstrap, firstCertificate(caPem)]);
  const parts = { name, selector, labels, annotations, config, options, logDirectory, checksum };
  const service = config.service ?? {};
  return [
    object("v1", "ServiceAccount", { automountServiceAccountToken: false }),
    object("v1", "ConfigMap", { data: { "ca.crt": caPem, "envoy.json": bootstrap } }),
    object("v1", "Service", { spec: serviceSpec(gateway, config, selector) }, serviceName(gateway.name), {
      ...annotations,
      ...service.annotations,
    }),
    object("policy/v1", "PodDisruptionBudget", { spec: { maxUnavailable: 1, selector: { matchLabels: selector } } }),
    object("apps/v1", "Deployment", { spec: deploymentSpec(parts) }),
    ...(config.autoscaling === undefined
      ? []
      : [object("autoscaling/v2", "HorizontalPodAutoscaler", { spec: autoscalerSpec(name, config.autoscaling) })]),
  ];
}

function serviceSpec(
  gateway: Gateway,
  { service = {} }: ProxyConfigSpec,
  selector: Readonly<Record<string, string>>,
): JsonObject {
  const { type = DEFAULTS.serviceType, loadBalancerClass, externalTrafficPolicy } = service;
  const external = type !== "ClusterIP";
  const address = requestedAddress(gateway);
  // Of listeners with a fault, too: a mistake in a listener must not take a load balancer's address away.
  const ports = [...new Set(gateway.listeners.map(({ port }) => port))].sort((a, b) => a - b);
  return {
    type,
    selector,
    ports: ports.map((port) => ({ name: `port-${port}`, port, protocol: "TCP", targetPort: containerPort(port) })),
    ...(external ? { externalTrafficPolicy: externalTrafficPolicy ?? DEFAULTS.trafficPolicy } : {}),
    ...(type === "LoadBalancer" && loadBalancerClass !== undefined ? { loadBalancerClass } : {}),
    ...(type === "LoadBalancer" && address !== undefined ? { loadBalancerIP: address } : {}),
  };
}

/** The one address that a load balancer can be asked for. */
export function requestedAddress({ addresses }: Gateway): string | undefined {
  return addresses.find(({ type, value }) => type === "IPAddress" && value !== "")?.value;
}

function autoscalerSpec(name: string, autoscaling: NonNullable<ProxyConfigSpec["autoscaling"]>): JsonObject {
  const { minReplicas = DEFAULTS.minReplicas, maxReplicas, cpuUtilization = DEFAULTS.cpuUtilization } = autoscaling;
  return {
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
    minReplicas,
    maxReplicas,
    metrics: [
      {
        type: "ContainerResource",
        containerResource: {
          name: "cpu",
          container: "envoy",
          target: { type: "Utilization", averageUtilization: cpuUtilization },
        },
      },
    ],
  };
}

function firstCertificate(pem: string): string {
  const end = "-----END CERTIFICATE-----";
  const at = pem.indexOf(end);
  return at < 0 ? pem : pem.slice(0, at + end.length);
}
