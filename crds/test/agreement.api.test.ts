/** The parser is never laxer than the API server: what the server refuses by its rules, files are refused for too. */
import { afterAll, beforeAll, expect, it } from "@jest/globals";
import { parseApiPolicy } from "@gatewarden/core/kinds/api-policy.ts";
import fc from "fast-check";
import { mutants } from "../../core/test/sections/mutate.ts";
import type { Cluster } from "../../e2e/cluster/driver.ts";
import { testCluster } from "../../e2e/cluster/shared.ts";
import { type Manifest, refusals } from "./admission.ts";
import { installCrds } from "./install.ts";

const START_LIMIT_MS = 15 * 60_000;
const CASES = 400;

let cluster: Cluster;
beforeAll(async () => {
  cluster = await testCluster();
  await installCrds(cluster);
}, START_LIMIT_MS);
afterAll(() => cluster.stop());

it("refuses every damaged section that the API server refuses", async () => {
  const seed = Number(process.env["SEED"] ?? Date.now());
  console.log(`seed ${String(seed)}`);
  const namespace = await cluster.createNamespace("agreement");
  const manifests = fc.sample(mutants, { numRuns: CASES, seed }).map(({ section, spec }, index): Manifest => ({
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiPolicy",
    metadata: { name: `case-${String(index)}`, namespace },
    // A second section, so that a null does not leave the policy without any.
    spec: {
      targetRefs: [{ kind: "Namespace" }],
      [section === "clientIP" ? "denylist" : "clientIP"]: OTHER[section] ?? { trustedHops: 1 },
      [section]: spec,
    },
  }));
  const said = await refusals(cluster, manifests);
  const lax = manifests.filter((one) => said.has(one.metadata.name) && parseApiPolicy(one).problems.length === 0);
  expect(lax.map((one) => [one["spec"], said.get(one.metadata.name)])).toEqual([]);
  // The damage is worth something only when neither verdict is rare.
  expect(said.size).toBeGreaterThan(CASES / 8);
  expect(said.size).toBeLessThan(CASES - CASES / 40);
});

const OTHER: Readonly<Record<string, unknown>> = { clientIP: { entries: [{ cidr: "10.0.0.0/8" }] } };
