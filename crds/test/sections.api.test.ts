/** The tables of accepted and refused sections, which the parser passes too, on a real API server. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { ACCEPTED } from "../../core/test/sections/accepted.ts";
import { REFUSED } from "../../core/test/sections/refused.ts";
import type { Cluster } from "../../e2e/cluster/driver.ts";
import { testCluster } from "../../e2e/cluster/shared.ts";
import { type Manifest, refusals } from "./admission.ts";
import { installCrds } from "./install.ts";
import { MEND, names } from "./mend.ts";

const START_LIMIT_MS = 15 * 60_000;

describe("sections of an ApiPolicy on the API server", () => {
  let cluster: Cluster;
  let said: ReadonlyMap<string, string>;

  const acceptedName = (index: number): string => `accepted-${String(index)}`;
  const refusedName = (index: number): string => `refused-${String(index)}`;

  beforeAll(async () => {
    cluster = await testCluster();
    await installCrds(cluster);
    const namespace = await cluster.createNamespace("sections");
    const policy = (name: string, section: string, spec: unknown): Manifest => ({
      apiVersion: "gatewarden.io/v1alpha1",
      kind: "ApiPolicy",
      metadata: { name, namespace },
      spec: {
        targetRefs: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "orders" }],
        [section]: spec,
      },
    });
    said = await refusals(cluster, [
      ...ACCEPTED.map(([section, , spec], index) => policy(acceptedName(index), section, spec)),
      ...REFUSED.map(([section, , spec], index) => policy(refusedName(index), section, spec)),
    ]);
  }, START_LIMIT_MS);
  afterAll(() => cluster.stop());

  it.each(ACCEPTED.map(([section, what], index) => [section, what, acceptedName(index)] as const))(
    "takes %s with %s",
    (_section, _what, name) => {
      expect(said.get(name)).toBeUndefined();
    },
  );

  const admitted = REFUSED.flatMap(([section, what, , , , mark], index) =>
    mark === "admitted" ? [[section, what, refusedName(index)] as const] : [],
  );
  it.each(admitted)("lets %s with %s through, for the status to say", (_section, _what, name) => {
    expect(said.get(name)).toBeUndefined();
  });

  const refused = REFUSED.flatMap(([section, what, , path, , mark], index) =>
    mark === undefined ? [[section, what, path, refusedName(index)] as const] : [],
  );
  it.each(refused)("refuses %s with %s, naming the field and the mend", (_section, _what, path, name) => {
    const text = said.get(name) ?? "was accepted";
    if (!names(text, path)) throw new Error(`${path} is not named: ${text}`);
    expect(text).toMatch(MEND);
  });
});
