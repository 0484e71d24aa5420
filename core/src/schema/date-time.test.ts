import { expect, test } from "@jest/globals";
import { dateTimeMs } from "./date-time.ts";

test.each([
  ["2027-01-01T00:00:00Z", Date.UTC(2027, 0, 1)],
  ["2027-01-01T01:30:00.5+01:30", Date.UTC(2027, 0, 1) + 500],
  ["9999-12-31T23:59:59Z", Date.UTC(9999, 11, 31, 23, 59, 59)],
])("%s is a point in time", (text, ms) => {
  expect(dateTimeMs(text)).toBe(ms);
});

test.each([
  "2027-02-30T00:00:00Z",
  "2027-01-01T00:00:00",
  "9999-12-31T23:59:59-23:59", // in UTC it is the year 10000
  "0001-01-01T00:00:00Z",
  "0001-01-01T00:00:00+00:01",
  "0000-06-01T00:00:00Z",
])("%s is none", (text) => {
  expect(dateTimeMs(text)).toBeNaN();
});
