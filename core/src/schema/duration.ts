/** GEP-2257 durations: up to four `<digits><unit>` parts, units h, m, s, ms. */

export const DURATION = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/;

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/** Milliseconds; NaN when the text is no duration. */
export function durationMs(text: string): number {
  if (!DURATION.test(text)) return Number.NaN;
  let sum = 0;
  for (const [, digits, unit] of text.matchAll(/([0-9]{1,5})(ms|h|m|s)/g)) {
    sum += Number(digits) * (UNIT_MS[unit ?? ""] ?? Number.NaN);
  }
  return sum;
}
