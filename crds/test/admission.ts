/** Asks a real API server about many objects at once: one kubectl, one dry run, one answer per object. */
import type { Cluster } from "../../e2e/cluster/driver.ts";

export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly [field: string]: unknown;
}

/** What the server says against each refused object, by its name; accepted ones are not in it. */
export async function refusals(
  cluster: Cluster,
  manifests: readonly Manifest[],
  verb: "create" | "replace" = "create",
): Promise<ReadonlyMap<string, string>> {
  const stream = manifests.map((manifest) => `---\n${JSON.stringify(manifest)}\n`).join("");
  const args = [verb, "--dry-run=server", "--validate=false", "--output=name", "--filename=-"];
  const said = await cluster.kubectl(args, stream).then(
    () => "",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  const refused = new Map<string, string>();
  for (const answer of said.split("Error from server ").slice(1)) {
    const name = /^\(Invalid\): .* "([^"]+)" is invalid: /.exec(answer)?.[1];
    if (name === undefined) throw new Error(`not an answer about one object: ${answer}`);
    refused.set(name, answer.trim());
  }
  if (said !== "" && refused.size === 0) throw new Error(said);
  return refused;
}
