import { afterEach, describe, expect, it } from "@jest/globals";
import { createAuthority, issue } from "../cluster/pki.ts";
import { type Echo, type EchoUpstream, startEcho } from "../upstream/echo.ts";
import { connectHttp1, send } from "./http1.ts";
import { connectHttp2 } from "./http2.ts";
import type { Target } from "./target.ts";

const ADDRESS = "127.0.0.1";

describe("the test client and the echo upstream", () => {
  const upstreams: EchoUpstream[] = [];
  afterEach(async () => {
    await Promise.all(upstreams.splice(0).map((upstream) => upstream.stop()));
  });
  const echo = async (tls?: Parameters<typeof startEcho>[0]["tls"]): Promise<Target> => {
    const upstream = await startEcho({ name: "orders", address: ADDRESS, ...(tls === undefined ? {} : { tls }) });
    upstreams.push(upstream);
    return { address: ADDRESS, port: upstream.port };
  };

  it("sends a path and duplicate headers as they are, and is told so", async () => {
    const target = await echo();
    const headers = [
      ["X-Tag", "one"],
      ["x-tag", "two"],
    ] as const;
    const answer = await send(target, { path: "/a//b/../%2f;x?q=1", host: "shop.test", headers });
    expect(answer.status).toBe(200);
    const { path, headers: arrived, upstream, httpVersion } = answer.json<Echo>();
    expect({ path, upstream, httpVersion }).toEqual({
      path: "/a//b/../%2f;x?q=1",
      upstream: "orders",
      httpVersion: "1.1",
    });
    expect(arrived).toEqual([
      ["host", "shop.test"],
      ["X-Tag", "one"],
      ["x-tag", "two"],
    ]);
  });

  it("keeps a connection and reads bodies of both framings, of HEAD and of 204", async () => {
    const connection = await connectHttp1(await echo());
    const host = "shop.test";
    const posted = await connection.request({ method: "POST", host, body: "grüß dich", chunkSize: 3 });
    expect(posted.json<Echo>()).toMatchObject({ method: "POST", body: "grüß dich", connection: 1 });
    expect((await connection.request({ method: "HEAD", host })).body).toBe("");
    expect((await connection.request({ path: "/?echo-status=204", host })).status).toBe(204);
    expect((await connection.request({ path: "/?echo-bytes=100000", host })).body).toHaveLength(100_000);
    expect((await connection.request({ host })).json<Echo>().connection).toBe(1);
    expect(connection.closed()).toBe(false);
    connection.close();
  });

  it("chooses status and headers of the answer", async () => {
    const answer = await send(await echo(), { path: "/?echo-status=503&echo-header=x-a:1", host: "shop.test" });
    expect(answer.status).toBe(503);
    expect(answer.header("X-A")).toBe("1");
    expect(() => answer.problem()).toThrow(/not a problem/);
  });

  it("sees when the other side closes", async () => {
    const connection = await connectHttp1(await echo());
    await connection.request({ host: "shop.test" });
    await upstreams[0]?.stop();
    await expect(connection.request({ host: "shop.test" })).rejects.toThrow(/closed/);
    expect(connection.closed()).toBe(true);
  });

  it("speaks HTTP/2 in clear, on one connection, beside a stream that stays open", async () => {
    const connection = await connectHttp2(await echo());
    const held = await connection.open({ path: "/?echo-stream-ms=10", host: "shop.test" });
    const answer = await connection.request({ path: "/x", host: "shop.test", headers: { "x-a": "1" } });
    const arrived = answer.json<Echo>();
    expect(arrived).toMatchObject({ path: "/x", httpVersion: "2.0", connection: 1 });
    expect(arrived.headers).toContainEqual([":authority", "shop.test"]);
    expect(arrived.headers).toContainEqual(["x-a", "1"]);
    expect(held.ended()).toBe(false);
    expect(held.body()).toMatch(/^tick/);
    held.close();
    connection.close();
  });

  it("upgrades, and gets its bytes back", async () => {
    const connection = await connectHttp1(await echo());
    const headers = { connection: "Upgrade", upgrade: "websocket" };
    expect((await connection.request({ host: "shop.test", headers })).status).toBe(101);
    const back = new Promise((resolve) => connection.socket.once("data", (chunk: Buffer) => resolve(String(chunk))));
    connection.socket.write("ping");
    expect(await back).toBe("ping");
    connection.close();
  });

  it("checks the server's certificate and shows its own", async () => {
    const authority = createAuthority("test");
    const server = issue(authority, { commonName: "orders", dnsNames: ["orders.test"], usages: ["server"] });
    const client = issue(authority, { commonName: "erp", uris: ["spiffe://shop/erp"], usages: ["client"] });
    const plain = await echo({ ...server, clientAuthority: authority.certificate });
    const trust = { serverName: "orders.test", authority: authority.certificate };
    const target = { ...plain, tls: { ...trust, ...client } };
    expect((await send(target, { host: "orders.test" })).json<Echo>().tls).toEqual({
      serverName: "orders.test",
      clientSubject: "CN=erp",
      clientNames: "URI:spiffe://shop/erp",
    });
    const overHttp2 = await connectHttp2(target);
    expect((await overHttp2.request({ host: "orders.test" })).json<Echo>().tls?.clientSubject).toBe("CN=erp");
    overHttp2.close();
    await expect(send({ ...plain, tls: trust }, { host: "orders.test" })).rejects.toThrow();
    await expect(send({ ...target, tls: { ...target.tls, serverName: "other.test" } })).rejects.toThrow(/altnames/);
  });
});
