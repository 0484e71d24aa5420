/** The operator's image: Node 24, the built workspaces and the npm packages that they need. No shell, no npm, no compiler. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { archive } from "./archive.ts";
import { type InstalledPackage, productionPackages } from "./packages.ts";
import { librariesOf, runtime, USER } from "./runtime.ts";
import { sbom } from "./sbom.ts";
import { type Entry, file, folder } from "./tree.ts";

const NODE = "nodejs/bin/node";
/** Where the program starts, and the workspace that has everything else behind it. */
const WORKSPACE = "cli";

export interface BuiltImage {
  readonly archive: Buffer;
  /** CycloneDX, JSON. */
  readonly sbom: string;
}

/** From a built checkout (`npm run build`). Throws where something is missing. */
export function operatorImage(repository: string, name: string): BuiltImage {
  const node = join(repository, "node_modules", "node", "bin", "node");
  if (!existsSync(node)) throw new Error("node_modules has no Node: npm ci");
  const packages = productionPackages(repository, WORKSPACE);
  const { version } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as {
    readonly version: string;
  };
  const nodeVersion = spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim().slice(1);
  return {
    archive: archive({
      name,
      // What changes seldom below what changes with every build.
      layers: [runtime(NODE, node), modules(repository, packages), workspaces(repository, packages)],
      entrypoint: [`/${NODE}`, "--disable-warning=ExperimentalWarning", `/app/${WORKSPACE}/bin/gatewarden.js`],
      command: ["operator"],
      environment: { NODE_ENV: "production" },
      labels: { "org.opencontainers.image.title": "gatewarden", "org.opencontainers.image.version": version },
      user: USER,
      workingDirectory: "/app",
    }),
    sbom: sbom({ repository, version, nodeVersion, packages, libraries: librariesOf(node) }),
  };
}

function modules(repository: string, packages: readonly InstalledPackage[]): readonly Entry[] {
  return packages
    .filter(({ workspace }) => !workspace)
    .flatMap(({ path }) => folder(`app/${path}`, join(repository, path), keptOfPackage));
}

/** Without what only compilers and debuggers read, and without packages inside it: each comes by itself, where it is needed. */
function keptOfPackage(path: string): boolean {
  if (path.startsWith("node_modules/")) return false;
  return !/\.(d\.[cm]?ts|[cm]?ts|map|flow|tsbuildinfo)$|(^|\/)(test|tests|__tests__|docs|\.github)\//.test(path);
}

function workspaces(repository: string, packages: readonly InstalledPackage[]): readonly Entry[] {
  return packages
    .filter(({ workspace }) => workspace)
    .flatMap(({ path, name }): readonly Entry[] => {
      const source = join(repository, path);
      if (!existsSync(join(source, "dist"))) throw new Error(`${path} is not built: npm run build`);
      const depth = "../".repeat(name.split("/").length);
      return [
        file(`app/${path}/package.json`, join(source, "package.json")),
        ...folder(`app/${path}/dist`, join(source, "dist"), keptOfPackage),
        ...["bin", "proto"]
          .filter((extra) => existsSync(join(source, extra)))
          .flatMap((extra) => folder(`app/${path}/${extra}`, join(source, extra), (below) => /\.(js|gz)$/.test(below))),
        { kind: "link", path: `app/node_modules/${name}`, target: `${depth}${path}` },
      ];
    });
}
