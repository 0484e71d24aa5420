/** The Envoys of one Gateway, each started from `gatewarden bootstrap` with a token of the Gateway's ServiceAccount. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cluster } from "../cluster/driver.ts";
import { eventually } from "../cluster/condition.ts";
import { type Bootstrap, type EnvoyProcess, startEnvoy } from "../envoy/process.ts";
import type { Api } from "./api.ts";
import { gatewarden } from "./gatewarden.ts";
import { OPERATOR_NAMESPACE } from "./installation.ts";

export interface ProxyOptions {
  readonly namespace: string;
  readonly gateway: string;
  readonly xdsAddress: string;
  /** A `gatewarden fallback`. */
  readonly fallbackAddress?: string;
  readonly directory: string;
  /** Default `ready`; `started` for a proxy that is not to get any configuration. */
  readonly wait?: "ready" | "started";
  readonly concurrency?: number;
  readonly drainSeconds?: number;
  /** Default: a token of the Gateway's own ServiceAccount. */
  readonly token?: string;
}

let started = 0;

/** Starts one more proxy of a Gateway. */
export async function startProxy(cluster: Cluster, api: Api, options: ProxyOptions): Promise<EnvoyProcess> {
  const directory = join(options.directory, `proxy-${String(++started)}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const tokenFile = join(directory, "token");
  const caFile = join(directory, "ca.crt");
  writeFileSync(tokenFile, options.token ?? (await proxyToken(cluster, options.namespace, options.gateway)), {
    mode: 0o600,
  });
  writeFileSync(caFile, await publishedAuthority(api));
  const flags = ["--gateway", `${options.namespace}/${options.gateway}`, "--xds-address", options.xdsAddress];
  if (options.fallbackAddress !== undefined) flags.push("--fallback-address", options.fallbackAddress);
  const { stdout } = await gatewarden(["bootstrap", ...flags, "--token-file", tokenFile, "--ca-file", caFile]);
  return startEnvoy({
    bootstrap: JSON.parse(stdout) as Bootstrap,
    concurrency: options.concurrency ?? 1,
    wait: options.wait ?? "ready",
    ...(options.drainSeconds === undefined ? {} : { drainSeconds: options.drainSeconds }),
  });
}

/** A token of the ServiceAccount that the proxies of a Gateway run as; makes the account when it is not there. */
export async function proxyToken(cluster: Cluster, namespace: string, gateway: string): Promise<string> {
  const account = `gateway-${gateway}`;
  await cluster.apply(
    JSON.stringify({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: account, namespace } }),
  );
  const flags = ["--namespace", namespace, "--audience", "gatewarden", "--duration", "12h"];
  return (await cluster.kubectl(["create", "token", account, ...flags])).trim();
}

function publishedAuthority(api: Api): Promise<string> {
  const ref = { kind: "ConfigMap", name: "gatewarden-ca", namespace: OPERATOR_NAMESPACE };
  return eventually("ConfigMap gatewarden-ca", async () => {
    const map = await api.get(ref);
    return (map?.["data"] as Readonly<Record<string, string>> | undefined)?.["ca.crt"];
  });
}
