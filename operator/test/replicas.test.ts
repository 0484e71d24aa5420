/** What replicas tell each other: what is said, what the leader makes of it, and that it is the same as with one replica. */
import { describe, expect, test } from "@jest/globals";
import type { JsonObject, ResourceKey, ResourceReport, ResourceStatus } from "@gatewarden/xds/types.ts";
import {
  countsMessage,
  elsewhereMessage,
  parseElsewhere,
  parseReport,
  resourcesMessage,
} from "../src/replicas/messages.ts";
import { createReporter } from "../src/replicas/reporter.ts";
import { combinedBook, createReports, type Reports } from "../src/replicas/reports.ts";
import { createManualClock } from "./manual-clock.ts";

const GATEWAY = "shop/web";
const A: ResourceKey = { type: "scope", name: "a" };
const B: ResourceKey = { type: "extension", name: "jwt" };
const refusal = { by: "proxy", message: "missing ]", node: "n" } as const;

describe("messages", () => {
  test("arrive as they were sent", () => {
    const counts = new Map([[GATEWAY, { complete: 2, joining: 1 }]]);
    expect(parseReport(countsMessage(counts))).toEqual({ type: "counts", gateways: counts });
    const reports: readonly (readonly [ResourceKey, ResourceReport])[] = [
      [A, { version: "v1", lacking: 0 }],
      [B, { version: "v2", lacking: 1, refusal }],
    ];
    expect(parseReport(resourcesMessage(GATEWAY, reports))).toEqual({ type: "resources", gateway: GATEWAY, reports });
    expect(parseElsewhere(elsewhereMessage(new Map([[GATEWAY, 3]])))).toEqual(new Map([[GATEWAY, 3]]));
  });

  test.each([
    [{}],
    [{ hello: 1 }],
    [{ gateway: GATEWAY, resources: {} }],
    [{ gateway: GATEWAY, resources: [1, ["scope", "a"], ["planet", "a", "v", 0], ["scope", "a", "v", -1]] }],
  ] as readonly (readonly [JsonObject])[])("what is not understood is left out: %j", (message) => {
    const parsed = parseReport(message);
    expect(parsed?.type === "resources" ? parsed.reports : []).toEqual([]);
  });
});

/** A leader whose own proxies have version `own` of A, and a replica with proxies. */
function leader(own: { version: string; status: ResourceStatus; complete: number }) {
  const reports: Reports = createReports();
  const book = combinedBook(
    {
      status: () => own.status,
      report: () => ({ version: own.version, lacking: 0 }),
      proxies: () => ({ complete: own.complete, joining: 0 }),
      turnedAway: () => undefined,
    },
    reports,
  );
  const replica = reports.add();
  const counts = (complete: number): void =>
    void reports.take(replica, { type: "counts", gateways: new Map([[GATEWAY, { complete, joining: 0 }]]) });
  const say = (report: ResourceReport, key = A): void =>
    void reports.take(replica, { type: "resources", gateway: GATEWAY, reports: [[key, report]] });
  return { reports, book, replica, counts, say, state: () => book.resource(GATEWAY, A) };
}

