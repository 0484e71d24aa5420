import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { archive } from "../src/archive.ts";
import { productionPackages } from "../src/packages.ts";
import { tar } from "../src/tar.ts";
import { complete, type Entry, library, text } from "../src/tree.ts";

const REPOSITORY = join(import.meta.dirname, "..", "..");
const LONG = `${"folder/".repeat(20)}file`;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "gatewarden-images-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What the system's tar says of an archive. */
function listed(content: Buffer): readonly string[] {
  const file = join(directory, "listed.tar");
  writeFileSync(file, content);
  const args = ["--list", "--verbose", "--numeric-owner", "--utc", "--full-time", "--file", file];
  const { status, stdout, stderr } = spawnSync("tar", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return stdout
    .trim()
    .split("\n")
    .map((line) => line.replace(/\s+/g, " "));
}

describe("tar", () => {
  const entries: readonly Entry[] = [
    text("b/note", "hello"),
    { kind: "file", path: "a/run", content: Buffer.from("#!"), executable: true },
    { kind: "link", path: "a/again", target: "run" },
    text(LONG, "x"),
  ];

  it("is read by tar, with root as owner and no time", () => {
    const lines = listed(tar(complete(entries)));
    expect(lines).toContain("-rw-r--r-- 0/0 5 1970-01-01 00:00:00 b/note");
    expect(lines).toContain("-rwxr-xr-x 0/0 2 1970-01-01 00:00:00 a/run");
    expect(lines).toContain("lrwxr-xr-x 0/0 0 1970-01-01 00:00:00 a/again -> run");
    expect(lines).toContain("drwxr-xr-x 0/0 0 1970-01-01 00:00:00 a/");
    expect(lines.some((line) => line.endsWith(LONG))).toBe(true);
  });

  it("does not depend on the order of the entries", () => {
    expect(tar(complete([...entries].reverse())).equals(tar(complete(entries)))).toBe(true);
  });

  it("refuses what it cannot hold, instead of cutting it", () => {
    expect(() => tar([text("x".repeat(101), "")])).toThrow(/too long/);
    expect(() => tar([{ kind: "link", path: "a", target: "x".repeat(101) }])).toThrow(/too long/);
  });

  it("refuses two files for one path", () => {
    expect(() => complete([text("a", "1"), text("a", "2")])).toThrow("/a");
  });
});

describe("library", () => {
  it("brings the links that lead to it", () => {
    writeFileSync(join(directory, "libx.so.1.2"), "x");
    symlinkSync("libx.so.1.2", join(directory, "libx.so.1"));
    const names = library(join(directory, "libx.so.1")).map(({ kind, path }) => [kind, path.split("/").at(-1)]);
    expect(names).toEqual([
      ["link", "libx.so.1"],
      ["file", "libx.so.1.2"],
    ]);
  });
});

describe("archive", () => {
  const spec = { name: "shop/orders:1", layers: [[text("a", "1")], [text("b", "2")]], entrypoint: ["/a"], user: 65532 };

  it("names its layers by their content, and the configuration by its own", () => {
    const content = archive(spec);
    const file = join(directory, "image.tar");
    writeFileSync(file, content);
    const read = (path: string): Buffer => spawnSync("tar", ["--extract", "--to-stdout", "--file", file, path]).stdout;
    const sum = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
    const [manifest] = JSON.parse(read("manifest.json").toString()) as [
      { readonly Config: string; readonly RepoTags: readonly string[]; readonly Layers: readonly string[] },
    ];
    expect(manifest.RepoTags).toEqual(["shop/orders:1"]);
    const configuration = read(manifest.Config);
    expect(manifest.Config).toBe(`${sum(configuration)}.json`);
    const { config, rootfs } = JSON.parse(configuration.toString()) as {
      readonly config: { readonly User: string; readonly Entrypoint: readonly string[] };
      readonly rootfs: { readonly diff_ids: readonly string[] };
    };
    expect(config.User).toBe("65532:65532");
    expect(config.Entrypoint).toEqual(["/a"]);
    expect(rootfs.diff_ids).toEqual(manifest.Layers.map((layer) => `sha256:${sum(read(layer))}`));
  });

  it("is the same each time, and another for another file", () => {
    expect(archive(spec).equals(archive(spec))).toBe(true);
    expect(archive({ ...spec, layers: [[text("a", "2")]] }).equals(archive(spec))).toBe(false);
  });
});

describe("production packages", () => {
  const packages = productionPackages(REPOSITORY, "cli");
  const names = packages.map(({ name }) => name);

  it("are the workspaces that run and what they need", () => {
    expect(packages.filter(({ workspace }) => workspace).map(({ path }) => path)).toEqual([
      "cli",
      "core",
      "operator",
      "xds",
    ]);
    expect(names).toEqual(
      expect.arrayContaining(["@grpc/grpc-js", "@kubernetes/client-node", "undici", "yaml", "zod"]),
    );
  });

  it("hold nothing that is only for development", () => {
    for (const name of [
      "typescript",
      "jest",
      "eslint",
      "prettier",
      "@types/node",
      "@gatewarden/crds",
      "@gatewarden/e2e",
    ])
      expect(names).not.toContain(name);
  });
});
