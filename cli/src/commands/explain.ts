/** `gatewarden explain METHOD URL`: which policies hold for this request, section by section. */
import { explain, type ExplainedSection, type Explanation } from "@gatewarden/core/simulate/explain.ts";
import { stringify } from "yaml";
import { ASKED_OPTIONS, ASKED_USAGE, askedRequest, concernOf } from "../asked.ts";
import { type Decider, decidersIn, deciderText } from "../decider.ts";
import { readFlags, wrongUsage } from "../flags.ts";
import { openObjects } from "../offline/inspect.ts";
import { printable } from "../report/table.ts";
import { loadObjects } from "../source.ts";

const USAGE = `gatewarden explain METHOD URL [-f DIR|FILE …] [--header 'NAME: VALUE' …] [--at TIME]
${ASKED_USAGE}Exit status: 0 fine, 2 wrong usage or unreadable input, 3 cluster not reachable.
`;

export async function explainCommand(args: readonly string[]): Promise<number> {
  const flags = readFlags("explain", args, ASKED_OPTIONS, USAGE, true);
  if (!flags.ok) return flags.exitCode;
  const asked = askedRequest(flags.positionals, flags.value, Date.now());
  if (!asked.ok) return wrongUsage("explain", asked.message, USAGE);
  const { file, kubeconfig, output } = flags.value;
  const loaded = await loadObjects({ files: file, kubeconfig }, concernOf(asked.request));
  if (!loaded.ok) {
    process.stderr.write(`gatewarden explain: ${printable(loaded.message)}\n`);
    return loaded.exitCode;
  }
  const { objects } = loaded.value;
  const requirePolicy = flags.value["require-policy"] !== "false";
  const { open } = openObjects(objects, { requirePolicy, nowMs: asked.request.atMs });
  const explanation = explain(open, asked.request);
  const deciderOf = decidersIn(objects);
  const sections = explanation.sections.map((one) =>
    one.from === "" ? one : { ...one, ...deciderOf("ApiPolicy", one.from, `spec.${one.section}`) },
  );
  process.stdout.write(
    output === "json" ? `${JSON.stringify({ ...explanation, sections }, null, 2)}\n` : text(explanation, sections),
  );
  return 0;
}

function text(
  { gateway, route, answer }: Explanation,
  sections: readonly (ExplainedSection & Partial<Decider>)[],
): string {
  const head = [
    gateway === "" ? "" : `gateway  ${gateway}\n`,
    route === "" ? "" : `route    ${route}\n`,
    answer === undefined
      ? ""
      : `answer   ${[answer.status === 0 ? "no connection" : String(answer.status), answer.code, answer.policy, answer.reason].filter((part) => part !== "").join("  ")}\n`,
  ];
  return [...head, ...sections.map(paragraph)].map((part) => part.split("\n").map(printable).join("\n")).join("");
}

function paragraph(one: ExplainedSection & Partial<Decider>): string {
  const { section, value, from, level, how, sources, audit } = one;
  const others = sources.slice(1).map(({ policy, level: at, precedence }) => `${policy} (${at}, ${precedence})`);
  const where =
    from === ""
      ? ""
      : `  from ${from} at ${level ?? ""}  ${one.object === undefined ? "" : deciderText(one as Decider)}`;
  const body = typeof value === "string" ? `${value}\n` : stringify(value, { lineWidth: 0 });
  return [
    `\n${section}  ${how}${audit === true ? ", audit only" : ""}${where}\n`,
    ...(others.length === 0 ? [] : [`    with ${others.join(", ")}\n`]),
    ...body
      .trimEnd()
      .split("\n")
      .map((line) => `    ${line}\n`),
  ].join("");
}
