import { beforeEach, describe, expect, test } from "@jest/globals";
import type { KubeObject, ObjectKey, ObjectStatus, ResourceChange } from "@gatewarden/core/world.ts";
import type { ResourceStatus } from "@gatewarden/xds/types.ts";
import { silentLog } from "../src/log.ts";
import { createOwners } from "../src/status/owners.ts";
import { createRedactor } from "../src/status/redact.ts";
import { createStatusWriter, type StatusWriter } from "../src/status/writer.ts";
import { createFakeClient, failure, type FakeClient } from "./fake-client.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";

const OURS = "gatewarden.io/gateway-controller";
const key = (name: string): ObjectKey => ({ kind: "ApiPolicy", namespace: "shop", name });
const status = (generation = 1): ObjectStatus => ({
  kind: "ApiPolicy",
  generation,
  target: "HTTPRoute orders",
  ancestors: [
    {
      ancestorRef: { kind: "Gateway", name: "web" },
      gateway: "shop/web",
      conditions: [
        { type: "Accepted", status: "True", reason: "Accepted", message: "", observedGeneration: generation },
      ],
    },
  ],
});
const scope = (owner: string): ResourceChange => ({
  gateway: "shop/web",
  type: "scope",
  name: `scope-${owner}`,
  json: {},
  owners: [{ key: key(owner), uid: owner, generation: 1 }],
});

