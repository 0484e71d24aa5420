/** From nothing to serving, and what a restart of the operator does to an Envoy that has everything already. */
import { once } from "./http-client.ts";
import { readPage } from "./operator-metrics.ts";
import { cpuMs, memory } from "./process-cost.ts";
import { pause, type Stage } from "./stage.ts";

export interface Start {
  /** Operator's start to its xDS port. */
  readonly operatorReadyMs: number;
  readonly operatorCpuMs: number;
  /** Envoy's start to the first right answer through the last route. */
  readonly envoyServingMs: number;
  readonly envoyCpuMs: number;
  /** Both, one after the other. */
  readonly servingMs: number;
  readonly pushedMB: number;
  /** Operator's start until every ApiPolicy says Programmed=True and every route Accepted=True. */
  readonly programmedMs: number;
  readonly operatorRssMB: number;
  /** After a while without changes: only then V8 gives back what the start took. */
  readonly operatorQuietRssMB: number;
  readonly operatorPeakMB: number;
  readonly heapMB: number;
  readonly envoyRssMB: number;
}

export interface Restart {
  /** Operator killed and started again until Envoy is connected again; Envoy's own back-off is most of it. */
  readonly reconnectedMs: number;
  readonly pushedResources: number;
  readonly envoyUpdates: number;
}

const SERVING_LIMIT_MS = 60_000;
const PROGRAMMED_LIMIT_MS = 300_000;
const POLL_MS = 5;
const LOOK_MS = 1_000;
const QUIET_MS = 20_000;

/** Operator and Envoy are down before; the objects are there. */
export async function measureStart(stage: Stage, say: (line: string) => void): Promise<Start> {
  const { operator } = stage.harness;
  const began = performance.now();
  await operator.start();
  const operatorReadyMs = performance.now() - began;
  const operatorCpuMs = cpuMs(operator.pid());
  const envoyBegan = performance.now();
  const envoy = await stage.startEnvoy();
  const request = stage.request(stage.size() - 1);
  await until("Envoy serves the last route", SERVING_LIMIT_MS, POLL_MS, async () => {
    const { status } = await once(stage.endpoint, request);
    return status === 200;
  });
  const envoyServingMs = performance.now() - envoyBegan;
  const envoyCpuMs = cpuMs(envoy.pid);
  const pushed = (await readPage(operator)).sum("gatewarden_xds_pushed_bytes_total");
  say(`serving after ${seconds(operatorReadyMs)} + ${seconds(envoyServingMs)}; waiting for every status`);
  await stage.settled(PROGRAMMED_LIMIT_MS);
  const settledMs = performance.now() - began;
  await until("every status is true", PROGRAMMED_LIMIT_MS, LOOK_MS, () => everythingProgrammed(stage));
  const lookedMs = performance.now() - began;
  const { rssMB } = memory(operator.pid());
  await pause(QUIET_MS);
  const quiet = memory(operator.pid());
  return {
    operatorReadyMs,
    operatorCpuMs,
    envoyServingMs,
    envoyCpuMs,
    servingMs: operatorReadyMs + envoyServingMs,
    pushedMB: pushed / 2 ** 20,
    // Listing everything takes a second at 5,000: when the first look finds all true, the queue's end was the end.
    programmedMs: lookedMs - settledMs < 2 * LOOK_MS + SETTLED_LOOK_MS ? settledMs : lookedMs,
    operatorRssMB: rssMB,
    operatorQuietRssMB: quiet.rssMB,
    operatorPeakMB: quiet.peakMB,
    heapMB: (await readPage(operator)).sum("process_heap_used_bytes") / 2 ** 20,
    envoyRssMB: memory(envoy.pid).rssMB,
  };
}

const SETTLED_LOOK_MS = 3_000;

export async function measureRestart(stage: Stage): Promise<Restart> {
  const { operator } = stage.harness;
  const { admin } = stage.envoy();
  const updates = async (): Promise<number> => {
    const stats = await admin.stats();
    return [...stats]
      .filter(([name]) => /\.(update_success|config_reload|update_rejected)$/.test(name) || name.endsWith("_modified"))
      .reduce((sum, [, value]) => sum + value, 0);
  };
  const before = await updates();
  const connects = await admin.stat("control_plane.connected_state");
  if (connects !== 1) throw new Error("Envoy is not connected before the restart");
  await operator.stop(0);
  const began = performance.now();
  await operator.start();
  await until("Envoy connects again", SERVING_LIMIT_MS, POLL_MS, async () => {
    const page = await readPage(operator);
    return page.sum("gatewarden_xds_streams") > 0;
  });
  const reconnectedMs = performance.now() - began;
  await pause(LOOK_MS);
  await stage.settled();
  const page = await readPage(operator);
  return {
    reconnectedMs,
    pushedResources: page.sum("gatewarden_xds_pushed_resources_total"),
    envoyUpdates: (await updates()) - before,
  };
}

interface WithConditions {
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
}

async function everythingProgrammed({ api }: Stage): Promise<boolean> {
  const holds = (places: readonly WithConditions[] | undefined, type: string): boolean =>
    places !== undefined &&
    places.length > 0 &&
    places.every(({ conditions = [] }) => conditions.some((each) => each.type === type && each.status === "True"));
  for (const { status } of await api.list("ApiPolicy")) {
    if (!holds((status as { readonly ancestors?: readonly WithConditions[] } | undefined)?.ancestors, "Programmed"))
      return false;
  }
  for (const { status } of await api.list("HTTPRoute")) {
    if (!holds((status as { readonly parents?: readonly WithConditions[] } | undefined)?.parents, "Accepted"))
      return false;
  }
  return true;
}

async function until(what: string, limitMs: number, pollMs: number, holds: () => Promise<boolean>): Promise<void> {
  const limit = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > limit) throw new Error(`${what}: not within ${seconds(limitMs)}`);
    await pause(pollMs);
  }
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
