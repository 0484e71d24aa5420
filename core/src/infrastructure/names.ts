/** Names, labels, ports and paths of what is made for a Gateway. Selectors cannot be changed later, so these never do. */
import { contentHash } from "../hash.ts";
import { GATEWAY_NAME_LABEL } from "../kinds/core/service.ts";
import type { Gateway } from "../kinds/gateway-api/gateway.ts";
import type { ProxyPaths } from "../world.ts";

/** On everything that we make, and nobody else's: what carries it may be changed and deleted by us. */
export const MANAGED_BY = { label: "app.kubernetes.io/managed-by", value: "gatewarden" } as const;
/** Which operator made it, by its namespace: only that one looks after it. */
export const OPERATOR_LABEL = "gatewarden.io/operator";
const COMPONENT = { "app.kubernetes.io/name": "gatewarden-proxy" } as const;

/** Names of Services and values of labels are DNS labels. */
const LONGEST_LABEL = 63;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

/** The name by which the operator knows the proxies' tokens; also of all other objects but the Service. */
export function objectName(gateway: string): string {
  return `gateway-${gateway}`;
}

/** The same where that is a name for a Service, else one of its hash. */
export function serviceName(gateway: string): string {
  const name = objectName(gateway);
  return name.length <= LONGEST_LABEL && DNS_LABEL.test(name) ? name : `gateway-${contentHash(gateway)}`;
}

export function selectorLabels({ name }: Pick<Gateway, "name">): Readonly<Record<string, string>> {
  return { ...COMPONENT, [GATEWAY_NAME_LABEL]: name.length <= LONGEST_LABEL ? name : contentHash(name) };
}

/** Ports below this need a privilege that proxies do not have. */
const FIRST_UNPRIVILEGED = 1_024;
/** Above the ports that systems use for outgoing connections. */
const LOW_PORTS_AT = 64_512;
/** Of the listener that answers `/ready` once everything else does. */
export const READY_PORT = 64_511;

/** Where a proxy in the cluster binds a listener's port; the Service says the port itself. */
export function containerPort(port: number): number {
  return port < FIRST_UNPRIVILEGED ? LOW_PORTS_AT + port : port;
}

/** Ports that a listener cannot have in the cluster, because proxies use them for something else. */
export function isTakenPort(port: number): boolean {
  return port >= READY_PORT;
}

export const CONFIG_DIRECTORY = "/etc/gatewarden";
const TOKEN_DIRECTORY = "/var/run/secrets/gatewarden";
const RUN_DIRECTORY = "/run/gatewarden";
export const DIRECTORIES = { config: CONFIG_DIRECTORY, token: TOKEN_DIRECTORY, run: RUN_DIRECTORY } as const;

export const PATHS: ProxyPaths = {
  tokenFile: `${TOKEN_DIRECTORY}/token`,
  caFile: `${CONFIG_DIRECTORY}/ca.crt`,
  adminSocket: `${RUN_DIRECTORY}/admin.sock`,
  readyPort: READY_PORT,
};
