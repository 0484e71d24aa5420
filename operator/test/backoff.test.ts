import { expect, test } from "@jest/globals";
import type { ApiFailure } from "../src/kube/client.ts";
import { createBackoff } from "../src/kube/backoff.ts";
import { createManualClock } from "./manual-clock.ts";

const failed = (status: number, retryAfterMs?: number): ApiFailure => ({
  ...{ status, reason: "Failed", message: "" },
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
});

test("doubles up to the cap, and never below what was asked for", () => {
  const backoff = createBackoff(createManualClock(), 500, 3_000);
  expect(Array.from({ length: 4 }, () => backoff.next(failed(500)))).toEqual([500, 1_000, 2_000, 3_000]);
  backoff.reset();
  expect(backoff.next(failed(503, 5_000))).toBe(5_500);
});

test("hurries for a while past the 5 s of an API server that starts, not past a 429", async () => {
  const clock = createManualClock();
  const backoff = createBackoff(clock, 500, 30_000);
  backoff.hurry(10_000);
  expect(Array.from({ length: 4 }, () => backoff.next(failed(503, 5_000)))).toEqual([500, 500, 500, 500]);
  expect(backoff.next(failed(0))).toBe(500);
  expect(backoff.next(failed(429, 60_000))).toBe(66_000);
  await clock.advance(10_000);
  expect(backoff.next(failed(503, 60_000))).toBe(66_000);
});
