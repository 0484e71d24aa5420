/** Asks a real API server about many objects at once: one kubectl, one dry run, one answer per object. */
import type { Cluster } from "../../e2e/cluster/driver.ts";

export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly [field: string]: unknown;
}

/** What the server says against each refused object, by its name; accepted ones are not in it. */
export async function refusals(cluster: Cluster, manifests: readonly Manifest[]): Promise<ReadonlyMap<string, string>> {
  const stream = manifests.map((manifest) => JSON.stringify(manifest)).join("\n---\n");
  const args = ["create", "--dry-run=server", "--validate=false", "--output=name", "--filename=-"];
  const said = await cluster.kubectl(args, stream).then(
    () => "",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  const refused = new Map<string, string>();
  // One paragraph per object: `The ApiPolicy "name" is invalid: …`, its details on lines of their own when there are several.
  for (const paragraph of said.split(/^(?=The \w+ "|Error from server)/m)) {
    const name = /^The \w+ "([^"]+)" is invalid:/.exec(paragraph)?.[1];
    if (name !== undefined) refused.set(name, paragraph.trim());
    else if (paragraph.startsWith("Error from server")) throw new Error(paragraph);
  }
  return refused;
}

/** `spec.a.b[0]` of the parser as the server writes it: the key of a map list is the entry's, quotes are dropped. */
export function serverPath(path: string): string {
  return path.replace(/\["(.*?)"\]/g, "[$1]");
}
