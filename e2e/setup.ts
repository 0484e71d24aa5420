/** `node --conditions=source e2e/setup.ts`: builds and downloads everything that the tests and the demo start. */
import { cacheRoot } from "./cluster/cache.ts";
import { gitOpsCommand, gitOpsCrds } from "./cluster/gitops.ts";
import { monitoringCrds, prometheusCommand } from "./cluster/monitoring.ts";
import { ensureNodeParts, SKIP_NODE_VARIABLE, whyNoNode } from "./cluster/node-parts.ts";
import { ensureParts, helmCommand, kubectlCommand } from "./cluster/parts.ts";
import { ensureEnvoy } from "./envoy/binary.ts";

const begin = Date.now();
const say = (line: string): void => console.log(`setup: ${line}`);

try {
  const envoy = await ensureEnvoy(say);
  const parts = await ensureParts(say);
  say(`Envoy           ${envoy}`);
  say(`control plane   ${parts.controlPlane}`);
  say(`cert-manager    ${parts.certManager}`);
  say(`helm            ${await helmCommand(say)}`);
  say(`GitOps checks   ${await gitOpsCommand(say)}`);
  await gitOpsCrds(say);
  say(`Prometheus      ${await prometheusCommand(say)}`);
  await monitoringCrds(say);
  // Tests without pods do without; the step that needs a node says what is missing.
  if (process.env[SKIP_NODE_VARIABLE] !== "1" && whyNoNode() === undefined)
    say(`node            ${(await ensureNodeParts(say)).node}`);
  say(`kubectl         ${await kubectlCommand(say)}`);
  say(`everything is in ${cacheRoot()}, after ${String(Math.round((Date.now() - begin) / 1000))} s`);
} catch (error) {
  console.error(`setup: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
