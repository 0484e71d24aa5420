import { expect, test } from "@jest/globals";
import { timeLeft } from "./time-left.ts";

const NOW = Date.parse("2026-12-01T00:00:00Z");
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

test.each<[number, string, number | undefined]>([
  [3 * DAY_MS, "3d", 1],
  [3 * DAY_MS - 1, "2d", DAY_MS],
  [2 * DAY_MS, "2d", 1],
  [2 * DAY_MS - 1, "47h", HOUR_MS],
  [2 * HOUR_MS, "2h", 1],
  [2 * HOUR_MS - 1, "110m", 10 * MINUTE_MS],
  [10 * MINUTE_MS, "10m", 1],
  [10 * MINUTE_MS - 1, "<10m", undefined],
  [1, "<10m", undefined],
])("%d ms are %s", (leftMs, text, nextMs) => {
  const times: number[] = [];
  const clock = { nowMs: NOW, until: (epochMs: number) => void times.push(epochMs - NOW) };
  expect(timeLeft(NOW + leftMs, clock)).toBe(text);
  expect(times).toEqual(nextMs === undefined ? [] : [nextMs]);
});

test("at the time that it asks for, the text is another one", () => {
  for (const leftMs of [5 * DAY_MS + 7, 30 * HOUR_MS, 95 * MINUTE_MS]) {
    let next = 0;
    const until = (epochMs: number): void => void (next = epochMs);
    const end = NOW + leftMs;
    const before = timeLeft(end, { nowMs: NOW, until });
    const at = next;
    expect(timeLeft(end, { nowMs: at - 1, until: () => undefined })).toBe(before);
    expect(timeLeft(end, { nowMs: at, until: () => undefined })).not.toBe(before);
  }
});
