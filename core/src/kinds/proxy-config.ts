/** ProxyConfig: how the proxies of a Gateway run in Kubernetes. Named by a GatewayClass, or by a Gateway of its own namespace. */
import * as z from "zod";
import type { Problem } from "../problems.ts";
import { later } from "../schema/later.ts";
import { annotations, labels } from "../schema/reference.ts";
import { parse } from "../schema/parse.ts";
import { defaultsTo, type Immutable, oneOrMore, rule } from "../schema/rule.ts";
import { duration, matches } from "../schema/text.ts";
import type { KubeObject } from "../world.ts";
import { type ObjectIdentity, identityOf } from "./object.ts";

export const PROXY_CONFIG = { group: "gatewarden.io", kind: "ProxyConfig" } as const;

export const DEFAULTS = {
  replicas: 2,
  minReplicas: 2,
  cpuUtilization: 70,
  serviceType: "LoadBalancer",
  trafficPolicy: "Cluster",
  logLevel: "warning",
  drainTime: "30s",
  /** What a proxy is given without `resources`; no limit on the CPU, which would throttle it. */
  requests: { cpu: "100m", memory: "128Mi" },
  limits: { memory: "1Gi" },
} as const;

const MOST_REPLICAS = 1_000;
const replicas = (): z.ZodNumber => z.int().min(1).max(MOST_REPLICAS);

function quantity() {
  const pattern = /^[0-9]{1,12}([.][0-9]{1,3})?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$/;
  return rule(z.string().min(1).max(32), {
    cel: matches(pattern),
    message: "is no quantity",
    fix: "write it like 250m, 2 or 512Mi",
    check: (text) => pattern.test(text),
  });
}

function amounts() {
  return oneOrMore(
    z.strictObject({
      cpu: quantity().describe("Processors.").exactOptional(),
      memory: quantity().describe("Bytes.").exactOptional(),
    }),
    ["cpu", "memory"],
  );
}

function image() {
  const pattern = /^[a-z0-9]([-a-zA-Z0-9._:/]*[a-zA-Z0-9])?(@sha256:[0-9a-f]{64})?$/;
  return rule(z.string().min(1).max(512), {
    cel: matches(pattern),
    message: "is no image",
    fix: "write registry/name:tag or registry/name@sha256:…",
    check: (text) => pattern.test(text),
  });
}

function loadBalancerClass() {
  const pattern = /^[a-z0-9]([-a-z0-9./]*[a-z0-9])?$/;
  return rule(z.string().min(1).max(253), {
    cel: matches(pattern),
    message: "is no load balancer class",
    fix: "write it like example.com/internal",
    check: (text) => pattern.test(text),
  });
}

const service = () =>
  oneOrMore(
    z.strictObject({
      type: defaultsTo(z.enum(["LoadBalancer", "NodePort", "ClusterIP"]), DEFAULTS.serviceType)
        .describe("How the Gateway can be reached.")
        .exactOptional(),
      annotations: annotations().describe("Annotations of the Service, for the load balancer.").exactOptional(),
      loadBalancerClass: loadBalancerClass()
        .describe("Which load balancer; Kubernetes does not let it change later.")
        .exactOptional(),
      externalTrafficPolicy: defaultsTo(z.enum(["Cluster", "Local"]), DEFAULTS.trafficPolicy)
        .describe("`Local` keeps the client's address, and only nodes with a proxy answer. Not with ClusterIP.")
        .exactOptional(),
    }),
    ["type", "annotations", "loadBalancerClass", "externalTrafficPolicy"],
  );

const autoscaling = () =>
  rule(
    z.strictObject({
      minReplicas: defaultsTo(replicas(), DEFAULTS.minReplicas).describe("Never fewer.").exactOptional(),
      maxReplicas: replicas().describe("Never more."),
      cpuUtilization: defaultsTo(z.int().min(1).max(100), DEFAULTS.cpuUtilization)
        .describe("Percent of the requested CPU that is aimed at.")
        .exactOptional(),
    }),
    {
      cel: `(has(self.minReplicas) ? self.minReplicas : ${DEFAULTS.minReplicas}) <= self.maxReplicas`,
      message: "has fewer maxReplicas than minReplicas",
      fix: `write maxReplicas of at least minReplicas (default ${DEFAULTS.minReplicas})`,
      check: ({ minReplicas = DEFAULTS.minReplicas, maxReplicas }) => minReplicas <= maxReplicas,
    },
  );

const KEYS = ["replicas", "autoscaling", "resources", "image", "service", "logLevel", "drainTime", "labels"] as const;

export const specSchema = later(() =>
  rule(
    oneOrMore(
      z.strictObject({
        replicas: defaultsTo(replicas(), DEFAULTS.replicas).describe("How many proxies.").exactOptional(),
        autoscaling: autoscaling()
          .describe("A HorizontalPodAutoscaler decides how many; the operator then leaves the number alone.")
          .exactOptional(),
        resources: oneOrMore(
          z.strictObject({
            requests: defaultsTo(amounts(), DEFAULTS.requests).describe("What is set aside.").exactOptional(),
            limits: defaultsTo(amounts(), DEFAULTS.limits).describe("What is not exceeded.").exactOptional(),
          }),
          ["requests", "limits"],
        )
          .describe("Of the proxy's container.")
          .exactOptional(),
        image: image()
          .describe(
            "Envoy's image. Only where a GatewayClass names this ProxyConfig. Absent: the operator's `--proxy-image`.",
          )
          .exactOptional(),
        service: service().describe("The Service in front of the proxies.").exactOptional(),
        logLevel: defaultsTo(
          z.enum(["trace", "debug", "info", "warning", "error", "critical", "off"]),
          DEFAULTS.logLevel,
        )
          .describe("Envoy's own log. `debug` and `trace` print requests, credentials among them.")
          .exactOptional(),
        drainTime: defaultsTo(duration({ min: "1s", max: "10m" }), DEFAULTS.drainTime)
          .describe("How long a proxy that ends lets its connections finish.")
          .exactOptional(),
        labels: labels().describe("Further labels of everything that is made. Ours win.").exactOptional(),
      }),
      KEYS,
    ),
    {
      cel: "!(has(self.replicas) && has(self.autoscaling))",
      message: "has both replicas and autoscaling",
      fix: "write one of them",
      check: (spec) => spec.replicas === undefined || spec.autoscaling === undefined,
    },
  ),
);

export type ProxyConfigSpec = Immutable<z.output<ReturnType<typeof specSchema>>>;

export interface ParsedProxyConfig extends ObjectIdentity {
  readonly spec: ProxyConfigSpec;
  readonly problems: readonly Problem[];
}

/** A spec with problems is empty; who uses it must look at `problems`. */
export function parseProxyConfig(object: KubeObject): ParsedProxyConfig {
  const parsed = parse(specSchema(), object.spec, "spec");
  return {
    ...identityOf("ProxyConfig", object),
    spec: parsed.ok ? parsed.value : {},
    problems: parsed.ok ? [] : parsed.problems,
  };
}

/** The nearer one's fields win; what it leaves out comes from the farther. `replicas` and `autoscaling` are one choice. */
export function mergeSpecs(farther: ProxyConfigSpec, nearer: ProxyConfigSpec): ProxyConfigSpec {
  const { replicas: _replicas, autoscaling: _autoscaling, ...rest } = farther;
  const chosen = nearer.replicas !== undefined || nearer.autoscaling !== undefined;
  return { ...(chosen ? rest : farther), ...nearer };
}
