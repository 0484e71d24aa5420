/** The Deployment of a Gateway's proxies, within Pod Security `restricted`. */
import { DEFAULTS, type ProxyConfigSpec } from "../kinds/proxy-config.ts";
import { durationMs } from "../schema/duration.ts";
import type { InfrastructureOptions, JsonObject } from "../world.ts";
import { DIRECTORIES, PATHS, READY_PORT } from "./names.ts";

export interface DeploymentParts {
  /** Of ConfigMap and ServiceAccount. */
  readonly name: string;
  readonly selector: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly config: ProxyConfigSpec;
  readonly options: InfrastructureOptions;
  readonly logDirectory: string;
  /** Changes with what proxies read only at their start. */
  readonly checksum: string;
}

/** Any number: nothing is owned by it, and no group of the image is needed. */
const USER = 65_532;
/** What Envoy and the kubelet need beside the connections' time. */
const END_SECONDS = 15;
const TOKEN_SECONDS = 3_600;
/** What the agent needs: a Node process that waits. */
const AGENT_RESOURCES = { requests: { cpu: "5m", memory: "48Mi" }, limits: { memory: "128Mi" } } as const;

export function deploymentSpec(parts: DeploymentParts): JsonObject {
  const { config, selector, labels, annotations, checksum } = parts;
  return {
    // With an autoscaler the number is its own: what we do not send we do not own.
    ...(config.autoscaling === undefined ? { replicas: config.replicas ?? DEFAULTS.replicas } : {}),
    revisionHistoryLimit: 2,
    selector: { matchLabels: selector },
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: 0 } },
    template: {
      metadata: { labels, annotations: { ...annotations, "gatewarden.io/checksum": checksum } },
      spec: podSpec(parts),
    },
  };
}

function podSpec({ name, selector, config, options, logDirectory }: DeploymentParts): JsonObject {
  const drainSeconds = Math.ceil(durationMs(config.drainTime ?? DEFAULTS.drainTime) / 1_000);
  const agent = options.agentImage;
  return {
    serviceAccountName: name,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: drainSeconds + END_SECONDS,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: USER,
      runAsGroup: USER,
      fsGroup: USER,
      seccompProfile: { type: "RuntimeDefault" },
    },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: "kubernetes.io/hostname",
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: { matchLabels: selector },
      },
    ],
    containers: [
      envoyContainer(config, options, drainSeconds, logDirectory),
      ...(agent === undefined ? [] : [agentContainer(agent, drainSeconds)]),
    ],
    volumes: [
      { name: "config", configMap: { name } },
      {
        name: "token",
        projected: {
          sources: [
            { serviceAccountToken: { audience: "gatewarden", expirationSeconds: TOKEN_SECONDS, path: "token" } },
          ],
        },
      },
      { name: "run", emptyDir: {} },
      { name: "logs", emptyDir: {} },
    ],
  };
}

const RESTRICTED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
} as const;

function envoyContainer(
  config: ProxyConfigSpec,
  options: InfrastructureOptions,
  drainSeconds: number,
  logDirectory: string,
): JsonObject {
  const { requests = DEFAULTS.requests, limits = DEFAULTS.limits } = config.resources ?? {};
  return {
    name: "envoy",
    image: config.image ?? options.image,
    command: ["/usr/local/bin/envoy"],
    args: [
      ...["--config-path", `${DIRECTORIES.config}/envoy.json`],
      ...["--service-node", "$(POD_NAME)"],
      ...["--log-level", config.logLevel ?? DEFAULTS.logLevel],
      "--disable-hot-restart",
      // Connections are told to end with their next answer, and have that long.
      ...["--drain-time-s", String(drainSeconds), "--drain-strategy", "immediate"],
    ],
    env: [{ name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
    ports: [{ name: "ready", containerPort: READY_PORT, protocol: "TCP" }],
    resources: { requests: { ...requests }, limits: { ...limits } },
    securityContext: RESTRICTED,
    // The listener of this path opens with all the others, once the configuration is complete.
    readinessProbe: {
      httpGet: { path: "/ready", port: READY_PORT },
      periodSeconds: 2,
      timeoutSeconds: 2,
      failureThreshold: 3,
    },
    // Envoy ends at once when it is told to: it serves on while the Service forgets it and connections end.
    lifecycle: { preStop: { sleep: { seconds: drainSeconds } } },
    volumeMounts: [
      { name: "config", mountPath: DIRECTORIES.config, readOnly: true },
      { name: "token", mountPath: DIRECTORIES.token, readOnly: true },
      { name: "run", mountPath: DIRECTORIES.run },
      { name: "logs", mountPath: logDirectory },
    ],
  };
}

/** Told to end together with Envoy, it asks Envoy to end its connections. */
function agentContainer(image: string, drainSeconds: number): JsonObject {
  return {
    name: "drain",
    image,
    args: ["drain", "--admin", `unix:${PATHS.adminSocket}`, "--seconds", String(drainSeconds)],
    resources: AGENT_RESOURCES,
    securityContext: RESTRICTED,
    volumeMounts: [{ name: "run", mountPath: DIRECTORIES.run }],
  };
}
