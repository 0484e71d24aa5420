/** Files of Go modules that are manifests, such as CRDs: the module proxy is where they can be had by version, checked against the checksum database. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { cached, contentHash, type Say } from "./cache.ts";
import { runCommand } from "./child-process.ts";
import { goCommand, readManifests } from "./parts.ts";

/**
 * One YAML stream of files, each given as module with version, and path in it.
 * @param name of the folder in the cache
 */
export async function moduleManifests(
  name: string,
  files: readonly (readonly [module: string, file: string])[],
  say: Say,
): Promise<string> {
  const make = async (directory: string): Promise<void> => {
    for (const [index, [module, file]] of files.entries()) {
      say(`downloading ${module} …`);
      const { stdout } = await runCommand(goCommand(), ["mod", "download", "-json", module]);
      const { Dir: source } = JSON.parse(stdout) as { readonly Dir: string };
      cpSync(join(source, file), join(directory, `${String(index)}.yaml`));
    }
  };
  return readManifests(await cached(`${name}-crds-${contentHash(...files.flat())}`, make, say));
}
