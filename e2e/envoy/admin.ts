/** Envoy's administration interface over its Unix socket: https://www.envoyproxy.io/docs/envoy/v1.40.0/operations/admin */
import { request } from "node:http";

export interface EnvoyAdmin {
  /** Returns the body of a GET; throws when the status is not 200. */
  readonly get: (path: string) => Promise<string>;
  /** The same for POST, which every path that changes something asks for. */
  readonly post: (path: string) => Promise<string>;
  /** Counters and gauges whose name starts with `prefix`, by name. */
  readonly stats: (prefix?: string) => Promise<ReadonlyMap<string, number>>;
  /** One counter or gauge; 0 when Envoy does not have it (it makes many on first use). */
  readonly stat: (name: string) => Promise<number>;
  /** The JSON of `/config_dump`; `query` such as `resource=dynamic_listeners` or `include_eds`. */
  readonly configDump: (query?: string) => Promise<unknown>;
  /** Whether the server is past its initialisation (`/ready`). */
  readonly ready: () => Promise<boolean>;
}

const TIMEOUT_MS = 10_000;

/** The interface behind a Unix socket. */
export function envoyAdmin(socketPath: string): EnvoyAdmin {
  const ask = async (method: "GET" | "POST", path: string): Promise<string> => {
    const { status, body } = await exchange(socketPath, method, path);
    if (status !== 200) throw new Error(`Envoy admin ${method} ${path}: ${String(status)} ${body.trim()}`);
    return body;
  };
  const stats: EnvoyAdmin["stats"] = async (prefix = "") => {
    const filter = prefix === "" ? "" : `&filter=${encodeURIComponent(`^${escapePattern(prefix)}`)}`;
    return readStats(await ask("GET", `/stats?format=json${filter}`));
  };
  return {
    get: (path) => ask("GET", path),
    post: (path) => ask("POST", path),
    stats,
    stat: async (name) => (await stats(name)).get(name) ?? 0,
    configDump: async (query) =>
      JSON.parse(await ask("GET", `/config_dump${query === undefined ? "" : `?${query}`}`)) as unknown,
    ready: async () => (await exchange(socketPath, "GET", "/ready")).status === 200,
  };
}

function readStats(body: string): ReadonlyMap<string, number> {
  const { stats } = JSON.parse(body) as {
    readonly stats: readonly { readonly name?: string; readonly value?: unknown }[];
  };
  const found = new Map<string, number>();
  for (const { name, value } of stats) {
    // Histograms are one entry without a name, text readouts have text.
    if (name !== undefined && typeof value === "number") found.set(name, value);
  }
  return found;
}

function exchange(socketPath: string, method: string, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, agent: false, timeout: TIMEOUT_MS }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("error", reject);
      response.once("end", () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }),
      );
    });
    asked.once("timeout", () => asked.destroy(new Error(`Envoy admin ${path}: no answer`)));
    asked.once("error", reject);
    asked.end();
  });
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
