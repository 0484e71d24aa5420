import { afterEach, describe, expect, it } from "@jest/globals";
import { eventually } from "../../e2e/cluster/condition.ts";
import { type AdsClient, namesOf } from "./ads-client.ts";
import {
  cluster,
  endpoint,
  extension,
  GATEWAY,
  gone,
  listener,
  scope,
  secret,
  startServer,
  type TestServer,
} from "./test-server.ts";

const FIRST = [cluster("a"), endpoint("a"), secret("s"), extension("e"), listener("l"), scope("h1"), scope("h2")];

let test: TestServer;
afterEach(() => test.stop());

/** Asks for everything the way an Envoy does, acknowledging each answer. */
async function join(client: AdsClient): Promise<void> {
  client.subscribe("cluster");
  await client.nextAcked("cluster");
  client.subscribe("endpoint", ["a"]);
  await client.nextAcked("endpoint");
  client.subscribe("listener");
  await client.nextAcked("listener");
  client.subscribe("secret", ["s"]);
  await client.nextAcked("secret");
  client.subscribe("extension", ["e"]);
  await client.nextAcked("extension");
  client.subscribe("scope");
  await client.nextAcked("scope");
  await eventually("the proxy counts", () => test.server.proxies(GATEWAY).complete === 1);
}

/** What a client that keeps everything would hold after these responses. */
function versionsOf(client: AdsClient, type: string): Record<string, string> {
  const held = new Map<string, string>();
  for (const response of client.received) {
    if (!response.type.endsWith(type)) continue;
    for (const [name, version] of Object.entries(response.versions)) held.set(name, version);
    for (const name of response.removed) held.delete(name);
  }
  return Object.fromEntries(held);
}

