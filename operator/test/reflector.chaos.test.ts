import { afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Change, KubeObject } from "@gatewarden/core/world.ts";
import { systemClock } from "../src/clock.ts";
import { createKubeClient, type KubeClient } from "../src/kube/client.ts";
import { tokenFromFile, type Credentials } from "../src/kube/credentials.ts";
import { kindInfo } from "../src/kube/kinds.ts";
import { startReflector, type Reflector } from "../src/kube/reflector.ts";
import { silentLog } from "../src/log.ts";
import { startFakeApiServer, type FakeApiServer, type Fault } from "./fake-api-server.ts";
import { makeKeyPair, type KeyPair } from "./self-signed.ts";
import { until } from "./wait.ts";

const SERVICES = "/api/v1/services";

function service(name: string, value: string): KubeObject {
  return { metadata: { name, namespace: "shop" }, spec: { value } };
}

let pair: KeyPair;
beforeAll(() => {
  pair = makeKeyPair(["IP:127.0.0.1"]);
});

describe.each(["http1", "http2"] as const)("a reflector over %s", (protocol) => {
  let server: FakeApiServer;
  let client: KubeClient;
  let reflector: Reflector;
  let cache: Map<string, KubeObject>;
  let notes: Map<string, number>;
  let reports: Change[];
  let folder: string;
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => {
    unhandled.push(reason);
  };

  const start = (limits: Parameters<typeof startReflector>[0]["limits"] = {}): void => {
    reflector = startReflector({
      kind: kindInfo("Service"),
      client,
      clock: systemClock,
      log: silentLog,
      limits: {
        inactivityMs: 400,
        firstBackoffMs: 20,
        longestBackoffMs: 200,
        spacingMs: 50,
        settledMs: 1_000,
        pageSize: 3,
        ...limits,
      },
      events: {
        onChange(change) {
          reports.push(change);
          const id = `${change.key.namespace}/${change.key.name}`;
          if (change.object === undefined) cache.delete(id);
          else cache.set(id, change.object);
        },
        onEvent: (event, amount) => notes.set(event, (notes.get(event) ?? 0) + amount),
      },
    });
  };
  const same = (): boolean => {
    const there = server.objects(SERVICES);
    return (
      there.size === cache.size &&
      [...there].every(([id, object]) => JSON.stringify(cache.get(id)?.spec) === JSON.stringify(object.spec))
    );
  };
  const difference = (): string =>
    `cache ${[...cache.keys()].join(" ")}; server ${[...server.objects(SERVICES).keys()].join(" ")}; ${JSON.stringify([...notes])}`;
  const settled = (): Promise<void> => until(same, difference);

  beforeEach(async () => {
    process.on("unhandledRejection", onUnhandled);
    unhandled.length = 0;
    folder = mkdtempSync(path.join(tmpdir(), "gatewarden-token-"));
    writeFileSync(path.join(folder, "token"), "one");
    server = await startFakeApiServer(protocol === "http2" ? pair : undefined);
    const credentials: Credentials = {
      server: server.url,
      material: () => Promise.resolve({ ca: pair.ca }),
      headers: tokenFromFile(path.join(folder, "token"), systemClock),
    };
    client = createKubeClient(credentials, systemClock);
    cache = new Map();
    notes = new Map();
    reports = [];
    for (let index = 0; index < 10; index += 1) server.put(SERVICES, service(`s${index}`, "first"));
  });

  afterEach(async () => {
    await reflector.stop();
    client.close();
    await server.close();
    rmSync(folder, { recursive: true });
    process.off("unhandledRejection", onUnhandled);
    expect(unhandled).toEqual([]);
  });

  it("lists page by page, follows, and reports each change once", async () => {
    start();
    await settled();
    expect(server.requests.filter((request) => !request.watch)).toHaveLength(4);
    expect(reflector.state()).toBe("synced");
    await until(() => server.watchers() === 1, "a watch");
    reports = [];
    server.put(SERVICES, service("s3", "second"));
    server.remove(SERVICES, "shop", "s4");
    await settled();
    expect(reports.map(({ key, object }) => [key.name, object?.spec])).toEqual([
      ["s3", { value: "second" }],
      ["s4", undefined],
    ]);
  });

  it.each(["close", "reset", "silent"] as const)("resumes after its watch ended: %s", async (how) => {
    start();
    await settled();
    await until(() => server.watchers() === 1, "a watch");
    server.endWatches(how);
    server.put(SERVICES, service("new", "x"));
    server.remove(SERVICES, "shop", "s0");
    await settled();
    expect(notes.get("list")).toBe(4); // resumed, not listed again
    expect(notes.get("missed")).toBe(0);
  });

  it("keeps a watch that only bookmarks keep alive, and resumes from the bookmark", async () => {
    start({ inactivityMs: 800 });
    await until(() => server.watchers() === 1, "a watch");
    for (let index = 0; index < 4; index += 1) {
      const seen = performance.now();
      await until(() => performance.now() - seen > 300, "time for the next bookmark");
      server.bookmark();
    }
    expect(notes.get("watch")).toBe(1);
  });

  it("lists again when the server has forgotten its version (410), and drops what went away meanwhile", async () => {
    start();
    await until(() => server.watchers() === 1, "a watch");
    let closed = true;
    server.setFault(({ cut, watch }) => {
      if (closed && watch) cut();
      return closed && watch;
    });
    server.endWatches("reset");
    server.remove(SERVICES, "shop", "s1");
    server.put(SERVICES, service("s2", "changed"));
    server.compact();
    closed = false;
    await settled();
    expect(notes.get("list")).toBeGreaterThan(4);
  });

  const answer =
    (code: number, headers: Record<string, string> = {}): Fault =>
    ({ response }) => {
      response.writeHead(code, headers);
      response.end("<html>busy</html>");
      return true;
    };

  it.each([
    ["500", answer(500)],
    ["429", answer(429, { "retry-after": "1" })],
    ["503 in HTML", answer(503)],
    [
      "a cut connection",
      ({ cut }) => {
        cut();
        return true;
      },
    ],
    [
      "a half answer",
      ({ response, cut }) => {
        response.writeHead(200, { "content-type": "application/json" });
        response.write('{"items":[{"metadata"');
        setImmediate(cut);
        return true;
      },
    ],
    [
      "nonsense",
      ({ response }) => {
        response.end("{]\n");
        return true;
      },
    ],
  ])("lives through %s on list and watch", async (_name, fault) => {
    server.setFault(fault);
    start();
    await until(() => server.requests.length >= 2, "two attempts");
    server.setFault(undefined);
    await settled();
    await until(() => server.watchers() === 1, "a watch");
    server.setFault(fault);
    const before = server.requests.length;
    server.endWatches("reset");
    server.put(SERVICES, service("later", "y"));
    await until(() => server.requests.length >= before + 2, "two attempts");
    server.setFault(undefined);
    await settled();
  });

  it("honours Retry-After", async () => {
    server.setFault(answer(429, { "retry-after": "1" }));
    start();
    await until(() => server.requests.length >= 2, "a second attempt");
    const [first, second] = server.requests;
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(990);
    server.setFault(undefined);
    await settled();
  });

  it("throws a partial line away and takes duplicates once", async () => {
    start();
    await until(() => server.watchers() === 1, "a watch");
    reports = [];
    server.put(SERVICES, service("s5", "second"));
    await settled();
    server.replay(SERVICES);
    server.put(SERVICES, service("s6", "second"));
    await settled();
    expect(reports.map(({ key }) => key.name)).toEqual(["s5", "s6"]);
    server.writeRaw('{"type":"MODIFIED","object":{"metadata":{"name":"s5","names');
    server.endWatches("close");
    server.put(SERVICES, service("s7", "second"));
    await settled();
    expect(reports.map(({ key }) => key.name)).toEqual(["s5", "s6", "s7"]);
  });

  it("reads a rotated token again after a 401, and lives through an unreadable file", async () => {
    server.setTokens(["one"]);
    start();
    await until(() => server.watchers() === 1, "a watch");
    rmSync(path.join(folder, "token"));
    server.setTokens(["two"]);
    server.endWatches("close");
    await until(
      () => server.requests.at(-1)?.authorization === "Bearer one" && server.requests.length > 6,
      "refused attempts",
    );
    writeFileSync(path.join(folder, "token"), "two\n");
    server.put(SERVICES, service("rotated", "z"));
    await settled();
    expect(server.requests.at(-1)?.authorization).toBe("Bearer two");
  });

  it("does not ask in a circle when every watch is closed at once", async () => {
    start({ spacingMs: 100 });
    await settled();
    server.setFault(({ watch, response }) => {
      if (watch) response.end();
      return watch;
    });
    server.endWatches("close");
    const first = server.requests.length;
    await until(() => server.requests.length >= first + 6, "six more attempts");
    const times = server.requests.slice(first).map((request) => request.at);
    times.slice(1).forEach((time, index) => expect(time - (times[index] ?? 0)).toBeGreaterThanOrEqual(95));
    server.setFault(undefined);
    server.put(SERVICES, service("after", "storm"));
    await settled();
  });

  it("finds by comparison what no watch told, and counts it", async () => {
    start({ relistMs: 300, inactivityMs: 60_000 });
    await until(() => server.watchers() === 1, "a watch");
    server.endWatches("silent");
    server.put(SERVICES, service("untold", "1"));
    server.remove(SERVICES, "shop", "s9");
    await settled();
    expect(notes.get("missed")).toBe(2);
  });

  it("stops in every state: nothing is asked for afterwards", async () => {
    start();
    await until(() => server.watchers() === 1, "a watch");
    await reflector.stop();
    await until(() => server.watchers() === 0, "the watch to end");
    server.setFault(answer(500));
    start({ firstBackoffMs: 60_000, longestBackoffMs: 60_000 });
    await until(() => notes.get("failure") === 1, "a failure");
    await reflector.stop();
    expect(reflector.state()).toBe("stopped");
    server.setFault(() => true); // never answers
    const before = server.requests.length;
    start();
    await until(() => server.requests.length > before, "a request under way");
    await reflector.stop();
    const after = server.requests.length;
    server.setFault(undefined);
    server.put(SERVICES, service("zombie", "1"));
    await new Promise((resolve) => setImmediate(resolve));
    expect(server.requests).toHaveLength(after);
  });

  it("turns a missing kind off and finds it when it comes", async () => {
    server.setFault(answer(404));
    start();
    await until(() => reflector.state() === "absent", "absent");
    server.setFault(undefined);
    reflector.wake();
    await settled();
    expect(reflector.state()).toBe("synced");
  });

  it("takes nothing out of service while an API server starts that has not read its roles yet", async () => {
    start();
    await until(() => server.watchers() === 1, "a watch");
    reports = [];
    const states: string[] = [];
    server.setFault((context) => {
      states.push(reflector.state());
      return answer(403)(context); // the question whether it is so, too
    });
    server.endWatches("reset");
    await until(() => server.requests.filter(({ path }) => path !== SERVICES).length >= 3, "three questions");
    server.setFault(undefined);
    server.put(SERVICES, service("meanwhile", "x"));
    await settled();
    expect(new Set(states)).toEqual(new Set(["synced"]));
    expect(reports.map(({ key }) => key.name)).toEqual(["meanwhile"]);
  });

  it("is back soon where a returning API server says 5 s for a path that it does not have yet", async () => {
    start({ longestBackoffMs: 60_000 });
    await until(() => server.watchers() === 1, "a watch");
    server.setFault(answer(503, { "retry-after": "60" }));
    server.endWatches("reset");
    await until(() => notes.get("failure") === 1, "a failure");
    reflector.wake("returning");
    await until(() => (notes.get("failure") ?? 0) >= 4, "more failures");
    server.setFault(undefined);
    server.put(SERVICES, service("back", "x"));
    await settled();
  });

  it.each([
    ["the API server says so", "review"],
    ["nobody says otherwise for long enough", "time"],
  ])("keeps what it knows when its rights are taken away, as %s", async (_how, how) => {
    start(how === "time" ? { deniedMs: 200 } : {});
    await until(() => server.watchers() === 1, "a watch");
    server.setFault((context) => {
      if (how === "time" || context.path === SERVICES) return answer(403)(context);
      context.response.writeHead(201, { "content-type": "application/json" });
      context.response.end(JSON.stringify({ status: { allowed: false } }));
      return true;
    });
    server.endWatches("close");
    await until(() => reflector.state() === "denied", "denied");
    expect(cache.size).toBe(10);
    server.setFault(undefined);
    reflector.wake();
    server.remove(SERVICES, "shop", "s1");
    await settled();
  });
});
