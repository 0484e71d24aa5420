/** The real Envoy accepts what every golden case puts out. */
import { describe, expect, test } from "@jest/globals";
import { validate } from "../../../../e2e/envoy/process.ts";
import { goldenBootstraps, goldenCases } from "../../../test/golden.ts";

describe("authentication", () => {
  test.each(goldenCases(`${import.meta.dirname}/testdata`))("$name", async (one) => {
    const bootstraps = goldenBootstraps(one);
    expect(bootstraps.length).toBeGreaterThan(0);
    for (const bootstrap of bootstraps) {
      const { ok, message } = await validate(bootstrap);
      expect({ ok, message: ok ? "" : message }).toEqual({ ok: true, message: "" });
    }
  });
});
