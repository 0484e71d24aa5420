/** The commands of a page of the documentation, so that a test runs what people read. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "../harness/installation.ts";

/** The `sh` blocks under a heading of the second level, in order. Throws where there is none. */
export function commandsOf(page: string, heading: string): readonly string[] {
  const text = readFileSync(join(REPOSITORY, page), "utf8");
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  const blocks = [...(section ?? "").matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = ""]) => block);
  if (blocks.length === 0) throw new Error(`${page} has no commands under "${heading}"`);
  return blocks;
}
