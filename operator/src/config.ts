/** What `gatewarden operator` is told on its command line. Reading files and the environment is `main`'s. */
import { isIP } from "node:net";
import { parseArgs } from "node:util";
import { parseAddress, type Address } from "./address.ts";
import type { LogLevel } from "./log.ts";

export interface IssuerRef {
  readonly kind: "ClusterIssuer" | "Issuer";
  readonly name: string;
}

/** How proxies run in the cluster. */
export interface ProxyPlace {
  readonly image: string;
  readonly agentImage: string | undefined;
  /** HOST:PORT of this operator as proxies see it. */
  readonly xdsAddress: string;
  /** HOST:PORT of `gatewarden fallback`. */
  readonly fallbackAddress: string | undefined;
}

export interface OperatorConfig {
  readonly kubeconfig: string | undefined;
  readonly namespace: string;
  readonly xdsAddress: Address;
  readonly metricsAddress: Address;
  /** Undefined: somebody else starts the proxies. */
  readonly infrastructure: ProxyPlace | undefined;
  readonly issuer: IssuerRef;
  readonly requirePolicy: boolean;
  readonly logDirectory: string;
  readonly jwksAllowCidrs: readonly string[];
  readonly jwksCaFile: string | undefined;
  readonly logLevel: LogLevel;
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string };

const PROXY_IMAGE = "docker.io/envoyproxy/envoy:distroless-v1.40.0";

export const OPERATOR_USAGE = `gatewarden operator [flags]
  --kubeconfig FILE           default: KUBECONFIG, else the pod's service account
  --namespace NAME            where the operator's own objects live (default gatewarden-system)
  --xds-address HOST:PORT     where proxies connect (default 0.0.0.0:18000)
  --metrics-address HOST:PORT /metrics, /healthz, /readyz (default :8080)
  --infrastructure external|kubernetes
                              who starts the proxies: somebody else, or this operator as pods (default external)
  --proxy-image IMAGE         Envoy of these pods (default ${PROXY_IMAGE})
  --agent-image IMAGE         image of this program, for ending their connections in time; without it they are only waited for
  --proxy-xds-address HOST:PORT
                              where they connect (default gatewarden.NAMESPACE.svc and the port of --xds-address)
  --proxy-fallback-address HOST:PORT
                              where they find \`gatewarden fallback\` (default: there is none)
  --issuer KIND/NAME          cert-manager issuer of the xDS certificate (default ClusterIssuer/gatewarden-ca)
  --require-policy=BOOL       a route without authentication answers 403 (default true)
  --log-dir DIR               where proxies write File sinks (default /var/log/gatewarden)
  --jwks-allow-cidr CIDR      addresses that JWKS may be fetched from beside public ones; may be repeated
  --jwks-ca-file FILE         CA certificates for JWKS beside the system's
  --log-level LEVEL           debug, info, warn or error (default info)
`;

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** The configuration, or one sentence that names the flag and what it takes. */
export function parseOperatorArguments(args: readonly string[]): Parsed<OperatorConfig> {
  let values;
  try {
    values = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        kubeconfig: { type: "string" },
        namespace: { type: "string", default: "gatewarden-system" },
        "xds-address": { type: "string", default: "0.0.0.0:18000" },
        "metrics-address": { type: "string", default: ":8080" },
        infrastructure: { type: "string", default: "external" },
        "proxy-image": { type: "string", default: PROXY_IMAGE },
        "agent-image": { type: "string" },
        "proxy-xds-address": { type: "string" },
        "proxy-fallback-address": { type: "string" },
        issuer: { type: "string", default: "ClusterIssuer/gatewarden-ca" },
        "require-policy": { type: "string", default: "true" },
        "log-dir": { type: "string", default: "/var/log/gatewarden" },
        "jwks-allow-cidr": { type: "string", multiple: true, default: [] },
        "jwks-ca-file": { type: "string" },
        "log-level": { type: "string", default: "info" },
      },
    }).values;
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
  const xdsAddress = parseAddress(values["xds-address"]);
  if (xdsAddress === undefined) return refuse(`--xds-address ${values["xds-address"]}: expected HOST:PORT`);
  const metricsAddress = parseAddress(values["metrics-address"]);
  if (metricsAddress === undefined) return refuse(`--metrics-address ${values["metrics-address"]}: expected HOST:PORT`);
  if (!DNS_LABEL.test(values.namespace)) return refuse(`--namespace ${values.namespace}: not the name of a namespace`);
  if (values.infrastructure !== "external" && values.infrastructure !== "kubernetes")
    return refuse(`--infrastructure ${values.infrastructure}: expected external or kubernetes`);
  const proxyAddress = values["proxy-xds-address"] ?? `gatewarden.${values.namespace}.svc:${xdsAddress.port}`;
  if (parseAddress(proxyAddress)?.host === undefined)
    return refuse(`--proxy-xds-address ${proxyAddress}: expected HOST:PORT`);
  const fallbackAddress = values["proxy-fallback-address"];
  if (fallbackAddress !== undefined && parseAddress(fallbackAddress)?.host === undefined)
    return refuse(`--proxy-fallback-address ${fallbackAddress}: expected HOST:PORT`);
  const issuer = parseIssuer(values.issuer);
  if (issuer === undefined) return refuse(`--issuer ${values.issuer}: expected ClusterIssuer/NAME or Issuer/NAME`);
  const requirePolicy = values["require-policy"];
  if (requirePolicy !== "true" && requirePolicy !== "false")
    return refuse(`--require-policy ${requirePolicy}: expected true or false`);
  if (!values["log-dir"].startsWith("/")) return refuse(`--log-dir ${values["log-dir"]}: expected an absolute path`);
  const badCidr = values["jwks-allow-cidr"].find((cidr) => !isCidr(cidr));
  if (badCidr !== undefined) return refuse(`--jwks-allow-cidr ${badCidr}: expected ADDRESS/PREFIX`);
  const logLevel = LEVELS.find((level) => level === values["log-level"]);
  if (logLevel === undefined) return refuse(`--log-level ${values["log-level"]}: expected ${LEVELS.join(", ")}`);
  return {
    ok: true,
    value: {
      kubeconfig: values.kubeconfig,
      namespace: values.namespace,
      xdsAddress,
      metricsAddress,
      infrastructure:
        values.infrastructure === "external"
          ? undefined
          : {
              image: values["proxy-image"],
              agentImage: values["agent-image"],
              xdsAddress: proxyAddress,
              fallbackAddress,
            },
      issuer,
      requirePolicy: requirePolicy === "true",
      logDirectory: values["log-dir"],
      jwksAllowCidrs: values["jwks-allow-cidr"],
      jwksCaFile: values["jwks-ca-file"],
      logLevel,
    },
  };
}

function refuse(message: string): { readonly ok: false; readonly message: string } {
  return { ok: false, message };
}

function parseIssuer(text: string): IssuerRef | undefined {
  const match = /^(ClusterIssuer|Issuer)\/([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)$/.exec(text);
  return match === null ? undefined : { kind: match[1] as IssuerRef["kind"], name: match[2] as string };
}

function isCidr(text: string): boolean {
  const [address = "", prefix = "", ...rest] = text.split("/");
  const family = isIP(address);
  return family !== 0 && rest.length === 0 && /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
}
