/** Puts our CRDs into a cluster and waits until they are served. */
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Cluster } from "../../e2e/cluster/driver.ts";

const OUT = fileURLToPath(new URL("../out/", import.meta.url));

export async function installCrds(cluster: Cluster): Promise<void> {
  const files = readdirSync(OUT).filter((file) => file.endsWith(".yaml"));
  await cluster.apply(files.map((file) => readFileSync(OUT + file, "utf8")).join("\n---\n"));
  for (const file of files) {
    const [group, plural] = file.replace(/\.yaml$/, "").split("_");
    const name = `${String(plural)}.${String(group)}`;
    await cluster.waitForCondition({ resource: "customresourcedefinitions", name }, "Established");
  }
}
