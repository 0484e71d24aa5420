/** The chart's alerts, judged by Prometheus on what a real operator says of itself: quiet while it is well, and heard when it is not. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import { holding, judge, scrapes } from "./alerts.ts";

const HOUR = 3_600;
/** Says how busy the machine is that the tests run on. */
const OF_THE_MACHINE = "GatewardenSlow";

describe("the alerts", () => {
  let harness: Harness;
  let well: string;
  beforeAll(async () => {
    harness = await startHarness();
    await eventually("a leader", async () => (await harness.operator.metric("gatewarden_leads")) === 1);
    well = (await harness.operator.endpoint("/metrics")).body;
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const held = async (...pods: readonly (readonly [string, string | undefined])[]): Promise<readonly string[]> =>
    (await holding(pods.flatMap(([pod, page]) => scrapes(pod, page, 0, HOUR)))).filter(
      (name) => name !== OF_THE_MACHINE,
    );
  const follower = (): string => well.replace(/^gatewarden_leads 1$/m, "gatewarden_leads 0");

  it("ask for what the operator's page has", async () => {
    const asked = (await judge(scrapes("a", well, 0, HOUR))).flatMap(({ metrics }) => metrics);
    expect(new Set(asked).size).toBeGreaterThan(10);
    for (const name of asked) if (name !== "up") expect(well).toMatch(new RegExp(`^${name}(\\{.*\\})? `, "m"));
  });

  it("are quiet while the operator is well", async () => {
    expect(await held(["a", well])).toEqual([]);
    expect(follower()).not.toBe(well);
    expect(await held(["a", well], ["b", follower()])).toEqual([]);
  });

  it("say that a replica is down, and that all are", async () => {
    expect(await held(["a", well], ["b", undefined])).toEqual(["GatewardenReplicaDown"]);
    expect(await held(["a", undefined])).toEqual(["GatewardenDown", "GatewardenReplicaDown"]);
    expect(await holding([])).toEqual(["GatewardenDown"]);
  });

  it("say that nobody writes, and that two do", async () => {
    expect(await held(["a", follower()])).toEqual(["GatewardenNoLeader"]);
    expect(await held(["a", well], ["b", well])).toEqual(["GatewardenTwoLeaders"]);
  });

  it.each([
    ["GatewardenFault", /^gatewarden_evaluation_faults_total 0$/m, "gatewarden_evaluation_faults_total 1"],
    ["GatewardenFault", /^gatewarden_unhandled_rejections_total 0$/m, "gatewarden_unhandled_rejections_total 1"],
    ["GatewardenMissedEvents", /^(gatewarden_informer_events_total\{event="missed",kind="Gateway"\}) 0$/m, "$1 1"],
    ["GatewardenRefusedByProxy", /^(gatewarden_xds_quarantined_total\{type="scope"\}) 0$/m, "$1 1"],
  ])("of what must never happen are heard the first time (%s)", async (alert, before, after) => {
    const ill = well.replace(before, after);
    expect(ill).not.toBe(well);
    const all = [...scrapes("a", well, 0, HOUR), ...scrapes("a", ill, HOUR + 30, HOUR + 120)];
    expect(await holding(all)).toContain(alert);
    // And no longer an hour later.
    expect(await holding([...all, ...scrapes("a", ill, HOUR + 150, 2 * HOUR)])).not.toContain(alert);
  });
});
