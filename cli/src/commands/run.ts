/** `gatewarden run`: the manifests of a folder, enforced by an Envoy that is started here. No cluster. */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { watch } from "node:fs";
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createEngine } from "@gatewarden/core/engine.ts";
import type { Change, Output, ResourceChange } from "@gatewarden/core/world.ts";
import { systemClock } from "@gatewarden/operator/clock.ts";
import { createAddressGuard } from "@gatewarden/operator/jwks/address-guard.ts";
import { createFetch } from "@gatewarden/operator/jwks/fetch.ts";
import { createJwksKeeper } from "@gatewarden/operator/jwks/keeper.ts";
import { createServiceDirectory } from "@gatewarden/operator/kube/services.ts";
import { createLog } from "@gatewarden/operator/log.ts";
import { createRegistry } from "@gatewarden/operator/metrics.ts";
import { createPeers } from "@gatewarden/operator/peers.ts";
import { createRedactor } from "@gatewarden/operator/status/redact.ts";
import { xdsMetrics } from "@gatewarden/operator/xds-metrics.ts";
import { createXdsServer } from "@gatewarden/xds/server/server.ts";
import { readFlags, wrongUsage } from "../flags.ts";
import { createEnvoys } from "../offline/envoys.ts";
import { readManifests, type Manifest } from "../offline/manifests.ts";
import { selfSigned } from "../offline/self-signed.ts";
import { createStatusPrinter } from "../offline/status-printer.ts";
import { createOfflineWorld } from "../offline/world.ts";

const USAGE = `gatewarden run DIR [--envoy PATH] [flags]
  DIR                     manifests; read again whenever one of them changes
  --envoy PATH            the Envoy to start (default: envoy, as the shell finds it)
  --log-dir DIR           where File sinks are written (default: DIR/logs)
  --require-policy=BOOL   a route without authentication answers 403 (default true)
  --jwks-allow-cidr CIDR  addresses that JWKS may be fetched from beside public ones; may be repeated
`;

const SERVER_NAME = "gatewarden.gatewarden-system.svc";
/** Editors write a file in several steps. */
const SETTLE_MS = 100;
const DAY_MS = 86_400_000;

