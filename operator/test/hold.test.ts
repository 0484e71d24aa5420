import { beforeEach, describe, expect, test } from "@jest/globals";
import type { JsonObject, ResourceChange } from "@gatewarden/core/world.ts";
import { createHold, type Hold, type Published } from "../src/hold.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";

const scope = (name: string, json: JsonObject | undefined): ResourceChange => ({
  gateway: "shop/edge",
  type: "scope",
  name,
  json,
  owners: [],
});
const output = (...resources: readonly ResourceChange[]): Published => ({ resources, statuses: [] });

describe("what an evaluation put out", () => {
  let clock: ManualClock;
  let reading: boolean;
  let published: Published[];
  let hold: Hold;

  beforeEach(() => {
    clock = createManualClock();
    reading = false;
    published = [];
    hold = createHold({ clock, reading: () => reading, publish: (what) => published.push(what) });
  });

  test("goes at once while nothing is read", () => {
    const first = output(scope("a", { closed: false }));
    hold(first);
    expect(published).toEqual([first]);
    expect(clock.timers()).toBe(0);
  });

  test("waits for what is read, and is replaced by what follows from it", () => {
    reading = true;
    hold(output(scope("a", { closed: true }), scope("b", undefined)));
    expect(published).toEqual([]);
    reading = false;
    hold(output(scope("a", { closed: false })));
    expect(published).toEqual([output(scope("b", undefined), scope("a", { closed: false }))]);
    expect(clock.timers()).toBe(0);
  });

  test("waits for the end of the evaluation that has taken in what was read", () => {
    reading = true;
    hold(output(scope("a", { closed: true })));
    reading = false;
    hold({ ...output(), unfinished: true });
    expect(published).toEqual([]);
    hold(output(scope("a", { closed: false })));
    expect(published).toEqual([output(scope("a", { closed: false }))]);
    hold({ ...output(scope("b", { closed: false })), unfinished: true });
    expect(published).toHaveLength(2); // nothing is read: what is urgent goes at once
  });

  test("waits for a moment only", async () => {
    reading = true;
    hold(output(scope("a", { closed: true })));
    await clock.advance(900);
    hold(output(scope("b", { closed: false })));
    await clock.advance(99);
    expect(published).toEqual([]);
    await clock.advance(1);
    expect(published).toEqual([output(scope("a", { closed: true }), scope("b", { closed: false }))]);
  });
});
