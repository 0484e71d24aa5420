/** Proxies that showed a good token and were turned away all the same, so that their Gateway's status can say why it has none. */
import type { RefusedProxy } from "@gatewarden/xds/types.ts";
import type { Clock } from "./clock.ts";

export interface TurnedAway {
  note(proxy: RefusedProxy): void;
  /** The newest of a gateway's own proxies, while it is news. */
  last(gateway: string): RefusedProxy | undefined;
}

/** A proxy comes again every few seconds: one that was not seen for so long is gone or mended. */
const NEWS_MS = 300_000;
const MOST_GATEWAYS = 1_000;

export function createTurnedAway(clock: Clock): TurnedAway {
  const newest = new Map<string, { readonly proxy: RefusedProxy; readonly at: number }>();
  return {
    note(proxy) {
      // A proxy of another gateway says nothing about this one.
      if (proxy.reason !== "VulnerableVersion") return;
      newest.delete(proxy.gateway);
      newest.set(proxy.gateway, { proxy, at: clock.now() });
      for (const oldest of newest.keys()) {
        if (newest.size <= MOST_GATEWAYS) break;
        newest.delete(oldest);
      }
    },
    last(gateway) {
      const found = newest.get(gateway);
      return found !== undefined && clock.now() - found.at < NEWS_MS ? found.proxy : undefined;
    },
  };
}
