/**
 * `node images/src/main.ts [--name REPOSITORY:TAG] [--out FOLDER]`: writes the operator's image as a docker-archive and its SBOM beside it, without
 * a container engine. The checkout must be built.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { operatorImage } from "./operator.ts";

const repository = join(import.meta.dirname, "..", "..");
const { version } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as { readonly version: string };
const { values } = parseArgs({
  options: {
    name: { type: "string", default: `gatewarden/operator:${version}` },
    out: { type: "string", default: join(repository, "images", "out") },
  },
});

const image = operatorImage(repository, values.name);
mkdirSync(values.out, { recursive: true });
for (const [file, content] of [
  ["operator.tar", image.archive],
  ["operator.cdx.json", Buffer.from(image.sbom)],
] as const) {
  writeFileSync(join(values.out, file), content);
  const digest = createHash("sha256").update(content).digest("hex");
  console.log(`${join(values.out, file)}  ${String(Math.round(content.length / 1024))} KiB  sha256:${digest}`);
}
console.log(`image ${values.name}: docker load --input FILE, or ctr -n k8s.io images import FILE`);
