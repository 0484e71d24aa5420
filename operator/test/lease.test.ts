import { hostname } from "node:os";
import { beforeEach, describe, expect, test } from "@jest/globals";
import type { KubeObject } from "@gatewarden/core/world.ts";
import { endedOnThisMachine, processIdentity, startLeaderElection, type LeaderElection } from "../src/lease.ts";
import type { KubeClient } from "../src/kube/client.ts";
import { silentLog } from "../src/log.ts";
import { createFakeClient, failure, type FakeClient } from "./fake-client.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";

describe("the lease", () => {
  let clock: ManualClock;
  let stored: KubeObject | undefined;
  let away: boolean;
  let starting: boolean;
  let api: FakeClient;
  let version: number;

  const holder = (): unknown => (stored?.spec as { holderIdentity?: string } | undefined)?.holderIdentity;
  const begin = (identity: string, changes: boolean[] = [], client = api.client): LeaderElection =>
    startLeaderElection({
      client,
      clock,
      log: silentLog,
      namespace: "ops",
      name: "gatewarden",
      identity,
      hasEnded: (other) => other === "dead",
      onChange: (leads) => changes.push(leads),
    });

  beforeEach(() => {
    clock = createManualClock();
    stored = undefined;
    [away, starting] = [false, false];
    version = 0;
    api = createFakeClient(({ verb, body }) => {
      if (away) return starting ? failure(403) : failure(0, "NoAnswer");
      if (verb === "get") return stored === undefined ? failure(404) : { ok: true, value: stored };
      const fresh =
        verb === "create" ? stored === undefined : stored?.metadata.resourceVersion === body?.metadata.resourceVersion;
      if (!fresh || body === undefined) return failure(409, "Conflict");
      version += 1;
      stored = { ...body, metadata: { ...body.metadata, resourceVersion: String(version) } };
      return { ok: true, value: stored };
    });
  });

  test("is taken at once where there is none, and given back at the end", async () => {
    const changes: boolean[] = [];
    const election = begin("a", changes);
    await clock.advance(0);
    expect(election.leads()).toBe(true);
    await clock.advance(60_000);
    expect(election.leads()).toBe(true);
    await election.stop();
    expect(election.leads()).toBe(false);
    expect(holder()).toBe("");
    expect(changes).toEqual([true, false]);
  });

  test("has one holder, and the next follows when that one falls silent", async () => {
    const first = begin("a");
    await clock.advance(0);
    const second = begin("b");
    await clock.advance(20_000);
    expect([first.leads(), second.leads()]).toEqual([true, false]);
    await first.stop();
    await clock.advance(1_500);
    expect(second.leads()).toBe(true);
    await second.stop();
  });

  test("is never held by two: a leader that cannot renew stops leading before anybody else may begin", async () => {
    const first = begin("a");
    await clock.advance(0);
    const silentSince = clock.now();
    away = true;
    await clock.advance(6_000);
    expect(first.leads()).toBe(true);
    await clock.advance(4_000);
    expect(first.leads()).toBe(false);
    const stopping = first.stop();
    away = false;
    await clock.advance(0);
    await stopping;
    const second = begin("b");
    while (!second.leads()) await clock.advance(500);
    expect(clock.now() - silentSince).toBeGreaterThan(10_000);
    await second.stop();
  });

  test.each([0, 900, 2_900])(
    "is with somebody else within 15 s of its holder's end, %i ms after a renewal",
    async (late) => {
      const dead = new Set<KubeClient>();
      const killable: KubeClient = {
        ...api.client,
        get: (path) => (dead.has(killable) ? Promise.resolve(failure(0, "NoAnswer")) : api.client.get(path)),
      };
      const first = begin("a", [], killable);
      await clock.advance(0);
      const second = begin("b");
      await clock.advance(30_000);
      const renewed = version;
      while (version === renewed) await clock.advance(10);
      await clock.advance(late);
      dead.add(killable);
      const killed = clock.elapsed();
      while (!second.leads()) await clock.advance(100);
      expect(first.leads()).toBe(false);
      expect(clock.elapsed() - killed).toBeLessThan(15_000);
      await Promise.all([first.stop(), second.stop()]);
    },
  );

  test("does not depend on the machine's date", async () => {
    const first = begin("a");
    await clock.advance(0);
    clock.setWall(-3_600_000);
    expect(first.leads()).toBe(true);
    away = true;
    await clock.advance(8_000);
    expect(first.leads()).toBe(false); // with a date an hour back it would lead for another hour
    away = false;
    clock.setWall(3_600_000);
    await clock.advance(3_000);
    expect(first.leads()).toBe(true);
    await first.stop();
  });

  test("says when the API server answers again, once", async () => {
    const returns: number[] = [];
    const election = startLeaderElection({
      ...{ client: api.client, clock, log: silentLog, namespace: "ops", name: "gatewarden", identity: "a" },
      onChange: () => undefined,
      onReturn: () => returns.push(clock.elapsed()),
    });
    await clock.advance(10_000);
    away = true;
    await clock.advance(20_000);
    starting = true; // it answers, and has not read its roles
    await clock.advance(5_000);
    expect(returns).toEqual([]);
    away = false;
    const since = clock.elapsed();
    await clock.advance(10_000);
    expect(returns.map((at) => at - since <= 1_000)).toEqual([true]);
    await election.stop();
  });

  test("is taken over at once from a process that is known to have ended", async () => {
    stored = {
      metadata: { name: "gatewarden", resourceVersion: "0" },
      spec: { holderIdentity: "dead", leaseDurationSeconds: 15 },
    };
    const election = begin("a");
    await clock.advance(0);
    expect(election.leads()).toBe(true);
    await election.stop();
  });

  test("knows its own machine's processes", () => {
    expect(endedOnThisMachine(processIdentity(() => 0.5))).toBe(true); // our own number: a process before us had it
    expect(endedOnThisMachine(`${hostname()}_${process.ppid}_abc`)).toBe(false);
    expect(endedOnThisMachine(`${hostname()}_4194305_abc`)).toBe(true); // above the largest number that Linux gives
    expect(endedOnThisMachine("elsewhere_4194305_abc")).toBe(false);
  });
});
