/** `gatewarden status`: how every object stands, the bad ones first. */
import type { ObjectStatus } from "@gatewarden/core/world.ts";
import { keyText } from "@gatewarden/operator/kube/kinds.ts";
import { readFlags, wrongUsage } from "../flags.ts";
import { inspectObjects } from "../offline/inspect.ts";
import { objectText } from "../report/finding.ts";
import { table } from "../report/table.ts";
import { defaultKubeconfig, loadObjects, SOURCE_OPTIONS, SOURCE_USAGE } from "../source.ts";
import { isFine, type Standing, standingInCluster, standingInFiles } from "../standing.ts";

const USAGE = `gatewarden status [-f DIR|FILE …] [-o table|json]
${SOURCE_USAGE}  -o, --output FORMAT   table (default) or json
With -f: what the operator would say of the manifests, as far as no proxy has to acknowledge it.
Exit status: 0 every object stands well, 1 some do not, 2 wrong usage or unreadable input, 3 cluster not reachable.
`;

type Found =
  | { readonly ok: true; readonly value: readonly Standing[] }
  | { readonly ok: false; readonly exitCode: 2 | 3; readonly message: string };

export async function statusCommand(args: readonly string[]): Promise<number> {
  const flags = readFlags(
    "status",
    args,
    { ...SOURCE_OPTIONS, output: { type: "string", short: "o", default: "table" } },
    USAGE,
  );
  if (!flags.ok) return flags.exitCode;
  const { file, kubeconfig, output } = flags.value;
  if (output !== "table" && output !== "json")
    return wrongUsage("status", `-o ${output}: expected table or json`, USAGE);
  const found = file !== undefined ? await inFiles(file) : await inCluster(kubeconfig);
  if (!found.ok) {
    process.stderr.write(`gatewarden status: ${found.message}\n`);
    return found.exitCode;
  }
  const sorted = found.value.toSorted(
    (a, b) => Number(isFine(a)) - Number(isFine(b)) || (a.object < b.object ? -1 : 1),
  );
  process.stdout.write(output === "json" ? `${JSON.stringify(sorted, null, 2)}\n` : text(sorted));
  return sorted.every(isFine) ? 0 : 1;
}

async function inFiles(files: readonly string[]): Promise<Found> {
  const loaded = await loadObjects({ files });
  if (!loaded.ok) return loaded;
  const { statuses, manifests } = inspectObjects(loaded.value.objects, { requirePolicy: true, nowMs: Date.now() });
  const value = [...statuses].map(([id, status]: readonly [string, ObjectStatus]) => {
    const key = manifests.get(id)?.key;
    return standingInFiles(key === undefined ? id : objectText(key), status);
  });
  return { ok: true, value };
}

async function inCluster(kubeconfig: string | undefined): Promise<Found> {
  const { readStatuses } = await import("../cluster/read.ts");
  const read = await readStatuses(kubeconfig ?? defaultKubeconfig(process.env), process.env);
  if (!read.ok) return { ok: false, exitCode: 3, message: `the cluster cannot be read: ${read.message}` };
  return { ok: true, value: read.value.map(({ key, status }) => standingInCluster(keyText(key), status)) };
}

function text(standings: readonly Standing[]): string {
  if (standings.length === 0) return "no objects\n";
  const rows = standings.map(({ object, condition, status, reason, message }) => [
    object,
    `${condition}=${status}`,
    reason,
    message,
  ]);
  return table(["OBJECT", "CONDITION", "REASON", "MESSAGE"], rows);
}
