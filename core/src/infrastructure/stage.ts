/** One effect per Gateway of ours: what is to run in the cluster for it. */
import { valueOf } from "../kinds/core/value.ts";
import type { Graph } from "../memo.ts";
import type { Objects } from "../objects.ts";
import type { Outbox } from "../outbox.ts";
import type { Views } from "../views.ts";
import type { InfrastructureOptions } from "../world.ts";
import { infrastructureObjects } from "./objects.ts";
import { gatewayParameters, type ParameterReads } from "./parameters.ts";

export const CA_CONFIG_MAP = "gatewarden-ca";

export interface InfrastructureParts {
  readonly graph: Graph;
  readonly objects: Objects;
  readonly views: Views;
  readonly outbox: Outbox;
  readonly options: InfrastructureOptions;
  readonly logDirectory: string;
}

const RANK = 1;

export function createInfrastructure(parts: InfrastructureParts): void {
  const { graph, objects, views, outbox, options, logDirectory } = parts;
  const reads = parameterReads(objects);
  const effects = graph.effects(
    "infrastructure",
    RANK,
    (id) => {
      const own = views.gateways.get(id);
      if (own === undefined) {
        outbox.infrastructure({ gateway: id, objects: undefined });
        return;
      }
      const parameters = gatewayParameters(own, reads);
      const caPem = authority(objects, options.namespace);
      // With a mistake in the parameters, or before there is a CA, what runs stays as it is.
      if (!parameters.ok || caPem === undefined) {
        outbox.infrastructure({ gateway: id, objects: "keep" });
        return;
      }
      const { gateway } = own;
      const made = infrastructureObjects({ gateway, config: parameters.spec, caPem, options, logDirectory });
      outbox.infrastructure({ gateway: id, objects: made });
    },
    (id) => outbox.infrastructure({ gateway: id, objects: undefined }),
  );
  objects.follow("Gateway", effects);
}

export function parameterReads(objects: Objects): ParameterReads {
  return { proxyConfig: (id) => objects.proxyConfigs.get(id), gatewayClass: (name) => objects.classes.get(name) };
}

function authority(objects: Objects, namespace: string): string | undefined {
  const stored = objects.values.get(`ConfigMap/${namespace}/${CA_CONFIG_MAP}`);
  const bytes = stored && valueOf(stored, "ca.crt");
  const pem = bytes === undefined ? "" : Buffer.from(bytes).toString("utf8");
  return pem === "" ? undefined : pem;
}
