/** The processes of `gatewarden operator` and `gatewarden fallback`: files, environment and signals in, exit status out. */
import { readFile } from "node:fs/promises";
import { systemClock } from "./clock.ts";
import { OPERATOR_USAGE, parseOperatorArguments } from "./config.ts";
import { loadCredentials } from "./kube/credentials.ts";
import { createLog, errorText } from "./log.ts";
import { keepGarbageSmall } from "./memory.ts";
import { createRegistry } from "./metrics.ts";
import type { Operator, OperatorParts } from "./operator.ts";
import { measureProcess } from "./process-metrics.ts";

type Start = (parts: Omit<OperatorParts, "createEngine">) => Promise<Operator>;

/** Runs until SIGTERM or SIGINT, as {@link runProcess} says. */
export function runOperator(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return runProcess("operator", args, env, async (parts) => {
    const { createEngine } = await import("@gatewarden/core/engine.ts");
    const { startOperator } = await import("./operator.ts");
    return startOperator({ ...parts, createEngine, beforeServing: keepGarbageSmall });
  });
}

/** The process that stands in for new proxies while no operator runs. */
export function runFallback(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return runProcess("fallback", args, env, async (parts) => (await import("./fallback.ts")).startFallback(parts));
}

/** 0: stopped as asked; 2: wrong flags or files; 1: a port could not be had. */
async function runProcess(
  name: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  start: Start,
): Promise<number> {
  const parsed = parseOperatorArguments(args);
  if (!parsed.ok) {
    process.stderr.write(`gatewarden ${name}: ${parsed.message}\n\n${OPERATOR_USAGE}`);
    return 2;
  }
  const config = parsed.value;
  const log = createLog(
    config.logLevel,
    (line) => void process.stdout.write(line),
    () => systemClock.now(),
  );
  const metrics = createRegistry();
  const unhandled = metrics.counter("gatewarden_unhandled_rejections_total", "Faults of ours that nobody caught.");
  process.on("unhandledRejection", (error) => {
    unhandled.add();
    log.error("a fault that nobody caught", {
      error: errorText(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
  });

  let credentials;
  let jwksCaPem;
  try {
    credentials = await loadCredentials(config.kubeconfig ?? nonEmpty(env["KUBECONFIG"]), env, systemClock);
    jwksCaPem = config.jwksCaFile === undefined ? undefined : await readFile(config.jwksCaFile, "utf8");
  } catch (error) {
    process.stderr.write(`gatewarden ${name}: ${errorText(error)}\n`);
    return 2;
  }

  const asked = Promise.withResolvers<undefined>();
  const onSignal = (): void => asked.resolve(undefined);
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  const stopMeasuring = measureProcess(metrics);
  // Timers of the clock do not keep a process alive; this one does.
  const alive = setInterval(() => undefined, 1 << 30);
  let exitCode = 0;
  try {
    const operator = await start({ config, credentials, jwksCaPem, clock: systemClock, log, metrics });
    const failed = operator.serving.then(
      () => new Promise<never>(() => undefined),
      (error: unknown) => error,
    );
    const fault = await Promise.race([asked.promise, failed]);
    if (fault !== undefined) {
      log.error(`the ${name} cannot serve`, { error: errorText(fault) });
      exitCode = 1;
    }
    await operator.stop();
    log.info("stopped");
  } catch (error) {
    log.error(`the ${name} cannot start`, { error: errorText(error) });
    exitCode = 1;
  } finally {
    stopMeasuring();
    clearInterval(alive);
    process.off("SIGTERM", onSignal);
    process.off("SIGINT", onSignal);
  }
  return exitCode;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
