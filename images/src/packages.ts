/** The npm packages that run in production, found as Node finds them: from package-lock.json, starting at one workspace. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface InstalledPackage {
  /** Folder relative to the repository: `node_modules/zod`, or `core` for a workspace. */
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly workspace: boolean;
  /** Subresource integrity of its archive; workspaces have none. */
  readonly integrity: string | undefined;
}

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly integrity?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** `workspace` and everything that it needs, in the order of their paths. Throws where the lock file does not have one. */
export function productionPackages(repository: string, workspace: string): readonly InstalledPackage[] {
  const lock = JSON.parse(readFileSync(join(repository, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, LockedPackage>>;
  };
  const found = new Map<string, InstalledPackage>();
  const visit = (path: string): void => {
    const locked = lock.packages[path];
    if (locked === undefined) throw new Error(`package-lock.json has no ${path}`);
    if (locked.link === true) return visit(locked.resolved ?? "");
    if (found.has(path)) return;
    const ofWorkspace = !path.includes("node_modules/");
    const named = JSON.parse(readFileSync(join(repository, path, "package.json"), "utf8")) as { readonly name: string };
    found.set(path, {
      path,
      name: named.name,
      version: locked.version ?? "0.0.0",
      workspace: ofWorkspace,
      integrity: locked.integrity,
    });
    for (const name of Object.keys(locked.dependencies ?? {})) {
      const needed = resolve(lock.packages, path, name);
      if (needed === undefined) throw new Error(`package-lock.json: ${path} needs ${name}, which is not installed`);
      // Types are for compilers.
      if (!name.startsWith("@types/")) visit(needed);
    }
  };
  visit(workspace);
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Where Node finds `name` from within `path`: its own node_modules, then those above. */
function resolve(packages: Readonly<Record<string, LockedPackage>>, path: string, name: string): string | undefined {
  for (let from = path; ; from = dirname(from)) {
    if (!from.endsWith("node_modules")) {
      const candidate = from === "." ? `node_modules/${name}` : `${from}/node_modules/${name}`;
      if (packages[candidate] !== undefined) return candidate;
    }
    if (from === ".") return undefined;
  }
}
