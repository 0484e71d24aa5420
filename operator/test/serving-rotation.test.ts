/** Our own certificate: renewed at once, and with an overlap where its authority is another one (rules R31). */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import type { KubeObject } from "@gatewarden/core/world.ts";
import { certificatesOf, mergeAuthorities, sameAuthorities } from "../src/authorities.ts";
import type { KubeClient, WatchEvent } from "../src/kube/client.ts";
import { silentLog } from "../src/log.ts";
import { type ServingCertificate, type ServingPair, startServingCertificate } from "../src/serving-certificate.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";
import { type KeyPair, makeKeyPair } from "./self-signed.ts";

let pairs: readonly KeyPair[];
beforeAll(() => {
  pairs = ["a", "b", "c", "d"].map((name) => makeKeyPair([`DNS:${name}.test`]));
});
const pair = (at: number): KeyPair => {
  const found = pairs[at];
  if (found === undefined) throw new Error("no such pair");
  return found;
};
const DAY_MS = 86_400_000;

describe("the authorities that proxies trust", () => {
  const bundle = (...numbers: readonly number[]): string => numbers.map((at) => pair(at).ca).join("");

  test("are the newest and those before it, each once", () => {
    const now = Date.now();
    expect(mergeAuthorities(bundle(0), "", now)).toBe(bundle(0));
    const two = mergeAuthorities(bundle(1), bundle(0), now);
    expect(certificatesOf(two)).toEqual(certificatesOf(bundle(1, 0)));
    expect(mergeAuthorities(bundle(1), two, now)).toBe(two);
    expect(sameAuthorities(mergeAuthorities(bundle(3), bundle(2, 1, 0), now), bundle(3, 2, 1))).toBe(true);
  });

  test("are not those that have ended, or that nobody can read", () => {
    const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    expect(sameAuthorities(mergeAuthorities(bundle(1), broken + bundle(0), Date.now()), bundle(1, 0))).toBe(true);
    expect(sameAuthorities(mergeAuthorities(bundle(1), bundle(0), Date.now() + 3 * DAY_MS), bundle(1))).toBe(true);
  });
});

describe("the certificate that is shown", () => {
  let clock: ManualClock;
  let shown: ServingPair[];
  let published: string[];
  let tell: (event: WatchEvent) => void;
  let serving: ServingCertificate;
  let version: number;
  let stored: KubeObject;

  const secretOf = ({ key, cert, ca }: KeyPair): KubeObject => {
    const base64 = (text: string): string => Buffer.from(text).toString("base64");
    const data = { "tls.crt": base64(cert), "tls.key": base64(key), "ca.crt": base64(ca) };
    const metadata = { name: "gatewarden-xds", namespace: "ops", uid: "u", resourceVersion: String(++version) };
    return { metadata, data };
  };
  /** The API server: the Secret by watch, and a ConfigMap that keeps what was applied. */
  const client = (): KubeClient => {
    const answer = (object: object) => Promise.resolve({ ok: true as const, value: object as KubeObject });
    const unexpected = (): never => {
      throw new Error("not expected by this test");
    };
    return {
      get: () =>
        published.length === 0
          ? Promise.resolve({ ok: false, failure: { status: 404, reason: "NotFound", message: "" } })
          : answer({ metadata: { name: "gatewarden-ca" }, data: { "ca.crt": published.at(-1) } }),
      list: () => Promise.resolve({ ok: true, value: { items: [stored], resourceVersion: "1", next: undefined } }),
      watch: (_path, _query, signal, onEvent) => {
        tell = onEvent;
        return new Promise((resolve) =>
          signal.addEventListener("abort", () => resolve({ ok: true, value: undefined }), { once: true }),
        );
      },
      apply: (_path, body) => {
        const { kind, data } = body as KubeObject & { readonly data?: Readonly<Record<string, string>> };
        if (kind === "ConfigMap") published.push(data?.["ca.crt"] ?? "");
        return answer(body);
      },
      create: unexpected,
      replace: unexpected,
      merge: unexpected,
      remove: unexpected,
      close: () => undefined,
    };
  };

  beforeEach(async () => {
    clock = createManualClock(Date.now());
    [shown, published, version] = [[], [], 1];
    stored = secretOf(pair(0));
    serving = startServingCertificate({
      client: client(),
      clock,
      log: silentLog,
      namespace: "ops",
      issuer: { kind: "Issuer", name: "ca" },
      leads: () => true,
      onPair: (next) => shown.push(next),
    });
    await clock.advance(0);
  });
  afterEach(() => serving.stop());

  const renew = async (next: KeyPair): Promise<void> => {
    stored = secretOf(next);
    tell({ type: "MODIFIED", object: stored });
    await clock.advance(0);
  };
  /** By the number of the pair. */
  const certificates = (): readonly number[] =>
    shown.map(({ certPem }) => pairs.findIndex(({ cert }) => cert === certPem));

  test("is the newest at once where the authority stays", async () => {
    const renewed = { ...pair(1), ca: pair(0).ca };
    await renew(renewed);
    expect(certificates()).toEqual([0, 1]);
    expect(published.at(-1)).toBe(mergeAuthorities(pair(0).ca, "", clock.now()));
  });

  test("stays for a while where the authority changes, which proxies are told of at once", async () => {
    await renew(pair(1));
    expect(certificates()).toEqual([0]);
    expect(sameAuthorities(published.at(-1) ?? "", pair(1).ca + pair(0).ca)).toBe(true);
    expect(sameAuthorities(serving.caPem() ?? "", pair(1).ca + pair(0).ca)).toBe(true);
    await clock.advance(599_000);
    expect(certificates()).toEqual([0]);
    await clock.advance(2_000);
    expect(certificates()).toEqual([0, 1]);
    expect(sameAuthorities(published.at(-1) ?? "", pair(1).ca + pair(0).ca)).toBe(true); // the old one is trusted on
  });

  test("is the newest one only, however many came meanwhile", async () => {
    await renew(pair(1));
    await clock.advance(300_000);
    await renew(pair(2));
    await clock.advance(599_000);
    expect(certificates()).toEqual([0]);
    await clock.advance(2_000);
    expect(certificates()).toEqual([0, 2]);
  });

  test("does not stay beyond its own end", async () => {
    await clock.advance(2 * DAY_MS - 120_000);
    await renew(pair(3));
    await clock.advance(90_000);
    expect(certificates()).toEqual([0, 3]);
  });
});