describe("the book of all replicas", () => {
  const acknowledged = { version: "v1", status: { state: "acknowledged" }, complete: 1 } as const;

  test("counts everybody's proxies, and a resource only where all of them have this version", () => {
    const own: { version: string; status: ResourceStatus; complete: number } = { ...acknowledged };
    const { book, counts, say, state } = leader(own);
    expect([book.proxies(GATEWAY), state()]).toEqual([1, { state: "acknowledged" }]);
    counts(2);
    expect([book.proxies(GATEWAY), state()]).toEqual([3, { state: "pending", lacking: 2 }]); // nothing was said of it
    say({ version: "v0", lacking: 0 });
    expect(state()).toEqual({ state: "pending", lacking: 2 }); // the replica is behind
    say({ version: "v1", lacking: 1 });
    expect(state()).toEqual({ state: "pending", lacking: 1 });
    say({ version: "v1", lacking: 0 });
    expect(state()).toEqual({ state: "acknowledged" });
    own.version = "v2"; // news here first
    expect(state()).toEqual({ state: "pending", lacking: 2 });
    say({ version: "v3", lacking: 0 });
    own.version = "v3"; // news there first
    expect(state()).toEqual({ state: "acknowledged" });
  });

  test("knows of a refusal elsewhere", () => {
    const { counts, say, state } = leader(acknowledged);
    counts(1);
    say({ version: "v1", lacking: 1, refusal });
    expect(state()).toEqual({ state: "refused", lacking: 1, refusal });
    say({ version: "v0", lacking: 1, refusal });
    expect(state()).toEqual({ state: "pending", lacking: 1 }); // of another version
  });

  test("knows of a removal elsewhere", () => {
    const { counts, say, state } = leader({ version: "", status: { state: "absent" }, complete: 1 });
    counts(1);
    expect(state()).toEqual({ state: "absent" });
    say({ version: "v1", lacking: 0 });
    expect(state()).toEqual({ state: "pending", lacking: 1 });
    say({ version: "", lacking: 0 });
    expect(state()).toEqual({ state: "absent" });
  });

  test("forgets what a replica said whose proxies are gone, or that is gone itself", () => {
    const { reports, replica, counts, say, state, book } = leader(acknowledged);
    counts(1);
    say({ version: "v1", lacking: 0 });
    counts(0);
    expect(state()).toEqual({ state: "acknowledged" });
    counts(1);
    expect(state()).toEqual({ state: "pending", lacking: 1 });
    reports.remove(replica);
    expect([state(), book.proxies(GATEWAY)]).toEqual([{ state: "acknowledged" }, 1]);
  });
});

describe("the reporter", () => {
  const world = () => {
    const clock = createManualClock();
    const sent: JsonObject[] = [];
    const resources = new Map<string, ResourceReport>([
      ["scope a", { version: "v1", lacking: 0 }],
      ["extension jwt", { version: "v2", lacking: 0 }],
    ]);
    const state = { complete: 0, flowing: true };
    const reporter = createReporter(
      {
        gateways: () => [GATEWAY],
        keys: () => [A, B],
        report: (_, { type, name }) => resources.get(`${type} ${name}`) ?? { version: "", lacking: 0 },
        proxies: () => ({ complete: state.complete, joining: 0 }),
      },
      clock,
      (message) => {
        sent.push(message);
        return state.flowing;
      },
    );
    const news = async (): Promise<readonly JsonObject[]> => {
      await clock.advance(20);
      return sent.splice(0);
    };
    return { reporter, resources, state, news };
  };

  test("says nothing of gateways without proxies, and everything once there is one, resources before the count", async () => {
    const { reporter, state, news } = world();
    expect(await news()).toEqual([]);
    reporter.changed(GATEWAY, [A]);
    expect(await news()).toEqual([]);
    state.complete = 1;
    reporter.changed(GATEWAY, "all");
    expect(await news()).toEqual([
      {
        gateway: GATEWAY,
        resources: [
          ["scope", "a", "v1", 0],
          ["extension", "jwt", "v2", 0],
        ],
      },
      { counts: { [GATEWAY]: [1, 0] } },
    ]);
    reporter.changed(GATEWAY, [A]);
    reporter.changed(GATEWAY, [A]);
    expect(await news()).toEqual([{ gateway: GATEWAY, resources: [["scope", "a", "v1", 0]] }]);
  });

  test("says again what was outstanding when a proxy goes", async () => {
    const { reporter, resources, state, news } = world();
    state.complete = 2;
    resources.set("scope a", { version: "v1", lacking: 1 });
    reporter.changed(GATEWAY, "all");
    await news();
    state.complete = 1;
    resources.set("scope a", { version: "v1", lacking: 0 });
    reporter.changed(GATEWAY, "all");
    expect(await news()).toEqual([
      { gateway: GATEWAY, resources: [["scope", "a", "v1", 0]] },
      { counts: { [GATEWAY]: [1, 0] } },
    ]);
  });

  test("waits while the leader does not read, and then says the newest state only", async () => {
    const { reporter, resources, state, news } = world();
    state.complete = 1;
    state.flowing = false;
    reporter.changed(GATEWAY, "all");
    await news();
    for (const version of ["v3", "v4"]) {
      resources.set("scope a", { version, lacking: 0 });
      reporter.changed(GATEWAY, [A]);
    }
    expect(await news()).toEqual([]);
    state.flowing = true;
    reporter.drained();
    expect(await news()).toEqual([{ gateway: GATEWAY, resources: [["scope", "a", "v4", 0]] }]);
  });
});
