/**
 * Traffic at a fixed, small rate while routes, policies and keys come, change and go: answers 5xx, requests that pass without
 * a credential, and limits that were used up and let somebody in again. All three have to be 0.
 */
import { type Change, changeKinds } from "./changes.ts";
import { type Connection, get, once, open, type Reply } from "./http-client.ts";
import { hostOf, type Manifest, policy, rotatingConsumer, namespaceOf, route } from "./population.ts";
import { cpuMs, memory } from "./process-cost.ts";
import { pause, type Stage } from "./stage.ts";
import { seededRandom, summarise, type Summary } from "./statistics.ts";

export interface Load {
  readonly requests: number;
  readonly changes: number;
  /** 5xx, or no answer at all, where 2xx to 4xx was due. */
  readonly failed: number;
  /** Requests with a good credential that were refused. */
  readonly refused: number;
  /** Requests without one that passed. */
  readonly holes: number;
  /** Requests over a limit that was used up that passed. */
  readonly refilled: number;
  /** Held connections that were closed. */
  readonly closed: number;
  readonly drained: number;
  readonly latencyMs: Summary;
  readonly operatorCpuShare: number;
  readonly operatorRssMB: number;
  readonly operatorPeakMB: number;
  readonly envoyRssMB: number;
}

export interface LoadOptions {
  readonly seconds: number;
  readonly requestsPerSecond: number;
  readonly changesPerSecond: number;
}

const HELD = 16;
/** One request in that many comes on a connection of its own. */
const FRESH_EVERY = 10;
const TICK_MS = 10;
const LIMITED = "limited.bench.test";
const LIMIT = 5;

type Judge = (reply: Reply, tally: Tally) => void;

interface Tally {
  requests: number;
  failed: number;
  refused: number;
  holes: number;
  refilled: number;
  closed: number;
  readonly latencies: number[];
}

interface Traffic {
  readonly bytes: () => string;
  readonly judge: Judge;
}

const passed = ({ status }: Reply): boolean => status >= 200 && status < 400;
const broken = ({ status }: Reply): boolean => status === 0 || status >= 500;

export async function measureLoad(stage: Stage, options: LoadOptions): Promise<Load> {
  const tally: Tally = { requests: 0, failed: 0, refused: 0, holes: 0, refilled: 0, closed: 0, latencies: [] };
  const random = seededRandom(7);
  const any = (): number => Math.floor(random() * stage.size());
  const limited = limitedRoute(stage);
  for (const object of limited) await stage.api.create(object);
  await useUp(stage);

  let coming = stage.size();
  const traffic: readonly Traffic[] = [
    {
      bytes: () => stage.request(any()),
      judge: (reply) => void (passed(reply) || broken(reply) || (tally.refused += 1)),
    },
    { bytes: () => get(hostOf(any()), "/"), judge: (reply) => void (passed(reply) && (tally.holes += 1)) },
    // Hosts that are just coming: nobody may pass before the policy holds.
    { bytes: () => get(hostOf(coming), "/"), judge: (reply) => void (passed(reply) && (tally.holes += 1)) },
    { bytes: () => get(LIMITED, "/"), judge: (reply) => void (reply.status === 429 || (tally.refilled += 1)) },
  ];
  const { operator } = stage.harness;
  const { admin } = stage.envoy();
  const drainedBefore = await drained(admin);
  const cpuBefore = cpuMs(operator.pid());
  const began = performance.now();
  let running = true;
  const isRunning = (): boolean => running;
  const flow = send(stage, traffic, tally, options.requestsPerSecond, isRunning);
  const changes = await churn(stage, options, (index) => void (coming = index));
  running = false;
  await flow;
  const wallMs = performance.now() - began;
  const operatorCpuShare = (cpuMs(operator.pid()) - cpuBefore) / wallMs;
  await stage.settled();
  for (const object of limited.toReversed()) await stage.api.remove(object);
  const { latencies, ...counts } = tally;
  const { rssMB, peakMB } = memory(operator.pid());
  return {
    ...counts,
    changes,
    drained: (await drained(admin)) - drainedBefore,
    latencyMs: summarise(latencies),
    operatorCpuShare,
    operatorRssMB: rssMB,
    operatorPeakMB: peakMB,
    envoyRssMB: memory(stage.envoy().pid).rssMB,
  };
}

