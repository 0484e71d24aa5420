/** `gatewarden bootstrap`: prints what an Envoy of a Gateway is started with. */
import { isIP } from "node:net";
import { parseAddress } from "@gatewarden/operator/address.ts";
import { bootstrap as bootstrapOf } from "@gatewarden/xds/bootstrap.ts";
import { readFlags, wrongUsage } from "../flags.ts";

const USAGE = `gatewarden bootstrap --gateway NS/NAME --xds-address HOST:PORT --token-file F --ca-file F [flags]
  --gateway NS/NAME        the Gateway that the proxy serves
  --xds-address HOST:PORT  where the operator is
  --fallback-address HOST:PORT
                           where \`gatewarden fallback\` is, for a start while no operator answers
  --token-file FILE        the token of ServiceAccount gateway-NAME in NS, audience gatewarden
  --ca-file FILE           ca.crt of ConfigMap gatewarden-ca
  --admin ADDRESS          unix:PATH or a loopback HOST:PORT (default: no administration interface)
  --namespace NAME         the operator's namespace (default gatewarden-system)
  --node-id ID             tells proxies of one Gateway apart (default: the Gateway; Envoy's --service-node replaces it)
`;

export function bootstrap(args: readonly string[]): number {
  const flags = readFlags(
    "bootstrap",
    args,
    {
      gateway: { type: "string" },
      "xds-address": { type: "string" },
      "fallback-address": { type: "string" },
      "token-file": { type: "string" },
      "ca-file": { type: "string" },
      admin: { type: "string" },
      namespace: { type: "string", default: "gatewarden-system" },
      "node-id": { type: "string" },
    },
    USAGE,
  );
  if (!flags.ok) return flags.exitCode;
  const { gateway, "xds-address": address, "token-file": tokenFile, "ca-file": caFile, admin } = flags.value;
  const fallbackAddress = flags.value["fallback-address"];
  const nodeId = flags.value["node-id"];
  if (gateway === undefined || address === undefined || tokenFile === undefined || caFile === undefined)
    return wrongUsage("bootstrap", "--gateway, --xds-address, --token-file and --ca-file are needed", USAGE);
  const host = parseAddress(address)?.host;
  if (host === undefined) return wrongUsage("bootstrap", `--xds-address ${address}: expected HOST:PORT`, USAGE);
  if (isIP(host) === 0 && !/^[a-zA-Z0-9.-]+$/.test(host))
    return wrongUsage("bootstrap", `--xds-address ${address}: ${host} is no host name`, USAGE);
  try {
    const config = bootstrapOf({
      gateway,
      address,
      ...(fallbackAddress === undefined ? {} : { fallbackAddress }),
      tokenFile,
      caFile,
      serverName: `gatewarden.${flags.value.namespace}.svc`,
      ...(admin === undefined ? {} : { admin }),
      ...(nodeId === undefined ? {} : { nodeId }),
    });
    process.stdout.write(`${JSON.stringify(config, null, 2)}\n`);
    return 0;
  } catch (error) {
    return wrongUsage("bootstrap", error instanceof Error ? error.message : String(error), USAGE);
  }
}
