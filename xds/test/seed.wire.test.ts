/** What was good in an earlier process stands in for what is refused in this one (rules R8). */
import { afterEach, describe, expect, it } from "@jest/globals";
import { GATEWAY, scope, scopeJson, startServer, type TestServer } from "./test-server.ts";

describe("a snapshot of an earlier process", () => {
  const servers: TestServer[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.stop();
  });
  const start = async (options: Parameters<typeof startServer>[0]): Promise<TestServer> => {
    const server = await startServer(options);
    servers.push(server);
    return server;
  };
  const scopesOf = async (server: TestServer, refuse?: string): Promise<readonly unknown[]> => {
    const client = server.connect({ node: refuse === undefined ? "later" : "first" });
    client.subscribe("scope");
    const response = await client.next("scope");
    if (refuse === undefined) client.ack(response);
    else client.nack(response, refuse);
    return response.resources;
  };

  it("is what a new proxy gets in place of what another has refused", async () => {
    const before = await start({ changes: [scope("a", "good")] });
    const good = await scopesOf(before);
    const snapshot = await before.server.snapshot(GATEWAY);
    const change = scope("a", "bad", scopeJson("a", "closed"));
    const now = await start({ changes: [change], seeds: [[GATEWAY, snapshot ?? Buffer.alloc(0)]] });
    const bad = await scopesOf(now, "missing ]");
    expect(bad).not.toEqual(good);
    expect(await scopesOf(now)).toEqual(good);
    expect(now.server.status(GATEWAY, { type: "scope", name: "a" })).toMatchObject({ state: "refused" });
  });

  it("changes nothing where the content is the same, and is forgotten where it is not asked for", async () => {
    const before = await start({ changes: [scope("a", "good"), scope("b", "good")] });
    const snapshot = (await before.server.snapshot(GATEWAY)) ?? Buffer.alloc(0);
    const now = await start({ changes: [scope("a", "good")], seeds: [[GATEWAY, snapshot]] });
    expect((await scopesOf(now)).map((resource) => (resource as { readonly name: string }).name)).toEqual(["a"]);
    await now.server.apply([scope("b", "new")]);
    expect(now.server.keys(GATEWAY)).toHaveLength(2);
    expect(now.server.status(GATEWAY, { type: "scope", name: "a" })).toEqual({ state: "acknowledged" });
  });
});