describe("delta ADS", () => {
  it("serves all types and sends only what differs afterwards", async () => {
    test = await startServer({ changes: FIRST });
    const client = test.connect();
    await join(client);
    const before = client.received.length;
    await test.server.apply([scope("h1", "new"), scope("h2")]);
    const response = await client.nextAcked("scope");
    expect(namesOf(response)).toEqual(["h1"]);
    expect(response.removed).toEqual([]);
    await test.server.apply([scope("h1", "new")]);
    await test.server.apply([endpoint("a", 81)]);
    expect(namesOf(await client.nextAcked("endpoint"))).toEqual(["a"]);
    expect(client.received.length).toBe(before + 2);
  });

  it("says what does not exist, and says it again when asked again", async () => {
    test = await startServer({ changes: FIRST });
    const client = test.connect();
    client.subscribe("endpoint", ["a", "nowhere"]);
    const first = await client.nextAcked("endpoint");
    expect(namesOf(first)).toEqual(["a"]);
    expect(first.removed).toEqual(["nowhere"]);
    client.subscribe("endpoint", ["a"]);
    expect(namesOf(await client.nextAcked("endpoint"))).toEqual(["a"]);
    await test.server.apply([endpoint("nowhere")]);
    expect(namesOf(await client.nextAcked("endpoint"))).toEqual(["nowhere"]);
    client.send("endpoint", { resourceNamesUnsubscribe: ["a"] });
    client.subscribe("secret", ["none"]);
    expect((await client.nextAcked("secret")).removed).toEqual(["none"]);
    await test.server.apply([endpoint("a", 99), secret("none")]);
    expect(namesOf(await client.nextAcked("secret"))).toEqual(["none"]);
  });

  it("answers a wildcard at once although there is nothing, and types that it does not have", async () => {
    test = await startServer();
    const client = test.connect();
    client.subscribe("scope");
    expect(namesOf(await client.nextAcked("scope"))).toEqual([]);
    client.subscribe("type.googleapis.com/envoy.config.route.v3.RouteConfiguration", ["r"]);
    const routes = await client.next();
    expect(routes.removed).toEqual(["r"]);
    client.ack(routes);
    await test.server.apply([scope("h")]);
    expect(namesOf(await client.next("scope"))).toEqual(["h"]);
  });

  it("keeps one response of a type unanswered, then sends the newest state only", async () => {
    test = await startServer({ changes: FIRST });
    const client = test.connect();
    await join(client);
    const before = client.received.length;
    for (let round = 0; round < 50; round += 1) await test.server.apply([scope("h1", `round ${String(round)}`)]);
    const first = await client.next("scope");
    expect(JSON.stringify(first.resources)).toContain("round 0");
    client.ack(first);
    const second = await client.next("scope");
    expect(JSON.stringify(second.resources)).toContain("round 49");
    expect(test.server.status(GATEWAY, { type: "scope", name: "h1" })).toEqual({ state: "pending", lacking: 1 });
    client.ack(second);
    await eventually(
      "acknowledged",
      () => test.server.status(GATEWAY, { type: "scope", name: "h1" }).state === "acknowledged",
    );
    expect(client.received.length).toBe(before + 2);
  });

  it("makes before it breaks", async () => {
    test = await startServer({ changes: FIRST });
    const client = test.connect();
    await join(client);
    // One publication in the worst order: the scope moves from cluster a to b.
    await test.server.apply([
      gone("endpoint", "a"),
      gone("cluster", "a"),
      gone("scope", "h2"),
      scope("h1", "on b"),
      listener("l2"),
      cluster("b"),
      endpoint("b"),
    ]);
    const added = await client.next("cluster");
    expect(namesOf(added)).toEqual(["b"]);
    expect(added.removed).toEqual([]);
    // An Envoy acknowledges the cluster only once it is warm: its endpoints must come without that.
    client.subscribe("endpoint", ["b"]);
    const endpoints = await client.next("endpoint");
    client.ack(endpoints);
    client.ack(added);
    expect(namesOf(await client.nextAcked("listener"))).toEqual(["l2"]);
    const moved = await client.next("scope");
    expect(namesOf(moved)).toEqual(["h1"]);
    expect(moved.removed).toEqual([]);
    const sofar = client.received.length;
    client.subscribe("secret", ["s"]); // a round trip: nothing was removed before the scopes were acknowledged
    await client.nextAcked("secret");
    expect(client.received.length).toBe(sofar + 1);
    client.ack(moved);
    expect((await client.nextAcked("scope")).removed).toEqual(["h2"]);
    const removed = await client.nextAcked("cluster");
    expect(removed.removed).toEqual(["a"]);
    expect((await client.nextAcked("endpoint")).removed).toEqual(["a"]);
  });

  it("removes a scope although a cluster never gets warm, and only after the new scopes", async () => {
    test = await startServer({ changes: FIRST });
    const client = test.connect();
    await join(client);
    await test.server.apply([cluster("cold"), gone("scope", "h2"), scope("h1", "new")]);
    const began = performance.now();
    await client.next("cluster"); // never acknowledged
    const changed = await client.nextAcked("scope");
    expect([namesOf(changed), changed.removed]).toEqual([["h1"], []]);
    const removed = await client.nextAcked("scope");
    expect([namesOf(removed), removed.removed]).toEqual([[], ["h2"]]);
    expect(performance.now() - began).toBeLessThan(5_000); // once the longest wait, not twice
  });

  it("sends the endpoints of a changed cluster again", async () => {
    test = await startServer({ changes: FIRST });
    const client = test.connect();
    await join(client);
    await test.server.apply([cluster("a", "2s")]);
    const changed = await client.next("cluster");
    expect(namesOf(await client.nextAcked("endpoint"))).toEqual(["a"]);
    client.ack(changed);
  });

  it("resumes: sends nothing of what the client has, and what came and went in between", async () => {
    test = await startServer({ changes: FIRST });
    const first = test.connect();
    await join(first);
    const held = Object.fromEntries(
      ["Cluster", "Assignment", "Listener", "ScopedRouteConfiguration"].map((type) => [type, versionsOf(first, type)]),
    );
    first.close();
    await eventually("the stream is closed", () => test.counts["streams"] === 0);
    expect(test.server.proxies(GATEWAY).complete).toBe(1);
    await test.server.apply([scope("h1", "while away"), gone("scope", "h2"), scope("h3")]);
    expect(test.server.status(GATEWAY, { type: "scope", name: "h1" }).state).toBe("pending");

    const second = test.connect();
    second.subscribe("cluster", [], held["Cluster"]);
    second.subscribe("endpoint", ["a"], held["Assignment"]);
    second.subscribe("listener", [], held["Listener"]);
    second.subscribe("scope", [], held["ScopedRouteConfiguration"]);
    const scopes = await second.nextAcked("scope");
    expect(namesOf(scopes)).toEqual(["h1", "h3"]);
    expect((await second.nextAcked("scope")).removed).toEqual(["h2"]);
    await eventually(
      "acknowledged",
      () => test.server.status(GATEWAY, { type: "scope", name: "h1" }).state === "acknowledged",
    );
    expect(second.received.length).toBe(2);
    expect(test.server.proxies(GATEWAY)).toEqual({ complete: 1, joining: 0 });
  });

  it("makes the same versions of the same content in another process's life", async () => {
    test = await startServer({ changes: FIRST });
    const first = test.connect();
    await join(first);
    const held = versionsOf(first, "ScopedRouteConfiguration");
    await test.stop();
    test = await startServer({ changes: FIRST });
    const second = test.connect();
    second.subscribe("scope", [], held);
    second.subscribe("secret", ["s"]);
    await second.nextAcked("secret");
    expect(second.received.length).toBe(1);
  });

  it("tells apart proxies of the same name, and forgets one that stays away", async () => {
    test = await startServer({ changes: FIRST });
    const one = test.connect();
    await join(one);
    const two = test.connect();
    two.subscribe("cluster");
    await two.nextAcked("cluster");
    expect(test.server.proxies(GATEWAY)).toEqual({ complete: 1, joining: 1 });
    two.close();
    one.close();
    await eventually("both are forgotten", () => test.server.proxies(GATEWAY).complete === 0, { limitMs: 10_000 });
    expect(test.server.proxies(GATEWAY)).toEqual({ complete: 0, joining: 0 });
  });
});
