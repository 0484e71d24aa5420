/** `gatewarden simulate METHOD URL`: what happens to this request, and who says so, without sending it. */
import { simulate, type Simulation, type Stage } from "@gatewarden/core/simulate/simulate.ts";
import { ASKED_OPTIONS, ASKED_USAGE, askedRequest, concernOf } from "../asked.ts";
import { type Decider, type DeciderOf, decidersIn, deciderText, rulePath } from "../decider.ts";
import { readFlags, wrongUsage } from "../flags.ts";
import { openObjects } from "../offline/inspect.ts";
import type { Manifest } from "../offline/manifests.ts";
import { printable, table } from "../report/table.ts";
import { loadObjects } from "../source.ts";

const USAGE = `gatewarden simulate METHOD URL [-f DIR|FILE …] [--as consumer/NS/NAME] [--header 'NAME: VALUE' …] [--from IP] [--at TIME]
${ASKED_USAGE}Exit status: 0 whatever the verdict, 2 wrong usage or unreadable input, 3 cluster not reachable.
`;

export async function simulateCommand(args: readonly string[]): Promise<number> {
  const flags = readFlags("simulate", args, ASKED_OPTIONS, USAGE, true);
  if (!flags.ok) return flags.exitCode;
  const asked = askedRequest(flags.positionals, flags.value, Date.now());
  if (!asked.ok) return wrongUsage("simulate", asked.message, USAGE);
  const { file, kubeconfig, output } = flags.value;
  const loaded = await loadObjects({ files: file, kubeconfig }, concernOf(asked.request));
  if (!loaded.ok) {
    process.stderr.write(`gatewarden simulate: ${printable(loaded.message)}\n`);
    return loaded.exitCode;
  }
  const { objects } = loaded.value;
  const requirePolicy = flags.value["require-policy"] !== "false";
  const { open } = openObjects(objects, { requirePolicy, nowMs: asked.request.atMs });
  const simulation = simulate(open, asked.request);
  const stages = simulation.stages.map((stage) => ({ ...stage, ...placeOf(stage, simulation, objects) }));
  const notes = [...asked.notes, ...simulation.notes];
  process.stdout.write(
    output === "json"
      ? `${JSON.stringify({ ...simulation, stages, notes }, null, 2)}\n`
      : text({ ...simulation, notes }, stages),
  );
  return 0;
}

/** The file and line, or the object, that decided a stage. */
function placeOf(
  { section, policy, rule }: Stage,
  { route, gateway }: Simulation,
  objects: ReadonlyMap<string, Manifest>,
): Partial<Decider> {
  const decider: DeciderOf = decidersIn(objects);
  if (policy !== "") {
    const path =
      rule === undefined
        ? `spec.${section}`
        : rulePath(objects.get(`ApiPolicy/${policy}`), rule, "spec.authorization.rules");
    return decider("ApiPolicy", policy, path);
  }
  if ((section === "route" || section === "backend") && route !== "") {
    const cut = route.lastIndexOf("/");
    const id = route.slice(0, cut);
    return decider("HTTPRoute", id, rulePath(objects.get(`HTTPRoute/${id}`), route.slice(cut + 1)));
  }
  return section === "policy" && gateway !== ""
    ? decider("Gateway", gateway.slice(0, gateway.lastIndexOf("/")), "spec")
    : {};
}

function text(simulation: Simulation, stages: readonly (Stage & Partial<Decider>)[]): string {
  const { verdict, status, code, policy, gateway, route, notes } = simulation;
  const why = [status === 0 ? "no connection" : String(status), code, policy].filter((part) => part !== "").join("  ");
  const rows = stages.map((stage) => [
    stage.result === "NotReached" ? "not reached" : stage.result.toUpperCase(),
    stage.audit === true ? `${stage.section} (audit)` : stage.section,
    stage.object === undefined ? "" : deciderText(stage as Decider),
    stage.rule === undefined ? stage.reason : `${stage.reason} (rule ${stage.rule})`,
  ]);
  const place = [gateway === "" ? "" : `gateway  ${gateway}\n`, route === "" ? "" : `route    ${route}\n`].join("");
  return (
    printable(`${verdict.toUpperCase()}  ${why}`) +
    `\n${printableLines(place)}\n${table(["RESULT", "SECTION", "DECIDED BY", "WHY"], rows)}` +
    (notes.length === 0 ? "" : `\n${notes.map((note) => `note: ${printable(note)}\n`).join("")}`)
  );
}

function printableLines(lines: string): string {
  return lines.split("\n").map(printable).join("\n");
}
