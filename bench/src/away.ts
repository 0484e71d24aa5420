/**
 * No operator for a long time: `node --conditions=source e2e/run-in-netns.ts -- node --conditions=source bench/src/away.ts [MINUTES]` (60). Calls with an API
 * key go on over held and new connections, and every tenth of the time another proxy starts from the last good configuration in the place of the
 * former. Prints what failed and how long a proxy took to serve; exit status 1 where anything failed.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { connectHttp1, type RequestSpec, send } from "@gatewarden/e2e/client/http1.ts";
import { connectHttp2 } from "@gatewarden/e2e/client/http2.ts";
import { eventually } from "@gatewarden/e2e/cluster/condition.ts";
import { startHarness } from "@gatewarden/e2e/harness/harness.ts";
import { startOperator } from "@gatewarden/e2e/harness/operator.ts";
import { addConsumer, API_KEY, apiPolicy } from "@gatewarden/e2e/scenarios/policies-manifest.ts";
import { httpRoute, rule, untilAnswered } from "@gatewarden/e2e/scenarios/routes-manifest.ts";

const PAUSE_MS = 100;
const PROXIES = 10;
const KEEP_LIMIT_MS = 60_000;
const CALL: RequestSpec = { host: "keyed.test", headers: { "x-api-key": "k-away-1" } };
const STRANGER: RequestSpec = { host: "keyed.test" };

const minutes = Number(process.argv[2] ?? 60);
const harness = await startHarness({ say: (line) => console.error(`bench: ${line}`) });
try {
  const directory = join(harness.directory, "fallback");
  mkdirSync(directory);
  const fallback = await startOperator(harness.cluster, {
    directory,
    command: "fallback",
    account: "gatewarden-fallback",
  });
  harness.atEnd(() => fallback.stop());
  const shop = await harness.tenant("away");
  await shop.upstream("orders");
  const edge = await shop.gateway();
  await addConsumer(shop, "erp", "k-away-1");
  await shop.apply(httpRoute("keyed", { hostnames: ["keyed.test"], rules: [rule("orders")] }));
  await shop.apply(apiPolicy("keyed", { kind: "HTTPRoute", name: "keyed" }, API_KEY));
  await untilAnswered(edge.target(), CALL, "orders");
  await eventually(
    "what is in force has been kept",
    async () => (await fallback.metric("gatewarden_last_good_gateways")) >= 1,
    { limitMs: KEEP_LIMIT_MS },
  );
  // It writes what waits before it ends.
  await harness.operator.stop();
  console.error(`bench: no operator runs from now on, for ${String(minutes)} minutes`);

  const failures: string[] = [];
  let sent = 0;
  const starts: number[] = [];
  let proxy = edge.envoy;
  const end = performance.now() + minutes * 60_000;
  for (let round = 0; round < PROXIES; round += 1) {
    const until = end - ((PROXIES - 1 - round) * minutes * 60_000) / PROXIES;
    const held = [await connectHttp1(edge.target()), await connectHttp2(edge.target())];
    const ways = [...held.map(({ request }) => request), (spec: RequestSpec) => send(edge.target(), spec)];
    const ask = async (way: (typeof ways)[number]): Promise<void> => {
      while (performance.now() < until) {
        for (const [spec, expected] of [
          [CALL, "200"],
          [STRANGER, "401"],
        ] as const) {
          sent += 1;
          const said = await way(spec).then(({ status }) => String(status), String);
          if (said !== expected) failures.push(said);
        }
        await wait(PAUSE_MS);
      }
    };
    await Promise.all(ways.map(ask));
    for (const { close } of held) close();
    if (round === PROXIES - 1) break;
    // One at a time: whatever is answered comes from a proxy that has never seen the operator.
    await proxy.stop();
    const since = performance.now();
    proxy = await edge.addProxy({ fallbackAddress: fallback.xdsAddress });
    await untilAnswered(edge.target(), CALL, "orders");
    starts.push(performance.now() - since);
    console.error(`bench: ${String(sent)} calls, ${String(failures.length)} failed`);
  }
  const [least = 0, ...others] = starts.toSorted((a, b) => a - b);
  console.log(`${execFileSync("uptime", { encoding: "utf8" }).trim()}\n`);
  console.log("| minutes without an operator | calls | failed | proxies started meanwhile | until one served, ms |");
  console.log("|---|---|---|---|---|");
  console.log(
    `| ${String(minutes)} | ${String(sent)} | ${String(failures.length)} | ${String(starts.length)} | ${least.toFixed(0)} to ${(others.at(-1) ?? least).toFixed(0)} |`,
  );
  for (const failure of new Set(failures)) console.log(`failed: ${failure}`);
  if (failures.length > 0) process.exitCode = 1;
} finally {
  await harness.stop();
}
