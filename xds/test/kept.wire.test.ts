/** What the last good version of a refused scope names stays until the refusal is over. */
import { afterEach, describe, expect, it } from "@jest/globals";
import { eventually } from "../../e2e/cluster/condition.ts";
import { type AdsClient, type ConnectOptions, namesOf, type Received } from "./ads-client.ts";
import { cluster, GATEWAY, gone, scope, startServer, type TestServer } from "./test-server.ts";

let test: TestServer;
afterEach(() => test.stop());

const scopeState = (): string => test.server.status(GATEWAY, { type: "scope", name: "shop" }).state;

/** Clusters, listeners and scopes, in an Envoy's order. */
async function subscribed(
  options: Partial<ConnectOptions> = {},
  versions: { readonly clusters?: Record<string, string>; readonly scopes?: Record<string, string> } = {},
): Promise<AdsClient> {
  const client = test.connect(options);
  client.subscribe("cluster", [], versions.clusters);
  if (versions.clusters === undefined) await client.nextAcked("cluster");
  client.subscribe("listener", []);
  await client.nextAcked("listener");
  client.subscribe("scope", [], versions.scopes);
  return client;
}

/** Acknowledges what comes, up to the response that fits. */
async function ackUntil(client: AdsClient, fits: (response: Received) => boolean): Promise<void> {
  for (;;) if (fits(await client.nextAcked())) return;
}

const removedBy = (client: AdsClient): readonly string[] => client.received.flatMap(({ removed }) => removed);

describe("a cluster that only the last good version of a scope leads to", () => {
  it("stays for those who have it and for those who come, and goes when the scope is mended", async () => {
    test = await startServer({ changes: [cluster("old"), scope("shop", "one")] });
    const client = await subscribed();
    await client.nextAcked("scope");
    await eventually("the proxy counts", () => test.server.proxies(GATEWAY).complete === 1);
    await test.server.apply([gone("cluster", "old"), scope("shop", "bad")]);
    client.nack(await client.next("scope"), "no");
    await eventually("refused", () => scopeState() === "refused");
    // Its removal, which had to wait for the scope, is taken back.
    await ackUntil(client, ({ resources }) => resources.some(({ name }) => name === "old"));
    // Later removals wait as well.
    await test.server.apply([cluster("later")]);
    await ackUntil(client, ({ resources }) => resources.some(({ name }) => name === "later"));
    await test.server.apply([gone("cluster", "later")]);
    const joining = test.connect();
    joining.subscribe("cluster");
    expect(namesOf(await joining.nextAcked("cluster"))).toEqual(["later", "old"]);
    expect(removedBy(client)).toEqual([]);

    await test.server.apply([scope("shop", "two")]);
    await ackUntil(client, ({ removed }) => removed.length > 0);
    expect([...removedBy(client)].sort()).toEqual(["later", "old"]);
    const [after] = [test.connect()];
    after.subscribe("cluster");
    expect(namesOf(await after.nextAcked("cluster"))).toEqual([]);
  });

  it("stays with a proxy that has it from an earlier process, which counts all the same", async () => {
    test = await startServer({ changes: [scope("shop", "bad")] });
    const client = await subscribed({}, { clusters: { old: "v1" }, scopes: { shop: "v1" } });
    client.nack(await client.next("scope"), "no");
    await eventually("the proxy counts", () => test.server.proxies(GATEWAY).complete === 1);
    expect(scopeState()).toBe("refused");
    expect(removedBy(client)).toEqual([]);
    await test.server.apply([scope("shop", "two")]);
    await ackUntil(client, ({ removed }) => removed.length > 0);
    expect(removedBy(client)).toEqual(["old"]);
  });

  it("comes back into use when it is wanted again", async () => {
    test = await startServer({ changes: [cluster("old"), scope("shop", "one")] });
    const client = await subscribed();
    await client.nextAcked("scope");
    await test.server.apply([gone("cluster", "old"), scope("shop", "bad")]);
    client.nack(await client.next("scope"), "no");
    await eventually("refused", () => scopeState() === "refused");
    await test.server.apply([cluster("old"), scope("shop", "one")]);
    await eventually("no refusal is left", () => scopeState() !== "refused");
    const joining = test.connect();
    joining.subscribe("cluster");
    expect(namesOf(await joining.nextAcked("cluster"))).toEqual(["old"]);
    expect(removedBy(client)).toEqual([]);
  });
});
