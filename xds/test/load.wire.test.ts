import { afterEach, describe, expect, it } from "@jest/globals";
import { eventually } from "../../e2e/cluster/condition.ts";
import { cluster, GATEWAY, scope, secret, startServer, type TestServer } from "./test-server.ts";

let test: TestServer;
afterEach(() => test.stop());

describe("many and slow clients", () => {
  it("queues nothing for a client that does not read or answer", async () => {
    test = await startServer({ changes: [scope("h")] });
    const stalled = test.connect();
    stalled.subscribe("scope");
    await stalled.next("scope");
    stalled.pause();
    const { bytes = 0, "push scope": pushes = 0 } = test.counts;
    const large = "x".repeat(100_000);
    for (let round = 0; round < 200; round += 1) await test.server.apply([scope("h", `${large}${String(round)}`)]);
    expect(test.counts["push scope"]).toBe(pushes);
    expect(test.counts["bytes"]).toBe(bytes);
    stalled.resume();
  });

  it("serves a hundred streams, each with all types, and lets one change reach them all", async () => {
    test = await startServer({ changes: [cluster("c"), secret("s"), scope("h", "one")] });
    const clients = Array.from({ length: 100 }, (_, index) => test.connect({ node: `proxy-${String(index)}` }));
    await Promise.all(
      clients.map(async (client) => {
        client.subscribe("cluster");
        await client.nextAcked("cluster");
        client.subscribe("listener");
        await client.nextAcked("listener");
        client.subscribe("secret", ["s"]);
        await client.nextAcked("secret");
        client.subscribe("scope");
        await client.nextAcked("scope");
      }),
    );
    await eventually("all count", () => test.server.proxies(GATEWAY).complete === 100);
    await test.server.apply([scope("h", "two")]);
    const key = { type: "scope", name: "h" } as const;
    expect(test.server.status(GATEWAY, key)).toEqual({ state: "pending", lacking: 100 });
    await Promise.all(clients.slice(1).map((client) => client.nextAcked("scope")));
    await eventually("one is missing", () => {
      const status = test.server.status(GATEWAY, key);
      return status.state === "pending" && status.lacking === 1;
    });
    await clients[0]?.nextAcked("scope");
    await eventually("all have it", () => test.server.status(GATEWAY, key).state === "acknowledged");
    for (const client of clients) client.close();
    await eventually("all streams are closed", () => test.counts["streams"] === 0);
  });
});
