import { connect as connectPlain } from "node:http2";
import { afterEach, describe, expect, it } from "@jest/globals";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { eventually } from "../../e2e/cluster/condition.ts";
import { createAuthority } from "../../e2e/cluster/pki.ts";
import { descriptors } from "../src/registry.ts";
import { DISCOVERY_SERVICES } from "../src/server/server.ts";
import { bearer, connect, grpcClient } from "./ads-client.ts";
import { GATEWAY, issueServer, scope, secret, startServer, type TestServer } from "./test-server.ts";

let test: TestServer;
afterEach(() => test.stop());

const ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService";
const methods = DISCOVERY_SERVICES.flatMap(descriptors().methods);
const bytes = (value: Buffer): Buffer => value;

/** Calls any RPC once with an empty message and tells how it ended. */
async function call(path: string, streamed: boolean, token: string | undefined): Promise<status | undefined> {
  const client = grpcClient({ port: test.port, ca: test.authority.certificate });
  try {
    return await new Promise((resolve) => {
      const ended = (error: ServiceError | null): void => resolve(error === null ? status.OK : error.code);
      if (!streamed) {
        client.makeUnaryRequest(path, bytes, bytes, Buffer.alloc(0), bearer(token), ended);
        return;
      }
      const stream = client.makeBidiStreamRequest(path, bytes, bytes, bearer(token));
      stream.on("data", () => resolve(status.OK));
      stream.on("status", ({ code }) => resolve(code));
      stream.on("error", () => undefined);
      stream.write(Buffer.alloc(0));
    });
  } finally {
    client.close();
  }
}