export async function run(args: readonly string[]): Promise<number> {
  const flags = readFlags(
    "run",
    args,
    {
      envoy: { type: "string", default: "envoy" },
      "log-dir": { type: "string" },
      "require-policy": { type: "string", default: "true" },
      "jwks-allow-cidr": { type: "string", multiple: true, default: [] },
    },
    USAGE,
    true,
  );
  if (!flags.ok) return flags.exitCode;
  const [folder, ...more] = flags.positionals;
  if (folder === undefined || more.length > 0) return wrongUsage("run", "expected one DIR", USAGE);
  if (!(await isDirectory(folder))) return wrongUsage("run", `${folder} is no folder`, USAGE);
  const first = await readManifests([folder]);
  if (!first.ok) {
    process.stderr.write(`gatewarden run: ${first.message}\n`);
    return 2;
  }
  const directory = await mkdtemp(path.join(tmpdir(), "gatewarden-run-"));
  const logDirectory = path.resolve(flags.value["log-dir"] ?? path.join(folder, "logs"));
  // Envoy refuses a listener whose log file has no folder. Where it cannot be made, only manifests with a File sink suffer, and their status says so.
  await mkdir(logDirectory, { recursive: true }).catch((error: unknown) =>
    say(`${logDirectory} cannot be made: ${error instanceof Error ? error.message : String(error)}`),
  );
  try {
    await serve(folder, directory, first.value.objects, {
      envoy: flags.value.envoy,
      logDirectory,
      requirePolicy: flags.value["require-policy"] !== "false",
      jwksAllowCidrs: flags.value["jwks-allow-cidr"],
    });
    return 0;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface RunOptions {
  readonly envoy: string;
  readonly logDirectory: string;
  readonly requirePolicy: boolean;
  readonly jwksAllowCidrs: readonly string[];
}

const say = (line: string): void => void process.stderr.write(`gatewarden run: ${line}\n`);

/** Runs until SIGTERM or SIGINT. */
async function serve(
  folder: string,
  directory: string,
  objects: ReadonlyMap<string, Manifest>,
  options: RunOptions,
): Promise<void> {
  const clock = systemClock;
  const log = createLog(
    "warn",
    (line) => void process.stderr.write(line),
    () => clock.now(),
  );
  const world = createOfflineWorld(
    createEngine({
      controllerName: "gatewarden.io/gateway-controller",
      requirePolicy: options.requirePolicy,
      logDirectory: options.logDirectory,
    }),
  );
  const redactor = createRedactor();
  const directoryOfServices = createServiceDirectory(() => clock.random());
  const gateways = new Set<string>();
  const token = randomBytes(32).toString("base64url");
  const xds = createXdsServer({
    authenticate: (given) =>
      Promise.resolve(
        sameText(given, token)
          ? { ok: true, gateways, expiresAtMs: clock.now() + 365 * DAY_MS }
          : { ok: false, message: "not the token of this run" },
      ),
    clock,
    log,
    metrics: xdsMetrics(createRegistry()),
    onChange(gateway, keys) {
      if (keys === "all") publish(peers.recount(gateway));
      printer.print();
    },
    onRefusedProxy: ({ gateway, message }) => say(`a proxy of ${gateway} was turned away: ${message}`),
  });
  const peers = createPeers((gateway) => {
    const { complete, joining } = xds.proxies(gateway);
    return complete + joining;
  });
  const printer = createStatusPrinter({ world, xds, redact: (text) => redactor.redact(text), say });
  const guard = createAddressGuard(options.jwksAllowCidrs);
  const fetch = createFetch({ clock, guard, backendGuard: createAddressGuard(options.jwksAllowCidrs, true) });
  const keySets = createJwksKeeper({
    clock,
    log,
    store: { get: () => undefined, put: () => undefined, remove: () => undefined },
    onChange: (change) => apply([change]),
    fetch(request, signal) {
      const { backend } = request;
      const endpoint = backend === undefined ? undefined : directoryOfServices.endpoint(backend.host, backend.port);
      return fetch(endpoint === undefined ? request : { ...request, backend: endpoint }, signal);
    },
  });
  let cancelTimer = (): void => undefined;

  const publish = (resources: readonly ResourceChange[]): void => {
    xds.apply(resources).then(
      () => printer.print(),
      (error: unknown) => say(String(error)),
    );
  };
  const carryOut = (outputs: readonly Output[]): void => {
    for (const output of outputs) {
      printer.update(output);
      publish([...output.resources, ...peers.update(output)]);
      keySets.update(output.jwks.add, output.jwks.remove);
    }
    gateways.clear();
    for (const { gateway } of world.resources()) gateways.add(gateway);
    cancelTimer();
    const next = outputs.at(-1)?.nextEvaluationMs;
    cancelTimer = next === undefined ? (): void => undefined : clock.after(next - clock.now() + 1, () => apply([]));
  };
  const apply = (changes: readonly Change[]): void => carryOut(world.apply(changes, clock.now()));
  const take = (next: ReadonlyMap<string, Manifest>): void => {
    for (const change of next.values()) {
      redactor.note(change);
      directoryOfServices.note(change);
    }
    carryOut(world.set(next, clock.now()));
  };

  take(objects);
  const { certPem, keyPem } = selfSigned(SERVER_NAME, clock.now());
  xds.setCertificate(certPem, keyPem);
  const port = await xds.listen("127.0.0.1:0");
  const [tokenFile, caFile] = [path.join(directory, "token"), path.join(directory, "ca.crt")];
  await writeFile(tokenFile, token, { mode: 0o600 });
  await writeFile(caFile, certPem);
  const xdsAddress = `127.0.0.1:${port}`;
  const envoys = createEnvoys({
    command: options.envoy,
    directory,
    xdsAddress,
    tokenFile,
    caFile,
    serverName: SERVER_NAME,
    say,
  });
  envoys.set([...gateways]);

  const read = async (): Promise<void> => {
    const result = await readManifests([folder]);
    if (!result.ok) {
      say(`${result.message}; what was good before stays in force`);
      return;
    }
    take(result.value.objects);
    envoys.set([...gateways]);
  };
  await untilStopped(folder, options.logDirectory, read);
  cancelTimer();
  await keySets.stop();
  await xds.stop(1_000);
  await envoys.stop();
}

/** Calls `read` after each change in the folder, one at a time; resolves on SIGTERM or SIGINT. */
async function untilStopped(folder: string, logDirectory: string, read: () => Promise<void>): Promise<void> {
  const asked = Promise.withResolvers<undefined>();
  const onSignal = (): void => asked.resolve(undefined);
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  let timer: NodeJS.Timeout | undefined;
  let reading: Promise<void> = Promise.resolve();
  const watcher = watch(folder, { recursive: true }, (_event, file) => {
    // Our own logs may lie inside.
    if (file !== null && path.resolve(folder, file).startsWith(`${logDirectory}${path.sep}`)) return;
    clearTimeout(timer);
    timer = setTimeout(() => (reading = reading.then(read, read)), SETTLE_MS);
  });
  watcher.on("error", (error) => say(`the folder cannot be watched: ${error.message}`));
  await asked.promise;
  watcher.close();
  clearTimeout(timer);
  await reading;
  process.off("SIGTERM", onSignal);
  process.off("SIGINT", onSignal);
}

async function isDirectory(folder: string): Promise<boolean> {
  try {
    return (await stat(folder)).isDirectory();
  } catch {
    return false;
  }
}

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
