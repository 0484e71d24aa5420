/** `gatewarden diff`: who gains and who loses access, between a cluster or older manifests and newer manifests. */
import { type Change, compare, type Difference, type Side, type World } from "../diff/compare.ts";
import { readFlags, wrongUsage } from "../flags.ts";
import { openObjects } from "../offline/inspect.ts";
import { printable, table } from "../report/table.ts";
import { type Loaded, loadObjects, SOURCE_OPTIONS } from "../source.ts";

const USAGE = `gatewarden diff -f DIR|FILE … [--from DIR|FILE …] [-o table|json]
  -f, --file DIR|FILE   the newer manifests, whole: what is not in them is gone
  --from DIR|FILE       the older ones; may be repeated (default: the cluster)
  --merge               the newer manifests are applied on top of the older ones instead of replacing them
  --kubeconfig FILE     without --from: the cluster (default: KUBECONFIG, ~/.kube/config, or the pod's own)
  -o, --output FORMAT   table (default) or json
Exit status: 0 nobody gains or loses anything, 1 somebody does, 2 wrong usage or unreadable input, 3 cluster not reachable.
`;

export async function diffCommand(args: readonly string[]): Promise<number> {
  const flags = readFlags(
    "diff",
    args,
    {
      ...SOURCE_OPTIONS,
      from: { type: "string", multiple: true },
      merge: { type: "boolean", default: false },
      output: { type: "string", short: "o", default: "table" },
    },
    USAGE,
  );
  if (!flags.ok) return flags.exitCode;
  const { file, from, kubeconfig, merge, output } = flags.value;
  if (file === undefined) return wrongUsage("diff", "no -f", USAGE);
  if (output !== "table" && output !== "json") return wrongUsage("diff", `-o ${output}: expected table or json`, USAGE);
  const old = await loadObjects({ files: from, kubeconfig });
  if (!old.ok) return unreadable(old);
  const next = await loadObjects({ files: file });
  if (!next.ok) return unreadable(next);
  const nowMs = Date.now();
  const world = (manifests: World["manifests"]): World => ({
    manifests,
    open: openObjects(manifests, { requirePolicy: true, nowMs }).open,
  });
  const after = merge ? new Map([...old.value.objects, ...next.value.objects]) : next.value.objects;
  const difference = compare(world(old.value.objects), world(after), nowMs);
  process.stdout.write(output === "json" ? `${JSON.stringify(difference, null, 2)}\n` : text(difference));
  return difference.changes.length === 0 ? 0 : 1;
}

function unreadable({ message, exitCode }: Extract<Loaded, { ok: false }>): number {
  process.stderr.write(`gatewarden diff: ${message}\n`);
  return exitCode;
}

const ORDER: readonly Change["change"][] = ["Gains", "Loses", "Differs"];

function text({ changes, asked, cut }: Difference): string {
  const sorted = changes.toSorted((a, b) => ORDER.indexOf(a.change) - ORDER.indexOf(b.change));
  const rows = sorted.map(({ change, who, from, method, url, before, after }) => [
    change,
    who,
    from,
    `${method} ${url}`,
    `${sideText(before)} -> ${sideText(after)}`,
  ]);
  const counted = ORDER.map(
    (change) => `${changes.filter((one) => one.change === change).length} ${change.toLowerCase()}`,
  );
  const left = cut.length === 0 ? "" : `not everything was asked of ${cut.map(printable).join(", ")}\n`;
  return `${table(["CHANGE", "WHO", "FROM", "CALL", "BEFORE -> AFTER"], rows)}${counted.join(", ")}; ${asked} calls compared\n${left}`;
}

function sideText({ verdict, status, policy }: Side): string {
  if (verdict === "Allow") return "let through";
  return `${status === 0 ? "no connection" : status}${policy === "" ? "" : ` ${policy}`}`;
}
