/** Golden pairs of this folder's testdata (core/test/golden.ts). */
import { describe, expect, test } from "@jest/globals";
import { compareGolden, goldenCases } from "../../../test/golden.ts";

describe("authentication", () => {
  test.each(goldenCases(`${import.meta.dirname}/testdata`))("$name", (one) => {
    const { actual, expected } = compareGolden(one);
    expect(actual).toBe(expected);
  });
});
