import { afterEach, describe, expect, it } from "@jest/globals";
import { eventually } from "../../e2e/cluster/condition.ts";
import { connectReplica } from "../src/replica-client.ts";
import type { ReplicaLink } from "../src/server/replicas.ts";
import type { Authentication, JsonObject } from "../src/types.ts";
import { GATEWAY, SERVER_NAME, startServer, type TestServer } from "./test-server.ts";

describe("replicas of one operator", () => {
  let test: TestServer;
  let link: ReplicaLink | undefined;
  afterEach(async () => {
    link?.end();
    await test.stop();
  });

  const authenticate = (token: string): Promise<Authentication> => {
    const expiresAtMs = Date.now() + 3_600_000;
    if (token === "replica") return Promise.resolve({ ok: true, gateways: new Set(), expiresAtMs, replica: true });
    if (token === "proxy") return Promise.resolve({ ok: true, gateways: GATEWAY, expiresAtMs });
    return Promise.resolve({ ok: false, message: "unknown" });
  };
  const dial = (token: string) => {
    const heard: JsonObject[] = [];
    const ended: string[] = [];
    const address = `127.0.0.1:${String(test.port)}`;
    link = connectReplica(
      { address, caPem: test.authority.certificate, serverName: SERVER_NAME, token },
      { onMessage: (message) => heard.push(message), onDrain: () => undefined, onEnd: (reason) => ended.push(reason) },
    );
    return { heard, ended, link };
  };

  it("speak to each other both ways", async () => {
    const heard: JsonObject[] = [];
    test = await startServer({
      authenticate,
      acceptReplica: (other) => ({
        onMessage(message) {
          heard.push(message);
          other.send({ answer: message });
        },
        onDrain: () => undefined,
        onEnd: (reason) => heard.push({ reason }),
      }),
    });
    const replica = dial("replica");
    replica.link.send({ a: 1 });
    await eventually("an answer", () => replica.heard.length === 1);
    expect(replica.heard).toEqual([{ answer: { a: 1 } }]);
    replica.link.end();
    await eventually("the end", () => heard.length === 2);
    expect(heard[0]).toEqual({ a: 1 });
  });

  it.each(["proxy", "nobody"])("do not hear a %s", async (token) => {
    const accepted: unknown[] = [];
    test = await startServer({
      authenticate,
      acceptReplica(other) {
        accepted.push(other);
        throw new Error("not for it");
      },
    });
    const { ended, heard } = dial(token);
    await eventually("turned away", () => ended.length === 1);
    expect(ended[0]).toMatch(token === "proxy" ? /PERMISSION_DENIED/ : /UNAUTHENTICATED/);
    expect([accepted, heard]).toEqual([[], []]);
  });

  it("get no proxy's configuration with their token", async () => {
    test = await startServer({ authenticate });
    const client = test.connect({ token: "replica" });
    client.subscribe("cluster");
    expect(await client.ended()).toMatchObject({ code: 7 }); // PERMISSION_DENIED
  });
});
