/** What every golden case puts out, judged by the real Envoy. */
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { validate } from "../../e2e/envoy/process.ts";
import { goldenBootstraps, goldenCases } from "./golden.ts";

test.each(goldenCases(join(import.meta.dirname, "../testdata")))("Envoy accepts $name", async (golden) => {
  for (const bootstrap of goldenBootstraps(golden)) expect(await validate(bootstrap)).toMatchObject({ ok: true });
});
