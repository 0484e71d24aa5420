/** How long something still holds, in steps so large that a status with it is rarely written: days, then hours, then tens of minutes. */
import type { Lookup } from "../slice.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const STEPS = [
  { stepMs: DAY_MS, fromMs: 2 * DAY_MS, text: (count: number) => `${count}d` },
  { stepMs: HOUR_MS, fromMs: 2 * HOUR_MS, text: (count: number) => `${count}h` },
  { stepMs: 10 * MINUTE_MS, fromMs: 10 * MINUTE_MS, text: (count: number) => `${count * 10}m` },
] as const;

/** Rounded down; asks for another evaluation when the text becomes another one. `endMs` is in the future. */
export function timeLeft(endMs: number, { nowMs, until }: Pick<Lookup, "nowMs" | "until">): string {
  const leftMs = endMs - nowMs;
  const step = STEPS.find(({ fromMs }) => leftMs >= fromMs);
  if (step === undefined) return "<10m";
  const count = Math.floor(leftMs / step.stepMs);
  until(endMs - count * step.stepMs + 1);
  return step.text(count);
}
