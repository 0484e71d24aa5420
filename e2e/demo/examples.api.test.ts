import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { Cluster } from "../cluster/driver.ts";
import { untilEstablished } from "../cluster/established.ts";
import { readManifests as readFolder } from "../cluster/parts.ts";
import { testCluster } from "../cluster/shared.ts";
import { type KubeObject, readManifests } from "../harness/api.ts";
import { START_LIMIT_MS } from "../harness/harness.ts";
import { REPOSITORY } from "../harness/installation.ts";

const EXAMPLES = join(REPOSITORY, "examples");
const folders = readdirSync(EXAMPLES, { withFileTypes: true })
  // examples/gitops has a test of its own (scenarios/gitops.e2e.test.ts): it needs the tools' CRDs.
  .filter((entry) => entry.isDirectory() && entry.name !== "gitops")
  .map(({ name }) => name);

describe("the examples", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await testCluster();
    await cluster.apply(readFolder(join(REPOSITORY, "crds", "out")));
    await untilEstablished(cluster);
    await cluster.apply('{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}');
  }, START_LIMIT_MS);
  afterAll(() => cluster.stop());

  it.each(folders)(
    "%s: the API server accepts every object and adds nothing to a policy's or consumer's spec",
    async (folder) => {
      const files = readdirSync(join(EXAMPLES, folder)).filter((file) => file.endsWith(".yaml"));
      expect(files).not.toEqual([]);
      const given = files.flatMap((file) => readManifests(readFileSync(join(EXAMPLES, folder, file), "utf8")));
      const flags = ["--server-side", "--dry-run=server", "--validate=strict", "--output=json"];
      const output = await cluster.kubectl(["apply", ...flags, "-f", join(EXAMPLES, folder)]);
      const stored = JSON.parse(output) as KubeObject & { readonly items?: readonly KubeObject[] };
      const answered = stored.items ?? [stored];
      expect(answered).toHaveLength(given.length);
      for (const [index, { kind, ...object }] of given.entries()) {
        if (kind.startsWith("Api")) expect(answered[index]?.["spec"]).toEqual(object["spec"]);
      }
    },
  );
});