describe("the status writer", () => {
  let clock: ManualClock;
  let stored: Map<string, KubeObject>;
  let conflicts: number;
  let foreign = 0; // so many applies meet entries of somebody else
  let api: FakeClient;
  let book: Map<string, ResourceStatus>;
  let proxies: number;
  let leads: boolean;
  let running: number;
  let most: number;
  let writer: StatusWriter;
  const redactor = createRedactor();
  let owners = createOwners();

  const writes = (): string[] =>
    api.asked.filter(({ verb }) => verb !== "get").map(({ path }) => path.split("/").at(-2) ?? "");
  const readyOf = (name: string): string => {
    const own = stored.get(name)?.status as
      { readonly conditions?: readonly { readonly status: string; readonly reason: string }[] } | undefined;
    return `${own?.conditions?.[0]?.status ?? ""} ${own?.conditions?.[0]?.reason ?? ""}`;
  };
  /** Of another process, which finds one proxy that has acknowledged everything. */
  const anotherWriter = (): StatusWriter =>
    createStatusWriter({
      client: api.client,
      clock,
      log: silentLog,
      controllerName: OURS,
      leads: () => true,
      owners,
      book: { proxies: () => 1, resource: () => ({ state: "acknowledged" }), turnedAway: () => undefined },
      redact: (text) => text,
    });
  const add = (name: string): void => {
    const object: KubeObject = { metadata: { name, namespace: "shop", generation: 1, resourceVersion: "1" } };
    stored.set(name, object);
    writer.seen(key(name), object);
    owners.update([scope(name)]);
    writer.update([{ key: key(name), status: status() }]);
  };

  beforeEach(() => {
    clock = createManualClock();
    stored = new Map();
    book = new Map();
    owners = createOwners();
    [conflicts, proxies, leads, running, most] = [0, 1, true, 0, 0];
    api = createFakeClient(({ verb, path, body }) => {
      const name =
        path
          .replace(/\/status$/, "")
          .split("/")
          .at(-1) ?? "";
      const object = stored.get(name);
      if (object === undefined) return failure(404);
      if (verb === "get") return { ok: true, value: object };
      if (foreign > 0) {
        foreign -= 1;
        return {
          ok: false,
          failure: { status: 409, reason: "Conflict", message: "", conflicts: [".status.credentials"] },
        };
      }
      if (conflicts > 0) {
        conflicts -= 1;
        return failure(409, "Conflict");
      }
      const next = {
        ...object,
        status: body?.status,
        metadata: { ...object.metadata, resourceVersion: String(Number(object.metadata.resourceVersion) + 1) },
      };
      stored.set(name, next);
      return { ok: true, value: next };
    });
    const counted = { ...api.client };
    counted.get = async (path) => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return api.client.get(path);
    };
    writer = createStatusWriter({
      client: counted,
      clock,
      log: silentLog,
      controllerName: OURS,
      leads: () => leads,
      owners,
      book: {
        proxies: () => proxies,
        resource: (_gateway, { name }) => book.get(name) ?? { state: "acknowledged" },
        turnedAway: () => undefined,
      },
      redact: (text) => redactor.redact(text),
    });
    writer.resume();
  });

  test("writes once, and not again while nothing differs", async () => {
    add("a");
    await clock.advance(1_000);
    expect(writes()).toEqual(["a"]);
    expect(readyOf("a")).toBe("True Programmed");
    writer.update([{ key: key("a"), status: status() }]);
    writer.seen(key("a"), stored.get("a"));
    writer.acknowledged("shop/web", "all");
    writer.resume();
    await clock.advance(60_000);
    expect(writes()).toEqual(["a"]);
    expect(writer.waiting()).toBe(0);
  });

  test("a Gateway's counts are written once a second for all routes that come, a condition at once", async () => {
    const gateway: ObjectKey = { kind: "Gateway", namespace: "shop", name: "web" };
    stored.set("web", { metadata: { name: "web", namespace: "shop", generation: 1, resourceVersion: "1" } });
    const put = (attachedRoutes: number, reason = "Accepted"): void => {
      const condition = { status: "True", message: "", observedGeneration: 1 } as const;
      const conditions = [{ ...condition, type: "Accepted", reason }];
      const listener = { name: "http", supportedKinds: [], attachedRoutes, conditions };
      const wanted: ObjectStatus = { kind: "Gateway", generation: 1, conditions, addresses: [], listeners: [listener] };
      writer.update([{ key: gateway, status: wanted }]);
    };
    const counted = (): number | undefined =>
      (stored.get("web")?.status as { readonly listeners?: readonly { readonly attachedRoutes: number }[] } | undefined)
        ?.listeners?.[0]?.attachedRoutes;
    put(0);
    await clock.advance(100);
    expect([writes(), counted()]).toEqual([["web"], 0]);
    for (let routes = 1; routes <= 10; routes += 1) {
      put(routes);
      await clock.advance(50);
    }
    expect(writes()).toEqual(["web"]);
    await clock.advance(1_000);
    expect([writes(), counted()]).toEqual([["web", "web"], 10]);
    put(11, "Pending");
    await clock.advance(50);
    expect([writes(), counted()]).toEqual([["web", "web", "web"], 11]);
  });

  test("does not write what a process before it wrote already", async () => {
    add("a");
    await clock.advance(1_000);
    const before = api.asked.length;
    const second = anotherWriter();
    second.seen(key("a"), stored.get("a"));
    second.update([{ key: key("a"), status: status() }]);
    second.resume();
    await clock.advance(60_000);
    expect(api.asked).toHaveLength(before);
    await second.stop();
  });

  test("holds back for an acknowledgement that comes soon, and says that it waits for one that does not", async () => {
    book.set("scope-a", { state: "pending", lacking: 1 });
    add("a");
    await clock.advance(100);
    expect(writes()).toEqual([]);
    book.clear();
    writer.acknowledged("shop/web", [{ type: "scope", name: "scope-a" }]);
    await clock.advance(100);
    expect(writes()).toEqual(["a"]);
    book.set("scope-a", { state: "pending", lacking: 1 });
    writer.acknowledged("shop/web", [{ type: "scope", name: "scope-a" }]);
    await clock.advance(1_000);
    expect(readyOf("a")).toBe("False Reconciling");
  });

  test("touches only the objects that an acknowledgement concerns", async () => {
    for (const name of ["a", "b", "c"]) add(name);
    await clock.advance(1_000);
    book.set("scope-b", { state: "refused", lacking: 1, refusal: { by: "proxy", message: "no", node: "n" } });
    writer.acknowledged("shop/web", [{ type: "scope", name: "scope-b" }]);
    await clock.advance(1_000);
    expect(writes()).toEqual(["a", "b", "c", "b"]);
    expect(readyOf("b")).toBe("False RejectedByProxy");
  });

  describe("of a policy that moved to another route", () => {
    const moved = (): void => {
      owners.update([
        { ...scope("a"), owners: [] },
        { ...scope("a"), name: "scope-b" },
      ]);
      writer.update([{ key: key("a"), status: status(2) }]);
    };
    const told = (name: string): void => {
      writer.acknowledged("shop/web", [{ type: "scope", name }]);
    };
    beforeEach(async () => {
      add("a");
      await clock.advance(1_000);
      book.set("scope-a", { state: "pending", lacking: 1 });
      moved();
      await clock.advance(1_000);
    });

    test("waits until no proxy has the old route with it", async () => {
      expect(readyOf("a")).toBe("False Reconciling");
      told("scope-b");
      await clock.advance(1_000);
      expect(readyOf("a")).toBe("False Reconciling");
      book.clear();
      told("scope-a");
      await clock.advance(1_000);
      expect(readyOf("a")).toBe("True Programmed");
      // From now on the old route is not its business any more.
      book.set("scope-a", { state: "pending", lacking: 1 });
      told("scope-a");
      await clock.advance(1_000);
      expect(readyOf("a")).toBe("True Programmed");
    });

    test("is not in force while a proxy refuses the old route without it", async () => {
      book.set("scope-a", { state: "refused", lacking: 0, refusal: { by: "proxy", message: "no", node: "n" } });
      told("scope-a");
      await clock.advance(1_000);
      expect(readyOf("a")).toBe("False Reconciling");
    });

    test("has nothing to wait for once the old route is removed everywhere", async () => {
      owners.update([{ ...scope("a"), json: undefined, owners: [] }]);
      book.set("scope-a", { state: "absent" });
      writer.acknowledged("shop/web", "all");
      await clock.advance(1_000);
      expect(readyOf("a")).toBe("True Programmed");
      expect(owners.leaving("shop/web")).toEqual([]);
    });
  });

  test("takes values of Secrets out of what a proxy said", async () => {
    const secret = Buffer.from("s3cret-key-1").toString("base64");
    redactor.note({
      key: { kind: "Secret", namespace: "shop", name: "k" },
      object: { metadata: { name: "k" }, data: { key: secret } },
    });
    const message = `Duplicated credential s3cret-key-1 (${secret})`;
    book.set("scope-a", { state: "refused", lacking: 1, refusal: { by: "proxy", message, node: "n" } });
    add("a");
    await clock.advance(1_000);
    const text = JSON.stringify(stored.get("a")?.status);
    expect(text).toContain("Duplicated credential [redacted] ([redacted])");
    expect(text).not.toContain(secret);
  });

  test("reads again after a conflict, and tries again later after other failures", async () => {
    add("a");
    conflicts = 3;
    await clock.advance(1_000);
    expect(readyOf("a")).toBe("True Programmed");
    expect(api.asked.filter(({ verb }) => verb === "get")).toHaveLength(4);
  });

  test("writes what was wanted before it was told to begin", async () => {
    const later = anotherWriter();
    stored.set("a", { metadata: { name: "a", namespace: "shop", resourceVersion: "1" } });
    later.update([{ key: key("a"), status: status() }]);
    await clock.advance(1_000);
    expect(writes()).toEqual([]);
    later.resume();
    await clock.advance(1_000);
    expect(writes()).toEqual(["a"]);
    await later.stop();
  });

  test("writes nothing unless it leads, and everything once it does", async () => {
    leads = false;
    for (const name of ["a", "b"]) add(name);
    await clock.advance(60_000);
    expect(writes()).toEqual([]);
    leads = true;
    writer.resume();
    await clock.advance(1_000);
    expect(writes()).toEqual(["a", "b"]);
  });

  test("does not turn a status into NoProxies before proxies had time to come back", async () => {
    add("a");
    await clock.advance(1_000);
    proxies = 0;
    writer.acknowledged("shop/web", "all");
    await clock.advance(8_000);
    expect(readyOf("a")).toBe("True Programmed");
    await clock.advance(2_000);
    expect(readyOf("a")).toBe("Unknown NoProxies");
  });

  test("says NoProxies at once where it said nothing before", async () => {
    proxies = 0;
    add("a");
    await clock.advance(100);
    expect(readyOf("a")).toBe("Unknown NoProxies");
  });

  test("mends what somebody else changed", async () => {
    add("a");
    await clock.advance(1_000);
    const broken = {
      ...(stored.get("a") as KubeObject),
      status: { conditions: [{ type: "Ready", status: "False", reason: "Prank" }] },
    };
    stored.set("a", broken);
    writer.seen(key("a"), broken);
    await clock.advance(1_000);
    expect(readyOf("a")).toBe("True Programmed");
  });

  describe("of a consumer", () => {
    const consumer: ObjectKey = { kind: "ApiConsumer", namespace: "shop", name: "erp" };
    const wanted = (resolved: "True" | "False"): ObjectStatus => ({
      kind: "ApiConsumer",
      generation: 1,
      credentials: [],
      gateways: [],
      conditions: [
        { type: "Accepted", status: "True", reason: "Accepted", message: "", observedGeneration: 1 },
        { type: "ResolvedRefs", status: resolved, reason: "ResolvedRefs", message: "", observedGeneration: 1 },
      ],
    });
    const want = async (resolved: "True" | "False"): Promise<void> => {
      writer.update([{ key: consumer, status: wanted(resolved) }]);
      await clock.advance(1_000);
    };
    const timeOf = (type: string): string | undefined =>
      (
        stored.get("erp")?.status as
          { readonly conditions: readonly { readonly type: string; readonly lastTransitionTime: string }[] } | undefined
      )?.conditions.find((each) => each.type === type)?.lastTransitionTime;

    beforeEach(async () => {
      const object: KubeObject = { metadata: { name: "erp", namespace: "shop", generation: 1, resourceVersion: "1" } };
      stored.set("erp", object);
      writer.seen(consumer, object);
      await want("True");
      writer.seen(consumer, stored.get("erp"));
      api.asked.splice(0);
    });

    test("does not read before it writes what it knows enough of, and keeps the times", async () => {
      const [accepted, resolved] = [timeOf("Accepted"), timeOf("ResolvedRefs")];
      await clock.advance(60_000);
      await want("False");
      expect(api.asked.map(({ verb }) => verb)).toEqual(["apply"]);
      expect(timeOf("Accepted")).toBe(accepted);
      expect(timeOf("ResolvedRefs")).not.toBe(resolved);
    });

    test("reads again after a conflict", async () => {
      conflicts = 1;
      await want("False");
      expect(api.asked.map(({ verb }) => verb)).toEqual(["apply", "get", "apply"]);
      expect(timeOf("ResolvedRefs")).toBeDefined();
    });

    test("forces nothing upon what it has not read", async () => {
      foreign = 2;
      await want("False");
      expect(api.asked.map(({ verb }) => verb)).toEqual(["apply", "get", "apply", "apply"]);
      const versions = api.asked.map(({ body }) => body?.metadata.resourceVersion);
      expect(versions.map((version) => version !== undefined)).toEqual([false, false, false, true]);
    });
  });

  test("gives up on what is gone, and writes again when it comes back with the same status", async () => {
    add("a");
    await clock.advance(1_000);
    stored.delete("a");
    writer.seen(key("a"), undefined);
    await clock.advance(60_000);
    const object: KubeObject = { metadata: { name: "a", namespace: "shop", generation: 1, resourceVersion: "9" } };
    stored.set("a", object);
    writer.seen(key("a"), object);
    await clock.advance(1_000);
    expect(readyOf("a")).toBe("True Programmed");
  });

  test("writes thousands with few requests at a time, at its own pace", async () => {
    for (let index = 0; index < 1_000; index += 1) add(`p${index}`);
    await clock.advance(100);
    expect(writes().length).toBeLessThan(300);
    while (writer.waiting() > 0) await clock.advance(1_000);
    expect(new Set(writes()).size).toBe(1_000);
    expect(most).toBeLessThanOrEqual(4);
  });
});
