/** Names for what the xDS server counts. */
import { type Metrics, RESOURCE_TYPES } from "@gatewarden/xds/types.ts";
import type { Registry } from "./metrics.ts";

export function xdsMetrics(registry: Registry): Metrics {
  let open = 0;
  const streams = registry.gauge("gatewarden_xds_streams", "Open xDS streams.");
  const denied = registry.counter("gatewarden_xds_denied_total", "Calls that were turned away, by gRPC status.");
  const pushes = registry.counter("gatewarden_xds_pushes_total", "Responses written, by type.");
  const resources = registry.counter("gatewarden_xds_pushed_resources_total", "Resources in responses, by type.");
  const bytes = registry.counter("gatewarden_xds_pushed_bytes_total", "Bytes of responses, by type.");
  const acks = registry.counter("gatewarden_xds_acks_total", "Responses that proxies accepted, by type.");
  const nacks = registry.counter("gatewarden_xds_nacks_total", "Responses that proxies refused, by type.");
  const quarantined = registry.counter(
    "gatewarden_xds_quarantined_total",
    "Resources put into quarantine, by type.",
    RESOURCE_TYPES.map((type) => ({ type })),
  );
  const encodeSeconds = registry.histogram(
    "gatewarden_xds_encode_seconds",
    "Time to encode one resource, by type.",
    [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.02],
  );
  streams.set(0);
  return {
    streams(delta) {
      open += delta;
      streams.set(open);
    },
    denied: (status) => denied.add(1, { status }),
    push(type, count, size) {
      pushes.add(1, { type });
      resources.add(count, { type });
      bytes.add(size, { type });
    },
    ack: (type) => acks.add(1, { type }),
    nack: (type) => nacks.add(1, { type }),
    quarantined: (type) => quarantined.add(1, { type }),
    encoded: (type, microseconds) => encodeSeconds.observe(microseconds / 1e6, { type }),
  };
}
