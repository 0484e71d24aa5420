/** What one change costs: CPU of operator and Envoy, bytes and resources pushed, units recomputed. No requests meanwhile. */
import type { Kind } from "./changes.ts";
import { type Page, readPage } from "./operator-metrics.ts";
import { cpuMs } from "./process-cost.ts";
import { pause, type Stage } from "./stage.ts";

export interface ChangeCost {
  readonly operatorCpuMs: number;
  readonly envoyCpuMs: number;
  readonly pushedBytes: number;
  readonly pushedResources: number;
  readonly recomputed: number;
  readonly recomputedBy: Readonly<Record<string, number>>;
  readonly statusWrites: number;
}

/** CPU per ms of a process that has nothing to do: taken away from what was measured. */
export interface Idle {
  readonly operator: number;
  readonly envoy: number;
}

const IDLE_MS = 4_000;
/** One change each: far enough apart that none is taken in together with another. */
const SPACING_MS = 60;

export async function measureIdle(stage: Stage): Promise<Idle> {
  const before = cpuOf(stage);
  await pause(IDLE_MS);
  const after = cpuOf(stage);
  return { operator: (after.operator - before.operator) / IDLE_MS, envoy: (after.envoy - before.envoy) / IDLE_MS };
}

export async function measureChangeCost(stage: Stage, kind: Kind, count: number, idle: Idle): Promise<ChangeCost> {
  const { operator } = stage.harness;
  const pairs = Array.from({ length: Math.ceil(count / 2) }, kind.pair);
  for (const [first] of pairs) await first.before?.();
  await stage.settled();
  const pageBefore = await readPage(operator);
  const before = cpuOf(stage);
  const began = performance.now();
  const changes = pairs.flat();
  for (const { apply } of changes) {
    await apply();
    await pause(SPACING_MS);
  }
  await stage.settled();
  const after = cpuOf(stage);
  const wallMs = performance.now() - began;
  const page = await readPage(operator);
  for (const [, second] of pairs) await second.after?.();
  const each = changes.length;
  const counted = (name: string): number => (page.sum(name) - pageBefore.sum(name)) / each;
  const net = (total: number, idlePerMs: number): number => Math.max(0, total - idlePerMs * wallMs) / each;
  return {
    operatorCpuMs: net(after.operator - before.operator, idle.operator),
    envoyCpuMs: net(after.envoy - before.envoy, idle.envoy),
    pushedBytes: counted("gatewarden_xds_pushed_bytes_total"),
    pushedResources: counted("gatewarden_xds_pushed_resources_total"),
    recomputed: counted("gatewarden_recomputed_units_total"),
    recomputedBy: stages(pageBefore, page, each),
    statusWrites: counted("gatewarden_status_writes_total"),
  };
}

function stages(before: Page, after: Page, each: number): Readonly<Record<string, number>> {
  const name = "gatewarden_recomputed_units_total";
  const old = before.by(name, "stage");
  const rows = [...after.by(name, "stage")].map(
    ([stage, count]) => [stage, (count - (old.get(stage) ?? 0)) / each] as const,
  );
  return Object.fromEntries(rows.filter(([, count]) => count > 0));
}

function cpuOf(stage: Stage): { readonly operator: number; readonly envoy: number } {
  return { operator: cpuMs(stage.harness.operator.pid()), envoy: cpuMs(stage.envoy().pid) };
}
