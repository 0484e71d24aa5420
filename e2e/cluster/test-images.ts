/** Images that only tests need, as docker-archives in the cache: pause, Envoy from the binary of the tests, an upstream, cert-manager. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { archive, type ImageSpec } from "../../images/src/archive.ts";
import { runtime, USER } from "../../images/src/runtime.ts";
import { file, text } from "../../images/src/tree.ts";
import { ensureEnvoy } from "../envoy/binary.ts";
import { cached, contentHash, type Say } from "./cache.ts";
import type { NodeParts } from "./node-parts.ts";
import type { Parts } from "./parts.ts";

export interface ImageFile {
  /** As a pod names it. */
  readonly name: string;
  readonly file: string;
}

/** What a proxy's pod runs: the same name that the operator and the chart have as default, so that no test needs to say another. */
export const ENVOY_IMAGE = "docker.io/envoyproxy/envoy:distroless-v1.40.0";
export const ECHO_IMAGE = "gatewarden-test/echo:1";
/** The upstream that docs/journey.md names. */
export const STAND_IN_IMAGE = "docker.io/ealen/echo-server:0.9.2";
export const CERT_MANAGER_IMAGE = "gatewarden-test/cert-manager:1";
const PAUSE_IMAGE = "docker.io/gatewarden-test/pause:1";
const REPOSITORY = join(import.meta.dirname, "..", "..");

export function pauseImage({ pause }: NodeParts, say: Say): Promise<ImageFile> {
  const spec = { layers: [runtime("pause", pause)], entrypoint: ["/pause"] };
  return image(PAUSE_IMAGE, [pause], () => spec, say);
}

export async function envoyImage(say: Say): Promise<ImageFile> {
  const envoy = await ensureEnvoy(say);
  const path = "usr/local/bin/envoy";
  return image(ENVOY_IMAGE, [envoy], () => ({ layers: [runtime(path, envoy)], entrypoint: [`/${path}`] }), say);
}

export function certManagerImage({ certManager }: Parts, say: Say): Promise<ImageFile> {
  const spec = { layers: [runtime("cert-manager", certManager)], entrypoint: ["/cert-manager"] };
  return image(CERT_MANAGER_IMAGE, [certManager], () => spec, say);
}

/** e2e/upstream/echo.ts on port 8080; its name is the pod's. `name` is what pods call the image. */
export function echoImage(say: Say, name = ECHO_IMAGE): Promise<ImageFile> {
  const node = join(REPOSITORY, "node_modules", "node", "bin", "node");
  const source = join(import.meta.dirname, "..", "upstream", "echo.ts");
  const main = [
    `import { startEcho } from "./echo.ts";`,
    `import { hostname } from "node:os";`,
    `await startEcho({ name: hostname(), address: "0.0.0.0", port: 8080 });`,
    // The first process of a container has no default handling of signals.
    `process.on("SIGTERM", () => process.exit(0));`,
  ].join("\n");
  const spec = (): Omit<ImageSpec, "name" | "user"> => ({
    layers: [
      runtime("nodejs/bin/node", node),
      [file("app/echo.ts", source), text("app/main.ts", main), text("app/package.json", `{"type":"module"}`)],
    ],
    entrypoint: ["/nodejs/bin/node", "/app/main.ts"],
  });
  return image(name, [node, source, main], spec, say);
}

async function image(
  name: string,
  sources: readonly string[],
  spec: () => Omit<ImageSpec, "name" | "user">,
  say: Say,
): Promise<ImageFile> {
  // Built binaries have their content's hash in their path, or a version; sources are short.
  const contents = sources.map((source) => (source.endsWith(".ts") ? readFileSync(source, "utf8") : source));
  const how = readFileSync(join(REPOSITORY, "images", "src", "archive.ts"), "utf8");
  const folder = `image-${name.replace(/.*\//, "").replace(":", "-")}-${contentHash(name, how, ...contents)}`;
  const directory = await cached(
    folder,
    (draft) => {
      writeFileSync(join(draft, "image.tar"), archive({ ...spec(), name, user: USER }));
      return Promise.resolve();
    },
    say,
  );
  return { name, file: join(directory, "image.tar") };
}
