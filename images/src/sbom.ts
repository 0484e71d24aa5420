/** What is in the operator's image, as CycloneDX 1.6: npm packages with the hashes of the lock file, Node, and Debian's libraries. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import type { InstalledPackage } from "./packages.ts";

export interface SbomInput {
  readonly repository: string;
  readonly version: string;
  readonly nodeVersion: string;
  readonly packages: readonly InstalledPackage[];
  readonly libraries: readonly string[];
}

/** JSON text; a function of the input: its serial number is a hash, and it has no time of making. */
export function sbom(input: SbomInput): string {
  const npm = input.packages.map((each) => npmComponent(input.repository, each));
  const node = component("nodejs", input.nodeVersion, `pkg:generic/nodejs@${input.nodeVersion}`, "MIT");
  const components = [...npm, node, ...debianComponents(input.libraries)].sort((a, b) =>
    a["bom-ref"] < b["bom-ref"] ? -1 : 1,
  );
  const digest = createHash("sha256").update(JSON.stringify(components)).digest("hex");
  const uuid = [digest.slice(0, 8), digest.slice(8, 12), `5${digest.slice(13, 16)}`, `8${digest.slice(17, 20)}`];
  const document = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${[...uuid, digest.slice(20, 32)].join("-")}`,
    version: 1,
    metadata: {
      component: {
        type: "container",
        "bom-ref": "gatewarden-operator",
        name: "gatewarden/operator",
        version: input.version,
      },
    },
    components,
  };
  return `${JSON.stringify(document, null, 1)}\n`;
}

interface Component {
  readonly type: "library";
  readonly "bom-ref": string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses?: readonly { readonly expression?: string; readonly license?: { readonly name: string } }[];
}

function component(name: string, version: string, purl: string, license: string | undefined): Component {
  const licenses = license === undefined ? {} : { licenses: [licenseEntry(license)] };
  return { type: "library", "bom-ref": purl, name, version, purl, ...licenses };
}

/** An SPDX expression where it looks like one; free text otherwise. */
function licenseEntry(license: string): NonNullable<Component["licenses"]>[number] {
  return /^[A-Za-z0-9.+()\- ]+$/.test(license) ? { expression: license } : { license: { name: license } };
}

function npmComponent(repository: string, { path, name, version, integrity }: InstalledPackage): Component {
  const manifest = JSON.parse(readFileSync(join(repository, path, "package.json"), "utf8")) as {
    readonly license?: unknown;
  };
  const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  const license = typeof manifest.license === "string" ? manifest.license : undefined;
  const made = component(name, version, purl, license);
  const [algorithm, base64] = integrity?.split("-") ?? [];
  if (algorithm !== "sha512" || base64 === undefined) return made;
  return { ...made, hashes: [{ alg: "SHA-512", content: Buffer.from(base64, "base64").toString("hex") }] };
}

/** The Debian packages that the libraries come from; on another system each library stands for itself. */
function debianComponents(libraries: readonly string[]): readonly Component[] {
  const owners = new Map<string, Component>();
  for (const path of libraries) {
    const real = realpathSync(path);
    // Debian 12 has its libraries in /usr/lib and dpkg still knows some of them as /lib.
    const owner = ownerOf(real) ?? ownerOf(real.replace(/^\/usr/, "")) ?? ownerOf(path);
    if (owner === undefined) {
      const digest = createHash("sha256").update(readFileSync(real)).digest("hex");
      const name = real.slice(real.lastIndexOf("/") + 1);
      owners.set(real, {
        ...component(name, digest.slice(0, 12), `pkg:generic/${name}?checksum=sha256:${digest}`, undefined),
        hashes: [{ alg: "SHA-256", content: digest }],
      });
      continue;
    }
    const [name, version] = owner;
    owners.set(name, component(name, version, `pkg:deb/debian/${name}@${encodeURIComponent(version)}`, undefined));
  }
  return [...owners.values()];
}

function ownerOf(path: string): readonly [string, string] | undefined {
  const found = spawnSync("dpkg-query", ["--search", path], { encoding: "utf8" });
  const name = found.status === 0 ? /^([^:,\s]+)/.exec(found.stdout)?.[1] : undefined;
  if (name === undefined) return undefined;
  const shown = spawnSync("dpkg-query", ["--show", "--showformat=${Version}\n", name], { encoding: "utf8" });
  return [name, shown.stdout.split("\n")[0] ?? ""];
}
