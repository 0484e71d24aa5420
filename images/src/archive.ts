/**
 * A docker-archive (what `docker load` and `ctr images import` take): one uncompressed tar per layer, the image's configuration and a manifest
 * that names them. Same input, same bytes.
 */
import { createHash } from "node:crypto";
import { tar } from "./tar.ts";
import { complete, type Entry, text } from "./tree.ts";

export interface ImageSpec {
  /** `repository:tag`. */
  readonly name: string;
  /** Lowest first; a later layer may not replace a file of an earlier one. */
  readonly layers: readonly (readonly Entry[])[];
  readonly entrypoint: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** Numeric user that is not root: Kubernetes can only check a number. */
  readonly user: number;
  readonly workingDirectory?: string;
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** The archive's bytes. Throws where the processor has no name in images. */
export function archive(spec: ImageSpec): Buffer {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) throw new Error(`no image architecture for ${process.arch}`);
  complete(spec.layers.flat()); // refuses two files for one path
  const layers = spec.layers.map((entries) => {
    const content = tar(complete(entries));
    return { content, digest: sha256(content) };
  });
  const config = JSON.stringify({
    architecture,
    os: "linux",
    created: "1970-01-01T00:00:00Z",
    config: {
      User: `${String(spec.user)}:${String(spec.user)}`,
      Env: Object.entries(spec.environment ?? {}).map(([name, value]) => `${name}=${value}`),
      Entrypoint: spec.entrypoint,
      Cmd: spec.command ?? [],
      WorkingDir: spec.workingDirectory ?? "/",
      Labels: spec.labels ?? {},
    },
    rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => `sha256:${digest}`) },
  });
  const configFile = `${sha256(Buffer.from(config))}.json`;
  const files = layers.map(({ content, digest }) => ({ path: `${digest}.tar`, content }));
  const manifest = [{ Config: configFile, RepoTags: [spec.name], Layers: files.map(({ path }) => path) }];
  return tar([
    text("manifest.json", JSON.stringify(manifest)),
    text(configFile, config),
    ...files.map((each): Entry => ({ kind: "file", executable: false, ...each })),
  ]);
}

function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}
