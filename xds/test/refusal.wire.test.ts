import { afterEach, describe, expect, it } from "@jest/globals";
import { eventually } from "../../e2e/cluster/condition.ts";
import type { ResourceType } from "../src/types.ts";
import { type AdsClient, type ConnectOptions, namesOf, type Received } from "./ads-client.ts";
import {
  change,
  cluster,
  GATEWAY,
  gone,
  listener,
  scope,
  scopeJson,
  secret,
  startServer,
  type TestServer,
} from "./test-server.ts";

let test: TestServer;
afterEach(() => test.stop());

const stateOf = (type: ResourceType, name: string) => test.server.status(GATEWAY, { type, name });

/** Answers scopes like an Envoy: refuses a response as a whole, naming nobody, if one of its scopes says `bad`. Until nothing comes any more. */
async function answerScopes(client: AdsClient, done: () => boolean): Promise<Map<string, string>> {
  const held = new Map<string, string>();
  const refused: string[] = [];
  while (!done()) {
    const response = await client.next("scope");
    const texts = response.resources.map((resource) => JSON.stringify(resource));
    for (const text of texts) expect(refused).not.toContain(text);
    if (texts.some((text) => text.includes("bad"))) {
      if (texts.length === 1) refused.push(...texts);
      client.nack(response, "missing ]: [\n"); // Envoy's own text of a regular expression ends like this
      await pause(client);
      continue;
    }
    for (const resource of response.resources) held.set(resource["name"] as string, bodyOf(resource));
    for (const name of response.removed) held.delete(name);
    client.ack(response);
    await pause(client);
  }
  return held;
}

/** A round trip, so that what follows from an answer has happened. */
async function pause(client: AdsClient): Promise<void> {
  const before = client.received.length;
  client.subscribe("type.example/none", ["x"]);
  await eventually("a round trip", () =>
    client.received.slice(before).some(({ type }) => type === "type.example/none"),
  );
  const index = client.received.findIndex(({ type }) => type === "type.example/none");
  client.received.splice(index, 1);
}

function bodyOf(resource: object): string {
  return /"inlineString":"([^"]*)"/.exec(JSON.stringify(resource))?.[1] ?? "";
}

/** A client that has clusters and listeners, so that it counts as soon as it has acknowledged what it gets next. */
async function subscribed(
  type: ResourceType,
  more: Partial<ConnectOptions> = {},
): Promise<{ client: AdsClient; first: Received }> {
  const client = test.connect(more);
  client.subscribe("cluster");
  let first = await client.next("cluster");
  if (type === "cluster") {
    client.subscribe("listener");
    await client.nextAcked("listener");
    return { client, first };
  }
  client.ack(first);
  client.subscribe("listener");
  first = await client.next("listener");
  if (type === "listener") return { client, first };
  client.ack(first);
  client.subscribe(type);
  return { client, first: await client.next(type) };
}

describe("refused scopes", () => {
  it("are found among good ones, which are delivered; the last good version stays", async () => {
    const hosts = Array.from({ length: 33 }, (_, index) => `h${String(index)}`);
    test = await startServer({ changes: hosts.map((host) => scope(host, "one")) });
    const { client, first } = await subscribed("scope");
    client.ack(first);
    await eventually("the proxy counts", () => test.server.proxies(GATEWAY).complete === 1);
    const bad = new Set(["h0", "h7", "h32"]);
    await test.server.apply(hosts.map((host) => scope(host, bad.has(host) ? "bad" : "two")));
    const held = await answerScopes(
      client,
      () =>
        stateOf("scope", "h0").state === "refused" &&
        stateOf("scope", "h7").state === "refused" &&
        stateOf("scope", "h32").state === "refused" &&
        hosts.every((host) => bad.has(host) || stateOf("scope", host).state === "acknowledged"),
    );
    for (const host of hosts) expect([host, held.get(host)]).toEqual([host, bad.has(host) ? held.get(host) : "two"]);
    for (const host of bad) expect(["one", undefined]).toContain(held.get(host));
    expect(stateOf("scope", "h7")).toMatchObject({
      state: "refused",
      refusal: { by: "proxy", node: "proxy-1", message: "missing ]: [" },
    });
    expect(test.counts["quarantined"]).toBe(3);
    await eventually("the shell was told", () =>
      test.changes.some(({ keys }) => keys !== "all" && keys.some(({ name }) => name === "h32")),
    );

    // A proxy that joins now is never shown what was refused.
    const { first: joined } = await subscribed("scope");
    expect(namesOf(joined)).toEqual([...hosts].sort());
    expect(JSON.stringify(joined)).not.toContain("bad");
  });

  it("give way to their fallback where no version was ever good, and to new content", async () => {
    test = await startServer({ changes: [scope("a", "good"), scope("b", "bad", scopeJson("b", "closed"))] });
    const { client, first } = await subscribed("scope");
    client.nack(first, "missing ]: [");
    const held = await answerScopes(client, () => stateOf("scope", "b").state === "refused");
    for (let response = await client.next("scope"); ; response = await client.next("scope")) {
      for (const resource of response.resources) held.set(resource["name"] as string, bodyOf(resource));
      client.ack(response);
      if (held.get("b") === "closed" && held.get("a") === "good") break;
    }
    await eventually("the proxy counts", () => test.server.proxies(GATEWAY).complete === 1);
    await test.server.apply([scope("b", "bad", scopeJson("b", "closed"))]); // nothing new
    expect(stateOf("scope", "b").state).toBe("refused");
    await test.server.apply([scope("b", "mended")]);
    const mended = await client.next("scope");
    expect(mended.resources.map(bodyOf)).toEqual(["mended"]);
    expect(stateOf("scope", "b").state).toBe("pending");
    client.ack(mended);
    await eventually("acknowledged", () => stateOf("scope", "b").state === "acknowledged");
  });

  it("are not sent again in the same bytes: an Envoy would take them for unchanged", async () => {
    test = await startServer();
    const { client, first } = await subscribed("scope");
    client.ack(first);
    await test.server.apply([scope("a", "new"), scope("b", "bad")]);
    const both = await client.next("scope");
    client.nack(both, "missing ]: [");
    const again = await client.next("scope");
    const [before] = both.resources.filter(({ name }) => name === "a");
    expect(namesOf(again)).toEqual(["a"]);
    expect(bodyOf(again.resources[0] ?? {})).toBe("new");
    expect(again.resources[0]).not.toEqual(before);
    expect(again.versions["a"]).toBe(both.versions["a"]);
  });

  it("that one proxy accepts are refused by the other alone", async () => {
    test = await startServer({ changes: [scope("a", "one")] });
    const { client: old, first: oldFirst } = await subscribed("scope");
    const { client: young, first: youngFirst } = await subscribed("scope");
    old.ack(oldFirst);
    young.ack(youngFirst);
    await test.server.apply([scope("a", "two")]);
    young.ack(await young.next("scope"));
    await pause(young);
    old.nack(await old.next("scope"), "unknown field");
    await eventually("refused", () => stateOf("scope", "a").state === "refused");
    const { first: joined } = await subscribed("scope");
    expect(joined.resources.map(bodyOf)).toEqual(["two"]);
    old.close();
    await eventually("the refusal left with its proxy", () => stateOf("scope", "a").state !== "refused");
  });
});

