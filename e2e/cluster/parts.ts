/**
 * The built parts of the test cluster: the control-plane binaries from the Go modules beside this file, and the CRDs that
 * come with those modules' dependencies. Everything ends up in the cache (cache.ts).
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cached, contentHash, type Say, withHeartbeat } from "./cache.ts";
import { runCommand } from "./child-process.ts";
import { findCommand } from "./system-package.ts";

const KUBERNETES_VERSION = "v1.34.4";

export interface Parts {
  /** First argument: `etcd`, `kube-apiserver`, `kube-controller-manager` or `kubectl`. */
  readonly controlPlane: string;
  readonly certManager: string;
  /** The kubectl for machines that have none (see `kubectlCommand`). */
  readonly kubectl: string;
  /** Folders of CRD files. */
  readonly gatewayApiCrds: string;
  readonly certManagerCrds: string;
}

export interface Binary {
  /** Folder below `go/` and the name of the program that it makes. */
  readonly module: string;
  readonly program: string;
  readonly linkerFlags: string;
  /** The package of a dependency that is built, where the folder has no main.go of its own. */
  readonly package?: string;
  /** Adds to the folder what belongs to the program. */
  readonly finish?: (source: string, directory: string) => Promise<void> | void;
}

const VERSION_PACKAGE = "k8s.io/component-base/version";
const [, MAJOR = "", MINOR = ""] = /^v(\d+)\.(\d+)/.exec(KUBERNETES_VERSION) ?? [];
const KUBERNETES: Binary = {
  module: "kubernetes",
  program: "control-plane",
  // Without these the API server calls itself v0.0.0-master, and every client that asks for a lowest version refuses it.
  linkerFlags: [
    "-s -w",
    `-X ${VERSION_PACKAGE}.gitVersion=${KUBERNETES_VERSION}`,
    `-X ${VERSION_PACKAGE}.gitMajor=${MAJOR}`,
    `-X ${VERSION_PACKAGE}.gitMinor=${MINOR}`,
  ].join(" "),
  finish: (_, directory) => writeKubectl(join(directory, "kubectl")),
};
const CERT_MANAGER: Binary = {
  module: "certmanager",
  program: "cert-manager",
  linkerFlags: "-s -w",
  finish: (source, directory) => copyCrds(source, join(directory, "crds")),
};
const HELM: Binary = {
  module: "helm",
  program: "helm",
  linkerFlags: "-s -w -X helm.sh/helm/v3/internal/version.version=v3.22.0",
  package: "helm.sh/helm/v3/cmd/helm",
};
/** kubelet, kube-proxy and kube-scheduler, with the version of the control plane. */
export const NODE: Binary = { module: "node", program: "node", linkerFlags: KUBERNETES.linkerFlags };
export const PAUSE: Binary = { module: "pause", program: "pause", linkerFlags: "-s -w" };

/** Finds or builds every part. The first build takes minutes; throws when Go is missing or a build fails. */
export async function ensureParts(say: Say): Promise<Parts> {
  // One after the other: each build fills all processors by itself.
  const kubernetes = await ensureBinary(KUBERNETES, say);
  const certManager = await ensureBinary(CERT_MANAGER, say);
  return {
    controlPlane: join(kubernetes, KUBERNETES.program),
    certManager: join(certManager, CERT_MANAGER.program),
    kubectl: join(kubernetes, "kubectl"),
    gatewayApiCrds: join(certManager, "crds", "gateway-api"),
    certManagerCrds: join(certManager, "crds", "cert-manager"),
  };
}

/** The kubectl on PATH, else the built one. */
export async function kubectlCommand(say: Say = () => undefined): Promise<string> {
  return findCommand("kubectl") ?? (await ensureParts(say)).kubectl;
}

/** The texts of the CRD files in a folder, as one YAML stream. */
export function readManifests(directory: string): string {
  return readdirSync(directory)
    .filter((file) => file.endsWith(".yaml"))
    .sort()
    .map((file) => readFileSync(join(directory, file), "utf8"))
    .join("\n---\n");
}

/** Finds or builds the helm command; its path. */
export async function helmCommand(say: Say = () => undefined): Promise<string> {
  return join(await ensureBinary(HELM, say), HELM.program);
}

/** Finds or builds a program from a Go module beside this file; the folder of the cache that it is in. */
export async function ensureBinary(binary: Binary, say: Say): Promise<string> {
  const source = join(import.meta.dirname, "go", binary.module);
  const read = (file: string): Buffer | string =>
    existsSync(join(source, file)) ? readFileSync(join(source, file)) : "";
  const sources = readdirSync(source).filter((file) => file.endsWith(".go"));
  const programs = binary.package === undefined ? sources.sort().map(read) : [binary.package];
  const hash = contentHash(read("go.mod"), read("go.sum"), ...programs, binary.linkerFlags, process.arch);
  const make = async (directory: string): Promise<void> => {
    await build(binary, source, join(directory, binary.program), say);
    await binary.finish?.(source, directory);
  };
  return cached(`${binary.module}-${hash}`, make, say);
}

async function build(binary: Binary, source: string, output: string, say: Say): Promise<void> {
  const go = goCommand();
  const title = `building ${binary.program} with Go (minutes when nothing is cached)`;
  await withHeartbeat(title, say, async () => {
    const args = ["-n", "10", go, "build", "-trimpath", "-ldflags", binary.linkerFlags, "-o", output];
    // Without cgo no C compiler is needed and the binary runs on any Linux.
    await runCommand("nice", [...args, binary.package ?? "."], { cwd: source, env: { CGO_ENABLED: "0" } });
    if (statSync(output).size === 0) throw new Error(`${output} is empty`);
  });
}

/** The control-plane binary under the name that people and scripts call. */
function writeKubectl(file: string): void {
  const script = `#!/bin/sh\nexec "$(dirname "$0")/${KUBERNETES.program}" kubectl "$@"\n`;
  writeFileSync(file, script, { mode: 0o755 });
}

async function copyCrds(source: string, target: string): Promise<void> {
  const sets = [
    { name: "gateway-api", module: "sigs.k8s.io/gateway-api", folder: "config/crd/standard" },
    { name: "cert-manager", module: "github.com/cert-manager/cert-manager", folder: "deploy/crds" },
  ];
  mkdirSync(target);
  for (const { name, module, folder } of sets) {
    // Inside the module's folder, so the version is go.mod's and the content is checked against go.sum.
    const { stdout } = await runCommand(goCommand(), ["mod", "download", "-json", module], { cwd: source });
    const { Dir: directory } = JSON.parse(stdout) as { readonly Dir: string };
    const draft = join(target, `.${name}`);
    cpSync(join(directory, folder), draft, { recursive: true, filter: (path) => !path.endsWith(".md") });
    // The module cache is read-only; a copy that keeps those permissions could not be removed with the cache.
    await runCommand("chmod", ["-R", "u+w", draft]);
    renameSync(draft, join(target, name));
  }
}

/** The go command. Throws where there is none. */
export function goCommand(): string {
  const go = findCommand("go", ["/usr/local/go/bin"]);
  if (go === undefined)
    throw new Error("Go 1.26 or newer is needed to build the test control plane: https://go.dev/dl/");
  return go;
}
