import { beforeEach, describe, expect, test } from "@jest/globals";
import type { KubeObject } from "@gatewarden/core/world.ts";
import { createCertificateWriter, type CertificateWriter } from "../src/certificates.ts";
import { silentLog } from "../src/log.ts";
import { readPair } from "../src/serving-certificate.ts";
import { createFakeClient, failure, type FakeClient } from "./fake-client.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";
import { makeKeyPair } from "./self-signed.ts";

const certificate: KubeObject = {
  kind: "Certificate",
  metadata: { name: "web", namespace: "shop" },
  spec: { secretName: "web" },
};
const wanted = { namespace: "shop", name: "web", object: certificate };
const unwanted = { namespace: "shop", name: "web", object: undefined };

describe("the writer of Certificates", () => {
  let clock: ManualClock;
  let stored: KubeObject | undefined;
  let broken: number;
  let leads: boolean;
  let api: FakeClient;
  let writer: CertificateWriter;
  const verbs = (): readonly string[] => api.asked.map(({ verb }) => verb);

  beforeEach(() => {
    clock = createManualClock();
    [stored, broken, leads] = [undefined, 0, true];
    api = createFakeClient(({ verb, body }) => {
      if (broken > 0) {
        broken -= 1;
        return failure(500);
      }
      if (verb === "apply") stored = body;
      if (stored === undefined) return failure(404);
      const answer = stored;
      if (verb === "remove") stored = undefined;
      return { ok: true, value: answer };
    });
    writer = createCertificateWriter({ client: api.client, clock, log: silentLog, leads: () => leads });
  });

  test("applies what is wanted, with our label", async () => {
    writer.update([wanted]);
    await clock.advance(0);
    expect(stored?.metadata.labels).toEqual({ "app.kubernetes.io/managed-by": "gatewarden" });
    expect(stored?.spec).toEqual(certificate.spec);
  });

  test("deletes its own, and nothing else's", async () => {
    writer.update([wanted]);
    await clock.advance(0);
    writer.update([unwanted]);
    await clock.advance(0);
    expect(stored).toBeUndefined();
    stored = certificate; // somebody else's
    writer.update([unwanted]);
    await clock.advance(0);
    expect(stored).toBe(certificate);
  });

  test("tries again later", async () => {
    broken = 2;
    writer.update([wanted]);
    await clock.advance(0);
    expect(stored).toBeUndefined();
    await clock.advance(10_000);
    expect(stored).toBeDefined();
    expect(verbs()).toEqual(["apply", "apply", "apply"]);
  });

  test("writes only while it leads, and everything when it begins to", async () => {
    leads = false;
    writer.update([wanted]);
    await clock.advance(60_000);
    expect(verbs()).toEqual([]);
    leads = true;
    writer.resume();
    await clock.advance(0);
    expect(verbs()).toEqual(["apply"]);
  });

  test("asks for nothing after it was stopped", async () => {
    broken = 1;
    writer.update([wanted]);
    await clock.advance(0);
    await writer.stop();
    writer.update([wanted]);
    await clock.advance(600_000);
    expect(verbs()).toEqual(["apply"]);
    expect(clock.timers()).toBe(0);
  });
});

describe("the pair of the xDS server", () => {
  const pair = makeKeyPair(["DNS:a.test"]);
  const other = makeKeyPair(["DNS:a.test"]);
  const secret = (data: Readonly<Record<string, string>>): KubeObject => ({
    metadata: { name: "gatewarden-xds" },
    data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")])),
  });

  test("is taken when it fits together", () => {
    expect(readPair(secret({ "tls.crt": pair.cert, "tls.key": pair.key, "ca.crt": pair.ca }))).toEqual({
      ok: true,
      pair: { certPem: pair.cert, keyPem: pair.key, caPem: pair.ca },
    });
  });

  test.each([
    ["empty", {}],
    ["half written", { "tls.crt": pair.cert, "ca.crt": pair.ca }],
    ["of two issues", { "tls.crt": pair.cert, "tls.key": other.key, "ca.crt": pair.ca }],
    ["without its CA", { "tls.crt": pair.cert, "tls.key": pair.key }],
    ["no certificate", { "tls.crt": "x", "tls.key": pair.key, "ca.crt": pair.ca }],
    ["with a broken CA", { "tls.crt": pair.cert, "tls.key": pair.key, "ca.crt": "x" }],
  ])("is not taken when it is %s, and its key is not quoted", (_what, data) => {
    const result = readPair(secret(data));
    expect(result.ok).toBe(false);
    expect(JSON.stringify(result)).not.toContain(pair.key.split("\n")[1] ?? "-");
  });
});
