/** RFC 3339 points in time. */

export const DATE_TIME =
  /^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$/;

/** The years 1 to 9999, in UTC: what protobuf's Timestamp and so the API server's CEL can say. An offset can lead out of it. */
const FIRST_MS = Date.parse("0001-01-01T00:00:00Z");
const END_MS = Date.UTC(10_000, 0, 1);

/** Epoch milliseconds; NaN when the text is no point in time (30 February, a missing offset). */
export function dateTimeMs(text: string): number {
  if (!DATE_TIME.test(text)) return Number.NaN;
  const day = text.slice(0, 10);
  // Date.parse rolls 30 February over into March; the API server refuses it.
  if (new Date(`${day}T00:00:00Z`).toISOString().slice(0, 10) !== day) return Number.NaN;
  const ms = Date.parse(text);
  return ms > FIRST_MS && ms < END_MS ? ms : Number.NaN;
}
