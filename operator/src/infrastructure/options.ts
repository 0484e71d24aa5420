/** What the core is told about proxies that run in the cluster. */
import type { EngineOptions } from "@gatewarden/core/world.ts";
import { bootstrap } from "@gatewarden/xds/bootstrap.ts";
import type { OperatorConfig } from "../config.ts";
import { servingName } from "../serving-certificate.ts";

export function infrastructureOptions(config: OperatorConfig): Pick<EngineOptions, "infrastructure"> {
  const { infrastructure: place, namespace } = config;
  if (place === undefined) return {};
  const serverName = servingName(namespace);
  return {
    infrastructure: {
      namespace,
      image: place.image,
      ...(place.agentImage === undefined ? {} : { agentImage: place.agentImage }),
      bootstrap: (gateway, { tokenFile, caFile, adminSocket, readyPort }) =>
        bootstrap({
          gateway,
          address: place.xdsAddress,
          ...(place.fallbackAddress === undefined ? {} : { fallbackAddress: place.fallbackAddress }),
          tokenFile,
          caFile,
          serverName,
          admin: `unix:${adminSocket}`,
          readyPort,
        }),
    },
  };
}
