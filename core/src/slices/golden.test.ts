/** Golden pairs of the slices (core/test/golden.ts): each folder `<section>/testdata/<case>`. */
import { describe, expect, test } from "@jest/globals";
import { compareGolden, goldenCases } from "../../test/golden.ts";

describe.each(["allowlist", "authorization", "clientIP", "logging", "mtls", "rateLimit", "transport"])(
  "%s",
  (section) => {
    test.each(goldenCases(`${import.meta.dirname}/${section}/testdata`))("$name", (one) => {
      const { actual, expected } = compareGolden(one);
      expect(actual).toBe(expected);
    });
  },
);
