/**
 * `gatewarden fallback`: gives new proxies their first configuration while no operator answers, from what the leader kept. It evaluates and
 * writes nothing; a proxy that has a configuration already is never served here.
 */
import { createXdsServer } from "@gatewarden/xds/server/server.ts";
import { addressText } from "./address.ts";
import { sleep, type Clock } from "./clock.ts";
import type { OperatorConfig } from "./config.ts";
import { startHealthServer } from "./http/health.ts";
import { createKubeClient } from "./kube/client.ts";
import type { Credentials } from "./kube/credentials.ts";
import { REFERENCED_KINDS } from "./kube/kinds.ts";
import { startReflector } from "./kube/reflector.ts";
import { readShard, SHARD_NAMES } from "./last-good/shards.ts";
import { errorText, type Log } from "./log.ts";
import type { Registry } from "./metrics.ts";
import type { Operator } from "./operator.ts";
import { startServingCertificate } from "./serving-certificate.ts";
import { createTokenReviewer } from "./token-review.ts";
import { xdsMetrics } from "./xds-metrics.ts";

export interface FallbackParts {
  readonly config: Pick<OperatorConfig, "namespace" | "xdsAddress" | "metricsAddress" | "issuer">;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Registry;
}

const POLL_MS = 50;
const DRAIN_MS = 5_000;

export async function startFallback(parts: FallbackParts): Promise<Operator> {
  const { config, clock, log, metrics } = parts;
  const { namespace } = config;
  const stopping = new AbortController();
  let waitingFor: string | undefined = "the certificate of the xDS server";
  const health = await startHealthServer(config.metricsAddress, {
    waitingFor: () => waitingFor,
    metrics: () => metrics.render(),
  });
  const client = createKubeClient(parts.credentials, clock);
  const xds = createXdsServer({
    authenticate: createTokenReviewer(client, clock),
    firstConfigurationOnly: true,
    clock,
    log,
    metrics: xdsMetrics(metrics),
    onChange: () => undefined,
    onRefusedProxy: ({ gateway, node, message }) =>
      log.warn("a proxy was turned away", { gateway, node, error: message }),
  });
  const serving = startServingCertificate({
    client,
    clock,
    log,
    namespace,
    issuer: config.issuer,
    leads: () => false,
    onPair: ({ certPem, keyPem }) => void xds.setCertificate(certPem, keyPem),
  });

  const served = new Map<string, ReadonlySet<string>>(); // gateways by shard
  let reading = Promise.resolve();
  const take = async (shard: string, object: Parameters<typeof readShard>[0]): Promise<void> => {
    const snapshots = await readShard(object, (error) =>
      log.warn("a last good configuration is not understood", { object: shard, error: errorText(error) }),
    );
    for (const { gateway, snapshot } of snapshots) {
      try {
        xds.serve(gateway, snapshot);
      } catch (error) {
        log.warn("a last good configuration is not understood", { gateway, error: errorText(error) });
      }
    }
    const now = new Set(snapshots.map(({ gateway }) => gateway));
    for (const gateway of served.get(shard) ?? []) if (!now.has(gateway)) xds.serve(gateway, undefined);
    served.set(shard, now);
  };
  const reflectors = SHARD_NAMES.map((name) =>
    startReflector({
      kind: REFERENCED_KINDS.Secret,
      client,
      clock,
      log,
      namespace,
      name,
      events: {
        onChange({ object }) {
          // One after the other: an older version of a shard must not win.
          reading = reading.then(() => take(name, object));
        },
      },
    }),
  );
  metrics.gaugeFrom("gatewarden_last_good_gateways", "Gateways whose last good configuration is there.", () => [
    { value: [...served.values()].reduce((sum, gateways) => sum + gateways.size, 0) },
  ]);

  const comeUp = async (): Promise<number> => {
    const synced = (): boolean => reflectors.every((reflector) => reflector.state() === "synced");
    while (!(serving.ready() && synced()) && !stopping.signal.aborted) {
      waitingFor = serving.ready() ? "what the operator kept" : "the certificate of the xDS server";
      await sleep(clock, POLL_MS, stopping.signal);
    }
    await reading;
    if (stopping.signal.aborted) throw new Error("stopped");
    const port = await xds.listen(addressText(config.xdsAddress));
    waitingFor = undefined;
    log.info("new proxies may connect", { port });
    return port;
  };

  return {
    metricsPort: health.port,
    serving: comeUp(),
    async stop() {
      waitingFor = "nothing: it is stopping";
      stopping.abort(new Error("stopped"));
      await xds.stop(DRAIN_MS);
      await Promise.all([serving.stop(), ...reflectors.map((reflector) => reflector.stop())]);
      client.close();
      await health.stop();
    },
  };
}
