/** `make bench`: measures Gatewarden with a real API server and a real Envoy, prints tables beside the targets, writes bench/out/. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { changeKinds } from "./changes.ts";
import { measureChangeCost, measureIdle } from "./change-cost.ts";
import { measureEnforcement } from "./enforcement.ts";
import { measureLoad } from "./load.ts";
import { type KindResult, report, type Result, type SizeResult } from "./report.ts";
import { measureRequests } from "./request-cost.ts";
import { type Stage, startStage } from "./stage.ts";
import { measureRestart, measureStart } from "./start.ts";

const USAGE = `make bench, or: node --conditions=source e2e/run-in-netns.ts -- node --conditions=source bench/src/main.ts [flags]
  --n LIST        numbers of routes and policies (default 100,1000,5000)
  --samples N     changes of each kind (default 200)
  --only LIST     of enforcement, cost, restart, load, requests (default all)
  --quick         30 samples, N = 100 and 1,000, short load
Environment GATEWARDEN_RUN=dist measures what "make build" made, as users run it; otherwise the sources.`;

const PARTS = ["enforcement", "cost", "restart", "load", "requests"] as const;
const OUT = join(import.meta.dirname, "..", "out");

interface Plan {
  readonly sizes: readonly number[];
  readonly samples: number;
  readonly costSamples: number;
  readonly loadSeconds: number;
  readonly requests: number;
  readonly parts: ReadonlySet<string>;
}

const began = performance.now();
const say = (line: string): void =>
  console.error(`bench ${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s: ${line}`);

function planFrom(args: readonly string[]): Plan | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      n: { type: "string" },
      samples: { type: "string" },
      only: { type: "string", default: PARTS.join(",") },
      quick: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const sizes = (values.n ?? (values.quick ? "100,1000" : "100,1000,5000")).split(",").map(Number);
  const samples = Number(values.samples ?? (values.quick ? 30 : 200));
  const parts = new Set(values.only.split(","));
  const known = [...parts].every((part) => PARTS.some((each) => each === part));
  const positive = [...sizes, samples].every((value) => Number.isInteger(value) && value > 0);
  if (values.help || !known || !positive) return undefined;
  return {
    sizes: sizes.toSorted((a, b) => a - b),
    samples,
    costSamples: Math.min(100, samples),
    loadSeconds: values.quick ? 5 : 20,
    requests: values.quick ? 2_000 : 8_000,
    parts,
  };
}

async function measureSize(stage: Stage, n: number, plan: Plan): Promise<SizeResult> {
  const { parts } = plan;
  say(`${n} routes: the operator and Envoy down, objects being made`);
  await stage.harness.operator.stop();
  await stage.stopEnvoy();
  await stage.grow(n, 2 * (plan.samples + plan.costSamples));
  say("starting the operator");
  const start = await measureStart(stage, say);
  say(`all statuses written after ${(start.programmedMs / 1000).toFixed(1)} s`);
  const kinds: KindResult[] = [];
  const idle = parts.has("cost") ? await measureIdle(stage) : { operator: 0, envoy: 0 };
  for (const kind of changeKinds(stage)) {
    say(kind.name);
    const enforcement = await measureEnforcement(stage.endpoint, kind, parts.has("enforcement") ? plan.samples : 0);
    const cost = await measureChangeCost(stage, kind, parts.has("cost") ? plan.costSamples : 2, idle);
    kinds.push({ name: kind.name, enforcement, cost });
  }
  const result: SizeResult = { n, start, kinds };
  if (parts.has("load")) {
    say("load and churn");
    const options = { seconds: plan.loadSeconds, requestsPerSecond: 500, changesPerSecond: 20 };
    Object.assign(result, { load: await measureLoad(stage, options) });
  }
  if (parts.has("restart")) {
    say("restarting the operator");
    Object.assign(result, { restart: await measureRestart(stage) });
  }
  return result;
}

async function run(plan: Plan): Promise<Result> {
  const stage = await startStage(say);
  try {
    const sizes: SizeResult[] = [];
    for (const n of plan.sizes) sizes.push(await measureSize(stage, n, plan));
    const result = { ...surroundings(), samples: plan.samples, sizes };
    if (!plan.parts.has("requests")) return result;
    say("Envoy's CPU per request");
    return { ...result, requests: await measureRequests(stage, plan.requests, say) };
  } catch (error) {
    say(`the operator said last:\n${stage.harness.operator.log().split("\n").slice(-15).join("\n")}`);
    throw error;
  } finally {
    await stage.stop();
  }
}

function surroundings(): Pick<Result, "takenAt" | "commit" | "machine"> {
  const processors = cpus();
  return {
    takenAt: new Date().toISOString(),
    commit: commit(),
    machine: {
      processors: processors.length,
      model: processors[0]?.model.trim() ?? "",
      memoryGB: Math.round(totalmem() / 2 ** 30),
      node: process.version,
    },
  };
}

/** "" where the sources are no checkout. */
function commit(): string {
  const git = (...args: readonly string[]): string =>
    execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    const edited = git("status", "--porcelain", "--untracked-files=no") === "" ? "" : " and edits";
    return `${git("rev-parse", "--short", "HEAD")}${edited}`;
  } catch {
    return "";
  }
}

const plan = planFrom(process.argv.slice(2));
if (plan === undefined) {
  console.error(USAGE);
  process.exitCode = 2;
} else {
  try {
    const result = await run(plan);
    mkdirSync(OUT, { recursive: true });
    writeFileSync(join(OUT, "result.json"), `${JSON.stringify(result, null, 1)}\n`);
    writeFileSync(join(OUT, "result.md"), `${report(result, true)}\n`);
    console.log(`\n${report(result)}\n`);
    say("written: bench/out/result.json, bench/out/result.md");
  } catch (error) {
    console.error(`bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    process.exitCode = 1;
  }
  process.exit();
}
