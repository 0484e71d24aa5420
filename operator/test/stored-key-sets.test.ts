import { beforeEach, describe, expect, test } from "@jest/globals";
import type { KubeObject } from "@gatewarden/core/world.ts";
import { openStoredKeySets, type StoredKeySets } from "../src/jwks/stored.ts";
import { silentLog } from "../src/log.ts";
import { createFakeClient, failure, type FakeClient } from "./fake-client.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";

const jwks = '{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}';

describe("stored key sets", () => {
  let clock: ManualClock;
  let stored: KubeObject | undefined;
  let away: boolean;
  let leads: boolean;
  let api: FakeClient;
  const open = (): Promise<StoredKeySets> => openStoredKeySets(api.client, clock, silentLog, "ops", () => leads);
  const now = (): string => new Date(clock.now()).toISOString();
  const writes = (): number => api.asked.filter(({ verb }) => verb === "apply").length;

  beforeEach(() => {
    clock = createManualClock();
    [stored, away, leads] = [undefined, false, true];
    api = createFakeClient(({ verb, body }) => {
      if (away) return failure(0, "NoAnswer");
      if (verb === "apply") stored = body;
      return stored === undefined ? failure(404) : { ok: true, value: stored };
    });
  });

  test("outlive the process, written together", async () => {
    const first = await open();
    first.put("a", { jwks, fetchedAt: now() });
    first.put("b", { jwks, fetchedAt: now() });
    first.put("c", { jwks, fetchedAt: now() });
    first.remove("c");
    await clock.advance(3_000);
    expect(writes()).toBe(1);
    await first.stop();
    const second = await open();
    expect([second.get("a"), second.get("b"), second.get("c")]).toEqual([
      { jwks, fetchedAt: expect.any(String) },
      { jwks, fetchedAt: expect.any(String) },
      undefined,
    ]);
    await second.stop();
  });

  test("are not written again for every confirmation", async () => {
    const sets = await open();
    for (let minute = 0; minute < 60; minute += 5) {
      sets.put("a", { jwks, fetchedAt: now() });
      await clock.advance(300_000);
    }
    expect(writes()).toBe(1);
    await clock.advance(300_000);
    sets.put("a", { jwks, fetchedAt: now() });
    await clock.advance(3_000);
    expect(writes()).toBe(2);
    await sets.stop();
  });

  test("are written by the leader only, and when the API server is back", async () => {
    leads = false;
    const sets = await open();
    sets.put("a", { jwks, fetchedAt: now() });
    await clock.advance(60_000);
    expect(writes()).toBe(0);
    leads = true;
    away = true;
    await clock.advance(120_000);
    away = false;
    await clock.advance(120_000);
    expect(stored?.["data"]).toHaveProperty("a");
    await sets.stop();
    expect(clock.timers()).toBe(0);
  });

  test("with nonsense in them are as if they were not there", async () => {
    stored = {
      metadata: { name: "gatewarden-jwks" },
      data: {
        a: "x",
        b: "null",
        c: JSON.stringify({ jwks: "{}", fetchedAt: now() }),
        d: JSON.stringify({ jwks, fetchedAt: "soon" }),
      },
    };
    const sets = await open();
    expect(["a", "b", "c", "d"].map((id) => sets.get(id))).toEqual(Array(4).fill(undefined));
    await sets.stop();
  });

  test("begin empty while the API server is away", async () => {
    away = true;
    const sets = await open();
    expect(sets.get("a")).toBeUndefined();
    await sets.stop();
  });
});
