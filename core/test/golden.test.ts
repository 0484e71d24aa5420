/** Golden pairs of the pipeline: objects in, statuses and Envoy's configuration out (`core/testdata`). */
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { compareGolden, goldenCases } from "./golden.ts";

const cases = goldenCases(join(import.meta.dirname, "../testdata"));

test("there are cases", () => expect(cases.length).toBeGreaterThan(0));

describe.each(cases)("$name", (golden) => {
  test("comes out as it is written down", () => {
    const { actual, expected } = compareGolden(golden);
    expect(actual).toBe(expected);
  });
});