/** The same number of requests each tick, taking turns among the kinds of traffic and the connections. */
async function send(
  stage: Stage,
  traffic: readonly Traffic[],
  tally: Tally,
  perSecond: number,
  isRunning: () => boolean,
): Promise<void> {
  const idle: Connection[] = await Promise.all(Array.from({ length: HELD }, () => open(stage.endpoint)));
  const inFlight = new Set<Promise<void>>();
  const one = async ({ bytes, judge }: Traffic, number: number): Promise<void> => {
    const held = number % FRESH_EVERY === 0 ? undefined : idle.pop();
    const began = performance.now();
    const text = bytes();
    const reply = await (held === undefined ? once(stage.endpoint, text) : held.request(text));
    tally.latencies.push(performance.now() - began);
    tally.requests += 1;
    if (broken(reply)) tally.failed += 1;
    judge(reply, tally);
    if (held?.closed() === true) {
      tally.closed += 1;
      idle.push(await open(stage.endpoint));
    } else if (held !== undefined) idle.push(held);
  };
  const began = performance.now();
  let sent = 0;
  while (isRunning()) {
    const due = ((performance.now() - began) / 1000) * perSecond;
    for (; sent < due; sent += 1) {
      const request = one(traffic[sent % traffic.length] as Traffic, sent);
      inFlight.add(request);
      void request.finally(() => inFlight.delete(request));
    }
    await pause(TICK_MS);
  }
  await Promise.all(inFlight);
  for (const connection of idle) connection.close();
}

/** Changes that keep every good request good: other addresses denied, a header of the answer, new hosts, the rotating key. */
async function churn(
  stage: Stage,
  { seconds, changesPerSecond }: LoadOptions,
  announce: (index: number) => void,
): Promise<number> {
  const { api, around } = stage;
  const random = seededRandom(11);
  const any = (): number => Math.floor(random() * stage.size());
  const comesAndGoes = changeKinds(stage).find(({ name }) => name === "route new / gone");
  let index = stage.size();
  let going: Change | undefined;
  let round = 0;
  const steps: readonly (() => Promise<unknown>)[] = [
    () => api.merge(policy(around, any(), [`192.0.2.${String(round % 250)}/32`])),
    () => api.merge(route(around, any(), round)),
    async () => {
      if (going !== undefined) {
        await going.apply();
        await going.after?.();
        going = undefined;
        return;
      }
      const [coming, gone] = comesAndGoes?.pair() ?? [];
      announce(index);
      index += 1;
      await coming?.before?.();
      await coming?.apply();
      going = gone;
    },
    () => api.merge(rotatingConsumer(namespaceOf(around, any()), round % 8 < 4)),
  ];
  const began = performance.now();
  let changes = 0;
  while (performance.now() - began < seconds * 1000) {
    await steps[round % steps.length]?.();
    round += 1;
    changes += 1;
    const due = (changes / changesPerSecond) * 1000;
    await pause(Math.max(0, due - (performance.now() - began)));
  }
  await going?.apply();
  await going?.after?.();
  return changes;
}

/** A host of its own whose limit is used up at once and comes back in a day. */
function limitedRoute({ around }: Stage): readonly Manifest[] {
  const { spec, ...object } = route(around, 0) as Manifest & { readonly spec: object };
  const metadata = { name: "limited", namespace: namespaceOf(around, 0) };
  return [
    {
      apiVersion: "gatewarden.io/v1alpha1",
      kind: "ApiPolicy",
      metadata,
      spec: {
        targetRefs: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "limited" }],
        authentication: { mode: "Public", reason: "the limit is what is measured" },
        rateLimit: { limits: [{ name: "few", requests: LIMIT, per: "24h", by: [{ type: "ClientIP" }] }] },
      },
    },
    { ...object, metadata, spec: { ...spec, hostnames: [LIMITED] } },
  ];
}

async function useUp({ endpoint }: Stage): Promise<void> {
  const limit = performance.now() + 10_000;
  for (let refused = 0; refused < LIMIT;) {
    const { status } = await once(endpoint, get(LIMITED, "/"));
    if (status === 429) refused += 1;
    if (performance.now() > limit) throw new Error(`the limit is not used up: ${String(status)}`);
    await pause(TICK_MS);
  }
}

async function drained(admin: { readonly stat: (name: string) => Promise<number> }): Promise<number> {
  return (
    (await admin.stat("listener_manager.listener_modified")) + (await admin.stat("listener_manager.listener_added"))
  );
}
