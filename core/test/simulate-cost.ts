/**
 * How long `simulate` takes on N manifests (default 1,000): reading the world once, and one request. `node --conditions=source
 * core/test/simulate-cost.ts [N]`. Prints numbers, asserts nothing.
 */
import { openEngine } from "../src/engine.ts";
import { simulate } from "../src/simulate/simulate.ts";
import { backend, gateway, gatewayClass, OPTIONS, policy, put, route, service } from "./objects.ts";

const manifests = Number(process.argv[2] ?? 1_000);
const each = Math.floor((manifests - 4) / 3);
const nowMs = Date.now();
const objects = [
  gatewayClass,
  gateway("edge", [{ name: "http", port: 80, protocol: "HTTP" }]),
  ...service("echo", { address: "127.0.0.1", port: 1 }),
  ...Array.from({ length: each }, (_, at) => `api-${String(at)}`).flatMap((name) => [
    route(name, { hostnames: [`${name}.test`], rules: [{ name: "all", backendRefs: [backend("echo")] }] }),
    policy(name, [{ kind: "HTTPRoute", name }], {
      authentication: { apiKey: { from: { headers: ["x-api-key"] } } },
      rateLimit: { limits: [{ name: "each", requests: 10, per: "1m", by: [{ type: "Consumer" }] }] },
    }),
    put("ApiConsumer", name, { spec: { apiKeys: [{ name: "k", secretRef: { name: "keys", key: name } }] } }),
  ]),
];
const keys = Object.fromEntries(
  Array.from({ length: each }, (_, at) => [`api-${String(at)}`, Buffer.from(`key-${String(at)}`).toString("base64")]),
);

const open = openEngine({ ...OPTIONS, requirePolicy: true });
const started = process.cpuUsage();
open.engine.apply(objects, nowMs);
open.engine.apply([put("Secret", "keys", { data: keys })], nowMs);
const { user, system } = process.cpuUsage(started);
const times: number[] = [];
for (let at = 0; at < 200; at += 1) {
  const name = (at * 37) % each;
  const before = performance.now();
  const { status } = simulate(open, {
    method: "GET",
    scheme: "http",
    host: `api-${String(name)}.test`,
    path: "/orders",
    headers: [["x-api-key", `key-${String(name)}`]],
    from: "192.0.2.1",
    atMs: nowMs,
  });
  if (status !== 200) throw new Error(`status ${String(status)}`);
  times.push(performance.now() - before);
}
const [first = 0] = times;
times.sort((a, b) => a - b);
const shown = (ms: number | undefined): string => `${(ms ?? 0).toFixed(2)} ms`;
console.log(`${String(objects.length)} manifests: taken in ${shown((user + system) / 1_000)} of CPU`);
console.log(`first request ${shown(first)}, then p50 ${shown(times[100])}, p99 ${shown(times[198])}`);
