/** What GitOps tools bring to the tests: their interpreters for health checks, and the CRDs of their objects, from their Go modules. */
import { join } from "node:path";
import type { Say } from "./cache.ts";
import { moduleManifests } from "./module-manifests.ts";
import { type Binary, ensureBinary } from "./parts.ts";

const GITOPS: Binary = { module: "gitops", program: "gitops", linkerFlags: "-s -w" };

/** Module, and the CRD in it. */
const CRDS = [
  ["github.com/argoproj/argo-cd/v3@v3.2.0", "manifests/crds/application-crd.yaml"],
  ["github.com/fluxcd/kustomize-controller@v1.6.0", "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml"],
] as const;

/** The program that judges an object by a Lua script of Argo CD or a CEL expression of Flux (go/gitops); its path. */
export async function gitOpsCommand(say: Say = () => undefined): Promise<string> {
  return join(await ensureBinary(GITOPS, say), GITOPS.program);
}

/** CRDs of Argo CD's Application and Flux's Kustomization, as one YAML stream. */
export function gitOpsCrds(say: Say = () => undefined): Promise<string> {
  return moduleManifests("gitops", CRDS, say);
}
