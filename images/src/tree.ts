/** The files of an image before they are packed: paths without a leading slash, and nothing of the machine that builds (no times, no owners). */
import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";

export type Entry =
  | { readonly kind: "file"; readonly path: string; readonly content: Buffer; readonly executable: boolean }
  | { readonly kind: "link"; readonly path: string; readonly target: string }
  | { readonly kind: "folder"; readonly path: string };

/** A text file. */
export function text(path: string, content: string): Entry {
  return { kind: "file", path, content: Buffer.from(content), executable: false };
}

/** One file of this machine, whatever links lead to it, as `path`. */
export function file(path: string, source: string, executable = false): Entry {
  return { kind: "file", path, content: readFileSync(realpathSync(source)), executable };
}

/** Everything below `source` that `keep` (by path relative to it) says, as `path`. Links are followed: an image is complete in itself. */
export function folder(path: string, source: string, keep: (relative: string) => boolean): readonly Entry[] {
  const walk = (relative: string): readonly Entry[] =>
    readdirSync(join(source, relative))
      .sort()
      .flatMap((name) => {
        const below = relative === "" ? name : `${relative}/${name}`;
        const status = lstatSync(realpathSync(join(source, below)));
        if (status.isDirectory()) return walk(below);
        return keep(below) ? [file(`${path}/${below}`, join(source, below))] : [];
      });
  return walk("");
}

/** A shared library under its own name and, where that is a link, what it leads to, so that the loader finds it as on this machine. */
export function library(source: string): readonly Entry[] {
  const path = source.slice(1);
  if (!lstatSync(source).isSymbolicLink()) return [file(path, source, true)];
  const target = readlinkSync(source);
  const real = target.startsWith("/") ? target : join(dirname(source), target);
  return [{ kind: "link", path, target }, ...library(real)];
}

/** The entries once each, with the folders above them, in the order of their paths. Throws where two entries claim a path. */
export function complete(entries: readonly Entry[]): readonly Entry[] {
  const byPath = new Map<string, Entry>();
  for (const entry of entries) {
    const known = byPath.get(entry.path);
    if (known !== undefined && !same(known, entry)) throw new Error(`two files for /${entry.path} of an image`);
    byPath.set(entry.path, entry);
    for (let above = dirname(entry.path); above !== "."; above = dirname(above)) {
      if (!byPath.has(above)) byPath.set(above, { kind: "folder", path: above });
    }
  }
  return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function same(a: Entry, b: Entry): boolean {
  if (a.kind === "file") return b.kind === "file" && a.content.equals(b.content);
  return a.kind === b.kind && (a.kind !== "link" || (b as typeof a).target === a.target);
}