describe("who may ask", () => {
  it.each([undefined, "bad", "good"])("refuses every registered RPC but ADS; token: %s", async (token) => {
    test = await startServer();
    expect(methods.length).toBeGreaterThan(20);
    for (const { service, name, clientStreaming, serverStreaming } of methods) {
      const isAds = service === ADS;
      const expected =
        token !== "good" ? status.UNAUTHENTICATED : isAds ? status.INVALID_ARGUMENT : status.UNIMPLEMENTED;
      const code = await call(`/${service}/${name}`, clientStreaming || serverStreaming, token);
      expect([service, name, code]).toEqual([service, name, expected]);
    }
    expect(methods.some(({ name }) => name === "FetchSecrets")).toBe(true);
    expect(methods.some(({ service }) => service.endsWith("ClientStatusDiscoveryService"))).toBe(true);
  });

  it("does not know other services at all", async () => {
    test = await startServer();
    for (const path of [
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      "/grpc.health.v1.Health/Watch",
      "/grpc.channelz.v1.Channelz/GetServers",
    ]) {
      expect([path, await call(path, false, "good")]).toEqual([path, status.UNIMPLEMENTED]);
    }
  });

  it("refuses credentials that are not exactly one bearer token", async () => {
    test = await startServer();
    for (const values of [["Basic good"], ["good"], ["Bearer"], ["Bearer good, Bearer good"]]) {
      const client = grpcClient({ port: test.port, ca: test.authority.certificate });
      const metadata = bearer(undefined);
      for (const value of values) metadata.add("authorization", value);
      const code = await new Promise((resolve) => {
        const stream = client.makeBidiStreamRequest(`/${ADS}/DeltaAggregatedResources`, bytes, bytes, metadata);
        stream.on("status", (ending) => resolve(ending.code));
        stream.on("error", () => undefined);
      });
      client.close();
      expect([values, code]).toEqual([values, status.UNAUTHENTICATED]);
    }
  });

  it("takes a token from binary metadata, line end and all, but not two tokens", async () => {
    test = await startServer();
    const { port, authority } = test;
    const codeFor = async (fill: (metadata: Metadata) => void): Promise<unknown> => {
      const client = grpcClient({ port, ca: authority.certificate });
      const metadata = new Metadata();
      fill(metadata);
      const stream = client.makeBidiStreamRequest(
        "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
        bytes,
        bytes,
        metadata,
      );
      const code = await new Promise((resolve) => {
        stream.on("status", (ending) => resolve(ending.code));
        stream.on("error", () => undefined);
      });
      client.close();
      return code;
    };
    const binary = (text: string) => (metadata: Metadata) => metadata.add("authorization-bin", Buffer.from(text));
    // The RPC is not served by anybody: this far comes only who is known.
    expect(await codeFor(binary("Bearer good\n"))).toBe(status.UNIMPLEMENTED);
    for (const text of ["Bearer bad\n", "Bearer good\ngood", "Bearer good,good", "good"])
      expect([text, await codeFor(binary(text))]).toEqual([text, status.UNAUTHENTICATED]);
    const both = (metadata: Metadata): void => {
      metadata.add("authorization", "Bearer good");
      binary("Bearer good")(metadata);
    };
    expect(await codeFor(both)).toBe(status.UNAUTHENTICATED);
  });

  it("shows a proxy its own gateway only, and tells who knocked", async () => {
    test = await startServer({ changes: [secret("s"), { ...secret("other"), gateway: "bank/main" }, scope("h")] });
    const foreign = test.connect({ gateway: "bank/main" });
    foreign.subscribe("secret", ["other"]);
    expect(await foreign.ended()).toMatchObject({ code: status.PERMISSION_DENIED });
    expect(foreign.received).toEqual([]);
    expect(test.refusedProxies).toMatchObject([{ gateway: "bank/main", node: "proxy-1", reason: "ForeignGateway" }]);

    const own = test.connect();
    own.subscribe("secret", ["other", "s"]);
    const secrets = await own.nextAcked("secret");
    expect(secrets.removed).toEqual(["other"]);
    expect(Object.keys(secrets.versions)).toEqual(["s"]);
    // What a node says later changes nothing.
    own.send("scope", { node: { id: "proxy-1", cluster: "bank/main" } });
    expect(Object.keys((await own.next("scope")).versions)).toEqual(["h"]);
  });

  it("turns vulnerable Envoys away and takes sound ones", async () => {
    test = await startServer();
    const join = (version: readonly [number, number, number]) => {
      const client = test.connect({ userAgent: { name: "envoy", version } });
      client.subscribe("scope");
      return client;
    };
    for (const version of [
      [1, 38, 3],
      [1, 37, 5],
      [1, 36, 9],
      [1, 35, 99],
      [0, 99, 0],
    ] as const) {
      expect(await join(version).ended()).toMatchObject({
        code: status.FAILED_PRECONDITION,
        details: expect.stringContaining(version.join(".")),
      });
    }
    expect(test.refusedProxies.map(({ reason }) => reason)).toEqual(Array(5).fill("VulnerableVersion"));
    for (const version of [
      [1, 38, 4],
      [1, 37, 6],
      [1, 36, 10],
      [1, 39, 0],
      [1, 40, 0],
      [2, 0, 0],
    ] as const) {
      await join(version).next("scope");
    }
  });

  it("ends the stream with the token", async () => {
    test = await startServer({
      authenticate: () => Promise.resolve({ ok: true, gateways: new Set([GATEWAY]), expiresAtMs: Date.now() + 700 }),
    });
    const client = test.connect();
    client.subscribe("scope");
    await client.nextAcked("scope");
    expect(await client.ended()).toMatchObject({
      code: status.UNAUTHENTICATED,
      details: expect.stringContaining("expired"),
    });
    await eventually("the stream is gone", () => test.counts["streams"] === 0);
  });

  it("tells a token that cannot be checked from a bad one", async () => {
    test = await startServer({ authenticate: () => Promise.reject(new Error("TokenReview: secret detail")) });
    const client = test.connect();
    client.subscribe("scope");
    const ending = await client.ended();
    expect(ending.code).toBe(status.UNAVAILABLE);
    expect(ending.details).not.toContain("secret detail");
  });

  it("ends a stream of garbage and keeps the others", async () => {
    test = await startServer({ changes: [scope("h")] });
    const sound = test.connect();
    sound.subscribe("scope");
    await sound.nextAcked("scope");
    const client = grpcClient({ port: test.port, ca: test.authority.certificate });
    const code = await new Promise((resolve) => {
      const stream = client.makeBidiStreamRequest(`/${ADS}/DeltaAggregatedResources`, bytes, bytes, bearer("good"));
      stream.on("status", (ending) => resolve(ending.code));
      stream.on("error", () => undefined);
      stream.write(Buffer.from("\xff\xff\xff not a message", "latin1"));
    });
    client.close();
    expect(code).toBe(status.INVALID_ARGUMENT);
    await test.server.apply([scope("h", "still served")]);
    expect(JSON.stringify(await sound.next("scope"))).toContain("still served");
  });

  it("speaks TLS only", async () => {
    test = await startServer();
    const plain = connectPlain(`http://127.0.0.1:${String(test.port)}`);
    await new Promise((resolve) => plain.once("error", resolve).once("close", resolve));
    expect(plain.destroyed).toBe(true);
  });
});

describe("the server's certificate", () => {
  it("is replaced for new connections while old streams live; a bad pair changes nothing", async () => {
    test = await startServer({ changes: [scope("h")] });
    const old = test.connect();
    old.subscribe("scope");
    await old.nextAcked("scope");

    const next = createAuthority("next");
    const pair = issueServer(next);
    const other = issueServer(next);
    expect(test.server.setCertificate(pair.certificate, other.privateKey)).toMatchObject({ ok: false });
    expect(test.server.setCertificate("", "")).toMatchObject({ ok: false });
    const stillOld = test.connect();
    stillOld.subscribe("scope");
    await stillOld.next("scope");

    expect(test.server.setCertificate(pair.certificate, pair.privateKey)).toEqual({ ok: true });
    const fresh = connect({ port: test.port, ca: next.certificate });
    fresh.subscribe("scope");
    await fresh.next("scope");
    fresh.close();
    await test.server.apply([scope("h", "on the old stream")]);
    expect(JSON.stringify(await old.next("scope"))).toContain("on the old stream");
  });
});

describe("the end", () => {
  it("tells its clients, takes no new ones and closes", async () => {
    test = await startServer({ changes: [scope("h")] });
    const client = test.connect();
    client.subscribe("scope");
    await client.nextAcked("scope");
    const stopped = test.server.stop(5_000);
    expect(await client.ended()).toMatchObject({ code: status.UNAVAILABLE });
    client.close();
    await stopped;
    expect(test.counts["streams"]).toBe(0);
  });
});
