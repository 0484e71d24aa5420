import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { Cluster } from "../cluster/driver.ts";
import { untilEstablished } from "../cluster/established.ts";
import { readManifests as readFolder } from "../cluster/parts.ts";
import { testCluster } from "../cluster/shared.ts";
import { START_LIMIT_MS } from "../harness/harness.ts";
import { REPOSITORY } from "../harness/installation.ts";

interface Sample {
  readonly title: string;
  readonly yaml: string;
}

const BLOCK = /^```yaml\n(.*?)^```$/gms;

/** The YAML blocks of the README and the pages below docs/ that are objects, or specs of policies; others are files of our own tools. */
const samples: readonly Sample[] = [
  "README.md",
  ...readdirSync(join(REPOSITORY, "docs"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => join("docs", file)),
].flatMap((file) =>
  [...readFileSync(join(REPOSITORY, file), "utf8").matchAll(BLOCK)].flatMap(([, yaml = ""], index) =>
    /^(apiVersion|spec):/m.test(yaml) ? [{ title: `${file}, block ${String(index + 1)}`, yaml }] : [],
  ),
);

/** Pages about one section show only a policy's `spec`, with `targetRefs` where they matter. */
function wholeObject(yaml: string): string {
  if (!yaml.startsWith("spec:")) return yaml;
  const target = yaml.includes("targetRefs:")
    ? ""
    : "  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]\n";
  const head = "apiVersion: gatewarden.io/v1alpha1\nkind: ApiPolicy\nmetadata: {name: sample, namespace: shop}\n";
  return yaml.replace(/^spec:\n/, `${head}spec:\n${target}`);
}

describe("the manifests in the documentation", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await testCluster();
    await cluster.apply(readFolder(join(REPOSITORY, "crds", "out")));
    await untilEstablished(cluster);
    for (const name of ["shop", "infra", "gatewarden-system"])
      await cluster.apply(JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name } }));
  }, START_LIMIT_MS);
  afterAll(() => cluster.stop());

  it("are found", () => {
    expect(samples.length).toBeGreaterThan(5);
  });

  it.each(samples)("$title is accepted by the API server as it stands", async ({ yaml }) => {
    const flags = ["--server-side", "--dry-run=server", "--validate=strict"];
    await cluster.kubectl(["apply", ...flags, "-f", "-"], wholeObject(yaml));
  });
});
