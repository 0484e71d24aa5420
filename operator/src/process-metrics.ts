/** What the process itself costs. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Registry } from "./metrics.ts";

/** Returns what ends the measuring. */
export function measureProcess(registry: Registry): () => void {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  registry.gaugeFrom("process_resident_memory_bytes", "Resident memory.", () => [{ value: process.memoryUsage.rss() }]);
  registry.gaugeFrom("process_heap_used_bytes", "Used heap of JavaScript.", () => [
    { value: process.memoryUsage().heapUsed },
  ]);
  registry.gaugeFrom("process_cpu_seconds_total", "User and system CPU time.", () => {
    const { user, system } = process.cpuUsage();
    return [{ value: (user + system) / 1e6 }];
  });
  registry.gaugeFrom("gatewarden_event_loop_delay_seconds", "Delay of the event loop since the last reading.", () => {
    const rows = [0.5, 0.99, 1].map((quantile) => ({
      labels: { quantile: String(quantile) },
      value: (quantile === 1 ? delay.max : delay.percentile(quantile * 100)) / 1e9,
    }));
    delay.reset();
    return rows;
  });
  return () => delay.disable();
}
