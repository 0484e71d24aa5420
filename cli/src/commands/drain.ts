/** `gatewarden drain`: stands beside an Envoy in its pod and, when the pod ends, has Envoy tell its clients to go elsewhere. */
import { request } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { readFlags, wrongUsage } from "../flags.ts";

const USAGE = `gatewarden drain --admin unix:PATH [flags]
  --admin unix:PATH   Envoy's administration interface
  --seconds NUMBER    how long connections have from SIGTERM on (default 30)

Waits for SIGTERM or SIGINT, then has Envoy end its connections with their next answer, and ends when the time is over or Envoy is gone.
`;

const ASK_LIMIT_MS = 2_000;
/** Whether Envoy is still there is looked at that often. */
const LOOK_EVERY_MS = 500;

export async function drain(args: readonly string[]): Promise<number> {
  const flags = readFlags(
    "drain",
    args,
    { admin: { type: "string" }, seconds: { type: "string", default: "30" } },
    USAGE,
  );
  if (!flags.ok) return flags.exitCode;
  const socketPath = /^unix:(.+)$/.exec(flags.value.admin ?? "")?.[1];
  if (socketPath === undefined) return wrongUsage("drain", "--admin unix:PATH is needed", USAGE);
  const seconds = Number(flags.value.seconds);
  if (!/^\d{1,4}$/.test(flags.value.seconds))
    return wrongUsage("drain", `--seconds ${flags.value.seconds}: expected a whole number`, USAGE);

  await untilAsked();
  const until = Date.now() + seconds * 1_000;
  // New connections are still taken: the Service may not have forgotten the pod yet.
  const asked = await answered(socketPath, "POST", "/drain_listeners?graceful&skip_exit");
  process.stdout.write(asked ? "Envoy ends its connections\n" : "Envoy does not answer\n");
  while (Date.now() < until && (await answered(socketPath, "GET", "/ready"))) await wait(LOOK_EVERY_MS);
  return asked ? 0 : 1;
}

function untilAsked(): Promise<void> {
  return new Promise((resolve) => {
    // Signals alone do not keep a process alive.
    const alive = setInterval(() => undefined, 1 << 30);
    const asked = (): void => {
      clearInterval(alive);
      resolve();
    };
    process.once("SIGTERM", asked);
    process.once("SIGINT", asked);
  });
}

/** Whether Envoy answers at all, whatever it says; to a POST also that it did as asked. */
function answered(socketPath: string, method: "GET" | "POST", path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ socketPath, method, path, timeout: ASK_LIMIT_MS }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(method === "GET" || answer.statusCode === 200));
      answer.on("error", () => resolve(false));
    });
    call.on("timeout", () => call.destroy(new Error("no answer")));
    call.on("error", () => resolve(false));
    call.end();
  });
}
