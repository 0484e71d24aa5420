/** Objects into a real Envoy the way they go in operation: engine, xDS server and ADS, without Kubernetes; and calls that never pause. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { eventually } from "../../e2e/cluster/condition.ts";
import { connectHttp1, type RequestSpec } from "../../e2e/client/http1.ts";
import type { Target } from "../../e2e/client/target.ts";
import { startEnvoy } from "../../e2e/envoy/process.ts";
import { bootstrap } from "../../xds/src/bootstrap.ts";
import { SERVER_NAME, startServer } from "../../xds/test/test-server.ts";
import { createEngine } from "../src/engine.ts";
import type { Change, ResourceType } from "../src/world.ts";
import { OPTIONS } from "./objects.ts";

export interface Live {
  /** Takes changes in at the present time; Secrets and ConfigMaps must come before anything that reads them is asked about. */
  apply(...changes: readonly Change[]): Promise<void>;
  /** The proxy has acknowledged everything. */
  settled(): Promise<void>;
  /** How often a resource was put out. */
  pushes(type: ResourceType, name: string): number;
  stop(): Promise<void>;
}

export const GATEWAY = "shop/edge";
const HOUR_MS = 3_600_000;

export async function startLive(changes: readonly Change[]): Promise<Live> {
  const engine = createEngine(OPTIONS);
  const pushes = new Map<string, number>();
  const present = new Map<string, { readonly type: ResourceType; readonly name: string }>();
  const folder = mkdtempSync(join(tmpdir(), "gatewarden-live-"));
  const ads = await startServer({
    authenticate: () => Promise.resolve({ ok: true, gateways: GATEWAY, expiresAtMs: Date.now() + HOUR_MS }),
  });
  let timer: NodeJS.Timeout | undefined;
  const apply = async (...next: readonly Change[]): Promise<void> => {
    clearTimeout(timer);
    const { resources, faults = [], nextEvaluationMs } = engine.apply(next, Date.now());
    if (faults.length > 0) throw new Error(JSON.stringify(faults));
    for (const { type, name, json } of resources) {
      const id = `${type} ${name}`;
      pushes.set(id, (pushes.get(id) ?? 0) + 1);
      if (json === undefined) present.delete(id);
      else present.set(id, { type, name });
    }
    if (nextEvaluationMs !== undefined)
      timer = setTimeout(() => void apply(), Math.max(0, Math.min(HOUR_MS, nextEvaluationMs - Date.now())) + 1);
    await ads.server.apply(resources);
  };
  await apply(...changes);
  const [caFile, tokenFile] = [join(folder, "ca.crt"), join(folder, "token")];
  writeFileSync(caFile, ads.authority.certificate);
  writeFileSync(tokenFile, "good\n");
  const address = `127.0.0.1:${String(ads.port)}`;
  const envoy = await startEnvoy({
    bootstrap: bootstrap({ gateway: GATEWAY, address, caFile, tokenFile, serverName: SERVER_NAME }),
    logLevel: "warning",
  });
  const states = (): readonly string[] =>
    [...present].flatMap(([id, key]) => {
      const status = ads.server.status(GATEWAY, key);
      return status.state === "acknowledged" ? [] : [`${id}: ${JSON.stringify(status)}`];
    });
  const settled = async (): Promise<void> =>
    void (await eventually("acknowledged", () =>
      Promise.resolve((ads.server.proxies(GATEWAY).complete === 1 && states().length === 0) || undefined),
    ));
  return {
    apply,
    settled,
    pushes: (type, name) => pushes.get(`${type} ${name}`) ?? 0,
    async stop() {
      clearTimeout(timer);
      await envoy.stop();
      await ads.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** How often each answer came: by status, and by what went wrong where there was none. */
export type Answers = Readonly<Record<string, number>>;

export interface Load {
  /** Ends it. */
  readonly answers: () => Promise<Answers>;
}

/** Calls one after the other on each of `connections`; `renew` opens a new connection for each call. */
export function startLoad(target: Omit<Target, "address">, spec: RequestSpec, connections = 3, renew = false): Load {
  const counts: Record<string, number> = {};
  const count = (what: string): void => void (counts[what] = (counts[what] ?? 0) + 1);
  let over = false;
  const call = async (): Promise<void> => {
    while (!over) {
      try {
        const connection = await connectHttp1({ address: "127.0.0.1", ...target });
        try {
          do count(outcome(await connection.request(spec)));
          while (!over && !renew && !connection.closed());
        } finally {
          connection.close();
        }
      } catch (error) {
        count(String(error));
        await wait(5);
      }
    }
  };
  const calls = Array.from({ length: connections }, call);
  return {
    async answers() {
      over = true;
      await Promise.all(calls);
      return counts;
    },
  };
}

function outcome({ status, body }: { readonly status: number; readonly body: string }): string {
  if (status === 200) return "200";
  const code = /"code":\s*"([^"]*)"/.exec(body)?.[1];
  return code === undefined ? String(status) : `${String(status)} ${code}`;
}
