/** Listeners that are edited while calls never pause: what a rename, another certificate, host name or port costs, and whom. */
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { setTimeout as wait } from "node:timers/promises";
import { connectHttp1 } from "../../e2e/client/http1.ts";
import { connectHttp2 } from "../../e2e/client/http2.ts";
import { createAuthority, issue, type KeyPair } from "../../e2e/cluster/pki.ts";
import { freePorts } from "../../e2e/cluster/port.ts";
import { type EchoUpstream, startEcho } from "../../e2e/upstream/echo.ts";
import type { Change } from "../src/world.ts";
import { type Answers, type Live, type Load, startLive, startLoad } from "./live.ts";
import { backend, gateway, gatewayClass, policy, put, route, service } from "./objects.ts";

const EDITS = 20;
const BETWEEN_MS = 60;

type Written = Readonly<Record<string, unknown>>;

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const authority = createAuthority("servers");
const tls = (name: string, { certificate, privateKey }: KeyPair): Change =>
  put("Secret", name, { data: { "tls.crt": base64(certificate), "tls.key": base64(privateKey) } });

let generation = 1;
let live: Live;
let upstream: EchoUpstream;
let ports: readonly number[] = [];
let loads: readonly Load[] = [];

const plain = (more: Written = {}): Written => ({ name: "plain", port: ports[0], protocol: "HTTP", ...more });
const secure = (name: string, hostname: string, more: Written = {}): Written => ({
  name,
  port: ports[1],
  protocol: "HTTPS",
  hostname,
  tls: { certificateRefs: [{ name: "page" }] },
  ...more,
});
const beside = (): Written => secure("beside", "beside.test");
const edge = (...listeners: readonly Written[]): Change => {
  const change = gateway("edge", listeners);
  const metadata = { ...change.object!.metadata, generation: (generation += 1) };
  return { ...change, object: { ...change.object, metadata } };
};

beforeAll(async () => {
  upstream = await startEcho({ name: "echo", address: "127.0.0.1" });
  ports = await freePorts(4);
  const pair = (): KeyPair => issue(authority, { commonName: "page", dnsNames: ["page.test", "beside.test"] });
  live = await startLive([
    gatewayClass,
    tls("page", pair()),
    tls("other", pair()),
    edge(plain(), secure("page", "page.test"), beside()),
    ...service("echo", { address: "127.0.0.1", port: upstream.port }),
    route("all", { hostnames: ["page.test", "beside.test"], rules: [{ backendRefs: [backend("echo")] }] }),
    policy("all", [{ group: "gateway.networking.k8s.io", kind: "Gateway", name: "edge" }], {
      authentication: { mode: "Public", reason: "test" },
    }),
  ]);
  await live.settled();
});
afterEach(async () => {
  await Promise.all(loads.map((load) => load.answers()));
  loads = [];
});
afterAll(async () => {
  await live?.stop();
  await upstream?.stop();
});

const page = () => ({ port: ports[1] ?? 0, tls: { serverName: "page.test" } });
const neighbour = () => ({ port: ports[1] ?? 0, tls: { serverName: "beside.test" } });
const clear = () => ({ port: ports[0] ?? 0 });

/** Answers at each target during edits, on held connections and on new ones. */
async function during(
  targets: readonly Parameters<typeof startLoad>[0][],
  edit: (at: number) => Change,
): Promise<readonly Answers[]> {
  await live.apply(edit(0));
  await live.settled();
  loads = targets.flatMap((target) => {
    const host = target.tls?.serverName ?? "page.test";
    return [false, true].map((renew) => startLoad(target, { host }, 2, renew));
  });
  for (let at = 1; at <= EDITS; at += 1) {
    await wait(BETWEEN_MS);
    await live.apply(edit(at));
  }
  await wait(BETWEEN_MS);
  const answers = await Promise.all(loads.map((load) => load.answers()));
  await live.settled();
  return answers;
}
const onlyGood = (answers: readonly Answers[]): void => {
  for (const { 200: good, ...others } of answers) expect([others, (good ?? 0) > EDITS]).toEqual([{}, true]);
};

test("a rename is noticed by nobody, and drains no connection", async () => {
  const held = await Promise.all(
    [page(), clear()].flatMap((target) =>
      [connectHttp1, connectHttp2].map((connect) => connect({ address: "127.0.0.1", ...target })),
    ),
  );
  const answers = await during([page(), neighbour(), clear()], (at) =>
    edge(plain({ name: `plain-${String(at)}` }), secure(`page-${String(at)}`, "page.test"), beside()),
  );
  onlyGood(answers);
  for (const connection of held) {
    expect((await connection.request({ host: "page.test" })).status).toBe(200);
    expect(connection.closed()).toBe(false);
    connection.close();
  }
});

test.each([
  [
    "certificate",
    (at: number) => secure("page", "page.test", { tls: { certificateRefs: [{ name: ["page", "other"][at % 2] }] } }),
  ],
  ["host name", (at: number) => secure("page", ["page.test", "*.test"][at % 2] ?? "")],
  ["port", (at: number) => secure("page", "page.test", { port: ports[1 + (at % 2)] })],
])("another %s is noticed by no other listener", async (_, edited) => {
  onlyGood(await during([neighbour(), clear()], (at) => edge(plain(), edited(at), beside())));
});

test("what connections to the former place still ask for answers 404, while the new one answers", async () => {
  await live.apply(edge(plain(), secure("page", "page.test"), beside()));
  await live.settled();
  const held = await Promise.all(
    [connectHttp1, connectHttp2].map((connect) => connect({ address: "127.0.0.1", ...clear() })),
  );
  const ask = (): Promise<readonly number[]> =>
    Promise.all(held.map(async (connection) => (await connection.request({ host: "page.test" })).status));
  expect(await ask()).toEqual([200, 200]);
  await live.apply(edge(plain({ port: ports[2] }), secure("page", "page.test"), beside()));
  await live.settled();
  const moved = await connectHttp1({ address: "127.0.0.1", port: ports[2] ?? 0 });
  expect((await moved.request({ host: "page.test" })).status).toBe(200);
  expect(await ask()).toEqual([404, 404]);
  for (const connection of [...held, moved]) connection.close();
});