describe("refused clusters, listeners, secrets", () => {
  it("are named by Envoy; what was applied beside them is confirmed", async () => {
    test = await startServer();
    const { client, first } = await subscribed("cluster");
    client.ack(first);
    await test.server.apply([cluster("a"), cluster("bad"), cluster("bad: c"), cluster("d")]);
    const refused = await client.next("cluster");
    client.nack(refused, "Error adding/updating cluster(s) bad: c: no such thing, d: quoted by somebody");
    const rest = await client.next("cluster");
    expect(namesOf(rest)).toEqual(["a", "bad", "d"]);
    client.ack(rest);
    await eventually("acknowledged", () => stateOf("cluster", "d").state === "acknowledged");
    expect(stateOf("cluster", "bad: c").state).toBe("refused");
    expect(stateOf("cluster", "bad").state).toBe("acknowledged");
  });

  it("keep a proxy from nothing else", async () => {
    test = await startServer({ changes: [secret("s", "one"), listener("l"), scope("h")] });
    const client = test.connect();
    client.subscribe("listener");
    client.nack(await client.next("listener"), "Error adding/updating listener(s) l: cannot bind");
    client.subscribe("secret", ["s"]);
    await client.nextAcked("secret");
    await test.server.apply([secret("s", "two")]);
    client.nack(await client.next("secret"), "bad pair");
    // The last good version follows, as the other side of the refused one.
    const back = await client.nextAcked("secret");
    expect(JSON.stringify(back.resources)).toContain("one");
    client.subscribe("scope");
    await client.nextAcked("scope");
    expect(stateOf("listener", "l").state).toBe("refused");
    expect(stateOf("secret", "s").state).toBe("refused");
    await test.server.apply([gone("listener", "l"), gone("secret", "s")]);
    expect(stateOf("listener", "l").state).toBe("absent");
  });
});

describe("what cannot be encoded", () => {
  it("is refused like by an Envoy, without being sent", async () => {
    test = await startServer({ changes: [scope("a", "good")] });
    const { client, first } = await subscribed("scope");
    client.ack(first);
    await eventually("the proxy counts", () => test.server.proxies(GATEWAY).complete === 1);
    await test.server.apply([change("scope", "a", { ...scopeJson("a", "x"), no_such_field: 1 }), scope("b")]);
    const next = await client.nextAcked("scope");
    expect(Object.keys(next.versions)).toContain("b");
    expect(JSON.stringify(next.resources.filter(({ name }) => name === "a"))).not.toContain('"x"');
    expect(stateOf("scope", "a")).toMatchObject({
      state: "refused",
      refusal: { by: "encoder", message: expect.stringContaining("no_such_field") },
    });
    await test.server.apply([scope("a", "mended")]);
    expect((await client.nextAcked("scope")).resources.map(bodyOf)).toEqual(["mended"]);
    await eventually("acknowledged", () => stateOf("scope", "a").state === "acknowledged");
  });
});
