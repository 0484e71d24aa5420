import { afterEach, describe, expect, it } from "@jest/globals";
import { eventually } from "../../e2e/cluster/condition.ts";
import { namesOf } from "./ads-client.ts";
import { cluster, endpoint, GATEWAY, gone, scope, startServer, type TestServer } from "./test-server.ts";

let test: TestServer;
afterEach(() => test.stop());

describe("state-of-the-world ADS", () => {
  it("sends all of a type, and of named ones what was asked for", async () => {
    test = await startServer({ changes: [cluster("a"), cluster("b"), endpoint("a"), endpoint("b"), scope("h")] });
    const client = test.connect({ protocol: "sotw" });
    client.subscribe("cluster");
    expect(namesOf(await client.nextAcked("cluster"))).toEqual(["a", "b"]);
    client.subscribe("endpoint", ["a"]);
    expect(namesOf(await client.nextAcked("endpoint"))).toEqual(["a"]);
    client.subscribe("endpoint", ["a", "b"]);
    expect(namesOf(await client.nextAcked("endpoint"))).toEqual(["b"]);
    client.subscribe("scope");
    expect(namesOf(await client.nextAcked("scope"))).toEqual(["h"]);
    await test.server.apply([scope("h2")]);
    expect(namesOf(await client.nextAcked("scope"))).toEqual(["h", "h2"]);
  });

  it("makes before it breaks", async () => {
    test = await startServer({ changes: [cluster("a"), scope("h", "on a")] });
    const client = test.connect({ protocol: "sotw" });
    client.subscribe("cluster");
    await client.nextAcked("cluster");
    client.subscribe("scope");
    await client.nextAcked("scope");
    await test.server.apply([gone("cluster", "a"), cluster("b"), scope("h", "on b")]);
    expect(namesOf(await client.nextAcked("cluster"))).toEqual(["a", "b"]);
    expect(JSON.stringify(await client.nextAcked("scope"))).toContain("on b");
    expect(namesOf(await client.nextAcked("cluster"))).toEqual(["b"]);
  });

  it("finds a refused scope and keeps its last good version in the world", async () => {
    test = await startServer({ changes: [scope("a", "one"), scope("b", "one")] });
    const client = test.connect({ protocol: "sotw" });
    client.subscribe("scope");
    await client.nextAcked("scope");
    await eventually("acknowledged", () => test.counts["acks"] === 1);
    await test.server.apply([scope("a", "two"), scope("b", "bad")]);
    let last = "";
    const isRefused = () => test.server.status(GATEWAY, { type: "scope", name: "b" }).state === "refused";
    while (!(isRefused() && last.includes("two") && last.includes("one"))) {
      const response = await client.next("scope");
      const text = JSON.stringify(response.resources);
      expect(namesOf(response)).toEqual(["a", "b"]);
      if (text.includes("bad")) client.nack(response, "missing ]: [");
      else {
        last = text;
        client.ack(response);
      }
    }
    expect(test.counts["quarantined"]).toBe(1);
  });

  it("does not take an answer to an older response for one to the newest", async () => {
    test = await startServer({ changes: [scope("a", "one")] });
    const client = test.connect({ protocol: "sotw" });
    client.subscribe("scope");
    const first = await client.nextAcked("scope");
    await test.server.apply([scope("a", "two")]);
    const second = await client.next("scope");
    client.ack(first);
    client.subscribe("cluster");
    await client.nextAcked("cluster");
    expect(test.counts["acks"]).toBe(1);
    client.ack(second);
    await eventually("acknowledged", () => test.counts["acks"] === 3);
  });
});
