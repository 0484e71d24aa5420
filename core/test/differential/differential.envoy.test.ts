/**
 * Random requests against random policies, through a real Envoy and through the simulator: the same status, code and policy. `SEED=n` repeats a
 * run, `WORLDS=n` makes it longer. What was found once stays in corpus.ts.
 */
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { freePorts } from "../../../e2e/cluster/port.ts";
import { type EchoUpstream, startEcho } from "../../../e2e/upstream/echo.ts";
import { difference, startBench } from "./bench.ts";
import { certificates, issuers, tokens } from "./credentials.ts";
import { randomOf } from "./random.ts";
import { corpus } from "./corpus.ts";
import { type Asked, request } from "./requests.ts";
import { frame, type Ports, world } from "./worlds.ts";

const SEED = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
const WORLDS = Number(process.env["WORLDS"] ?? 20);
const REQUESTS = 150;
const MOST_SHOWN = 12;

jest.setTimeout(600_000);

let upstream: EchoUpstream;
let ports: Ports;
const issued = issuers();
const signed = certificates();

beforeAll(async () => {
  upstream = await startEcho({ name: "echo", address: "127.0.0.1" });
  const [plain = 0, hosts = 0, tls = 0] = await freePorts(3);
  ports = { plain, hosts, tls };
});
afterAll(() => upstream?.stop());

test(`Envoy and the simulator agree (SEED=${String(SEED)})`, async () => {
  const found: unknown[] = [];
  const tally = new Map<string, number>();
  for (let at = 0; at < WORLDS && found.length < MOST_SHOWN; at += 1) {
    const random = randomOf(SEED + at);
    const nowMs = Date.now();
    const objects = world(random, ports, upstream.port, issued, signed.objects);
    const bench = await startBench(objects, { ports, certificates: signed }, nowMs);
    const known = tokens(issued, nowMs);
    try {
      for (let count = 0; count < REQUESTS; count += 1) {
        const asked = request(random, known);
        const [real, simulated] = [await bench.real(asked), bench.simulated(asked)];
        const outcome = `${String(real.status)} ${real.code}`;
        tally.set(outcome, (tally.get(outcome) ?? 0) + 1);
        const differs = difference(asked, real, simulated);
        if (differs !== undefined)
          found.push({
            differs,
            seed: SEED + at,
            count,
            asked: named(asked, known),
            stages: simulated.stages,
            route: simulated.route,
          });
      }
    } finally {
      await bench.stop();
    }
  }
  console.info(`SEED=${String(SEED)}`, Object.fromEntries([...tally].sort(([, a], [, b]) => b - a)));
  expect(found.slice(0, MOST_SHOWN)).toEqual([]);
  // Enough of the verdicts that matter came up.
  expect([...tally.keys()].length).toBeGreaterThan(10);
});

test("what was found once stays mended", async () => {
  const nowMs = Date.now();
  const objects = [
    ...frame(ports, upstream.port, issued, signed.objects),
    ...corpus.flatMap((one) => one.objects(issued)),
  ];
  const bench = await startBench(objects, { ports, certificates: signed }, nowMs);
  try {
    for (const { name, requests } of corpus) {
      for (const more of requests(tokens(issued, nowMs))) {
        const asked: Asked = {
          port: "plain",
          host: `${name}.test`,
          method: "GET",
          path: "/",
          headers: [],
          from: "127.0.0.1",
          ...more,
        };
        expect([name, more, difference(asked, await bench.real(asked), bench.simulated(asked))]).toEqual([
          name,
          more,
          undefined,
        ]);
      }
    }
  } finally {
    await bench.stop();
  }
});

/** Tokens by their names. */
function named(asked: unknown, known: Readonly<Record<string, string>>): unknown {
  return JSON.parse(
    Object.entries(known).reduce((text, [name, value]) => text.replaceAll(value, `<${name}>`), JSON.stringify(asked)),
  );
}
