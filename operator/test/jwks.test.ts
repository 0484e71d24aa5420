/** Key sets from real https servers on loopback: what is fetched, what is refused, and how often. */
import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import type { Change, JwksSource, JwksState } from "@gatewarden/core/world.ts";
import { createAddressGuard } from "../src/jwks/address-guard.ts";
import { createFetch, type Fetch, type FetcherOptions, type FetchResult } from "../src/jwks/fetch.ts";
import { createJwksKeeper, type JwksKeeper, type StoredKeySet } from "../src/jwks/keeper.ts";
import { publicKeySet } from "../src/jwks/key-set.ts";
import { systemClock } from "../src/clock.ts";
import { silentLog } from "../src/log.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";
import { makeKeyPair, type KeyPair } from "./self-signed.ts";

const RSA = { kty: "RSA", kid: "1", alg: "RS256", n: "AQAB", e: "AQAB" };
const SET = JSON.stringify({ keys: [RSA] });
const signal = new AbortController().signal;

describe("the guard of addresses", () => {
  const guard = createAddressGuard([]);

  test.each([
    ...[
      "127.0.0.1",
      "127.9.9.9",
      "0.0.0.0",
      "10.1.2.3",
      "172.16.0.1",
      "172.31.255.255",
      "192.168.1.1",
      "169.254.169.254",
    ],
    ...["100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1"],
    ...["::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "::127.0.0.1"],
    ...[
      "::ffff:127.0.0.1",
      "::ffff:a9fe:a9fe",
      "0:0:0:0:0:ffff:10.0.0.1",
      "64:ff9b::7f00:1",
      "64:ff9b::169.254.169.254",
      "2002:7f00:1::",
      "2002:a00:1::1",
    ],
    ...["fe80::1%eth0", "localhost", "", "1.2.3"],
  ])("refuses %s", (address) => {
    expect(guard.refusal(address)).toBeDefined();
  });

  test.each([
    "1.1.1.1",
    "172.15.0.1",
    "172.32.0.1",
    "8.8.8.8",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
  ])("lets %s pass", (address) => {
    expect(guard.refusal(address)).toBeUndefined();
  });

  test("lets pass what a flag allows, in whatever form it comes", () => {
    const open = createAddressGuard(["10.1.0.0/16", "fd00::/8"]);
    expect(["10.1.2.3", "::ffff:10.1.2.3", "fd00::1"].map((address) => open.refusal(address))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(open.refusal("10.2.0.1")).toBeDefined();
  });

  test("lets a backend be in the cluster, but never on this machine or its link", () => {
    const backend = createAddressGuard([], true);
    expect(
      ["10.0.0.1", "192.168.0.1", "fd00::1", "::ffff:10.0.0.1"].map((address) => backend.refusal(address)),
    ).toEqual(Array(4).fill(undefined));
    for (const address of ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:127.0.0.1", "0.0.0.0"])
      expect(backend.refusal(address)).toBeDefined();
  });
});

describe("a key set", () => {
  test("keeps public members only", () => {
    const mixed = {
      keys: [
        { ...RSA, d: "secret", p: "secret", x5u: "https://x", extra: 1 },
        { kty: "oct", k: "secret" },
        { kty: "EC", crv: "P-256", x: "a", y: "b", d: "secret" },
      ],
    };
    expect(JSON.parse((publicKeySet(JSON.stringify(mixed)) as { text: string }).text)).toEqual({
      keys: [
        { kty: "RSA", alg: "RS256", kid: "1", n: "AQAB", e: "AQAB" },
        { kty: "EC", crv: "P-256", x: "a", y: "b" },
      ],
    });
  });

  test.each([
    "",
    "<html>",
    "null",
    "[]",
    "{}",
    '{"keys":{}}',
    '{"keys":[]}',
    '{"keys":[{"kty":"oct","k":"s"}]}',
    '{"keys":[null,7,"x",{"kty":"__proto__"}]}',
  ])("is not %j", (text) => {
    expect(publicKeySet(text).ok).toBe(false);
  });
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

describe("fetching", () => {
  let pair: KeyPair;
  let server: Server;
  let port: number;
  let handler: Handler;
  let requests: IncomingMessage[];

  beforeAll(() => {
    pair = makeKeyPair(["DNS:sso.test", "IP:127.0.0.1"]);
  });

  beforeEach(async () => {
    requests = [];
    handler = (_request, response) => response.end(SET);
    server = createServer({ key: pair.key, cert: pair.cert }, (request, response) => {
      requests.push(request);
      handler(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
  });

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  /** Names resolve to the addresses given, one answer after the other. */
  const resolving = (...answers: readonly string[]): NonNullable<FetcherOptions["lookup"]> => {
    let turn = 0;
    return ((_name: string, _options: unknown, callback: (error: null, found: unknown) => void) => {
      const address = answers[Math.min(turn, answers.length - 1)] ?? "";
      turn += 1;
      callback(null, [{ address, family: address.includes(":") ? 6 : 4 }]);
    }) as unknown as NonNullable<FetcherOptions["lookup"]>;
  };
  const fetcher = (options: Partial<FetcherOptions> = {}): Fetch =>
    createFetch({
      clock: systemClock,
      guard: createAddressGuard(["127.0.0.1/32"]),
      backendGuard: createAddressGuard(["127.0.0.1/32"], true),
      lookup: resolving("127.0.0.1"),
      ...options,
    });
  const get = (url: string, options: Partial<FetcherOptions> = {}): Promise<FetchResult> =>
    fetcher(options)({ url: new URL(url), caPem: pair.ca }, signal);

  test("takes a set from where a flag allows it, with host and ETag", async () => {
    handler = (request, response) => {
      if (request.headers["if-none-match"] === '"1"') response.writeHead(304).end();
      else response.writeHead(200, { etag: '"1"' }).end(SET);
    };
    const url = new URL(`https://sso.test:${port}/keys?x=1`);
    const first = await fetcher()({ url, caPem: pair.ca }, signal);
    expect(first).toEqual({ type: "body", text: SET, etag: '"1"' });
    expect(requests[0]?.headers.host).toBe(`sso.test:${port}`);
    expect(requests[0]?.url).toBe("/keys?x=1");
    expect(await fetcher()({ url, caPem: pair.ca, etag: '"1"' }, signal)).toEqual({ type: "unchanged" });
  });

  test("dials a backend in place of the host, and still checks the host's certificate", async () => {
    const backend = { host: "127.0.0.1", port };
    const refusing = { guard: createAddressGuard([]) };
    const good = await fetcher(refusing)({ url: new URL("https://sso.test/keys"), caPem: pair.ca, backend }, signal);
    expect(good).toMatchObject({ type: "body" });
    expect(requests[0]?.headers.host).toBe("sso.test");
    const other = await fetcher(refusing)({ url: new URL("https://other.test/keys"), caPem: pair.ca, backend }, signal);
    expect(other).toMatchObject({ type: "failed", message: expect.stringMatching(/ERR_TLS_CERT_ALTNAME_INVALID/) });
  });

  test("trusts a further CA beside the system's", async () => {
    const url = new URL(`https://sso.test:${port}/keys`);
    expect(await fetcher()({ url }, signal)).toMatchObject({
      type: "failed",
      message: expect.stringMatching(/a CA that is not trusted here, [A-Z_]+: name the CA in jwks.caRefs/),
    });
    expect(await fetcher({ extraCaPem: pair.ca })({ url }, signal)).toMatchObject({ type: "body" });
  });

  test.each<[string, string, Partial<FetcherOptions>]>([
    ["plain http", "http://sso.test/keys", {}],
    ["a file", "file:///etc/passwd", {}],
    ["a password in the URL", "https://u:p@sso.test/keys", {}],
    ["a literal loopback address", "https://127.0.0.1/keys", { guard: createAddressGuard([]) }],
    ["an address in decimal", "https://2130706433/keys", { guard: createAddressGuard([]) }],
    ["an address in octal", "https://0177.0.0.1/keys", { guard: createAddressGuard([]) }],
    ["a mapped IPv6 address", "https://[::ffff:127.0.0.1]/keys", { guard: createAddressGuard([]) }],
    ["a name of loopback", "https://sso.test/keys", { guard: createAddressGuard([]) }],
    ["a name of the metadata service", "https://sso.test/keys", { lookup: resolving("169.254.169.254") }],
    ["a name of another host in the network", "https://sso.test/keys", { lookup: resolving("10.0.0.7") }],
  ])("refuses %s", async (_what, url, options) => {
    const withPort = new URL(url);
    if (withPort.protocol === "https:") withPort.port = String(port);
    expect(await get(withPort.href, options)).toMatchObject({ type: "failed" });
    expect(requests).toEqual([]);
  });

  test("connects to the address that was checked: a name that changes in between gains nothing", async () => {
    const lookup = resolving("127.0.0.1", "169.254.169.254");
    expect(await get(`https://sso.test:${port}/keys`, { lookup })).toMatchObject({ type: "body" });
    expect(await get(`https://sso.test:${port}/keys`, { lookup })).toMatchObject({
      type: "failed",
      message: expect.stringContaining("169.254.169.254"),
    });
  });

  test("follows redirects within the origin only, and not for ever", async () => {
    handler = (request, response) => {
      if (request.url === "/keys") response.end(SET);
      else if (request.url === "/moved") response.writeHead(302, { location: "/keys" }).end();
      else if (request.url === "/circle") response.writeHead(302, { location: "/circle" }).end();
      else response.writeHead(302, { location: `https://169.254.169.254:${port}/keys` }).end();
    };
    expect(await get(`https://sso.test:${port}/moved`)).toMatchObject({ type: "body" });
    expect(await get(`https://sso.test:${port}/away`)).toEqual({
      type: "failed",
      message: "it redirects to another host",
    });
    expect(await get(`https://sso.test:${port}/circle`)).toEqual({ type: "failed", message: "too many redirects" });
  });

  test("ends an answer that is too large, or cut", async () => {
    handler = (_request, response) => response.end("x".repeat(1024 * 1024 + 1));
    expect(await get(`https://sso.test:${port}/keys`)).toEqual({
      type: "failed",
      message: "the answer is larger than 1 MiB",
    });
    handler = (_request, response) => {
      response.writeHead(200, { "content-length": 100 }).write("{");
      setTimeout(() => response.destroy(), 20);
    };
    expect(await get(`https://sso.test:${port}/keys`)).toMatchObject({ type: "failed" });
  });

  test("does not wait for ever, also within an answer", async () => {
    const clock = createManualClock();
    handler = (_request, response) => void response.writeHead(200).write("{");
    const answer = get(`https://sso.test:${port}/keys`, { clock });
    while (requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await clock.advance(5_000);
    expect(await answer).toEqual({ type: "failed", message: "no complete answer within 5 s" });
  });

  test("says what a server answered that has no set", async () => {
    handler = (_request, response) => response.writeHead(500).end("secret detail");
    expect(await get(`https://sso.test:${port}/keys`)).toEqual({ type: "failed", message: "it answered 500" });
  });
});

describe("the keeper", () => {
  let clock: ManualClock;
  let stored: Map<string, StoredKeySet>;
  let answers: Map<string, FetchResult>;
  let asked: string[];
  let told: Change[];
  let keeper: JwksKeeper;

  const source = (id: string, rest: Partial<JwksSource> = {}): JwksSource => ({
    id,
    type: "URI",
    uri: `https://${id}.test/keys`,
    ...rest,
  });
  const body = (text = SET, etag?: string): FetchResult => ({ type: "body", text, etag });
  const states = (id: string): readonly JwksState[] =>
    told.filter(({ key }) => key.name === id).map(({ object }) => object?.spec as JwksState);
  const last = (id: string): JwksState | undefined => states(id).at(-1);

  beforeEach(() => {
    clock = createManualClock();
    stored = new Map();
    answers = new Map();
    asked = [];
    told = [];
    keeper = createJwksKeeper({
      clock,
      log: silentLog,
      store: {
        get: (id) => stored.get(id),
        put: (id, set) => void stored.set(id, set),
        remove: (id) => void stored.delete(id),
      },
      onChange: (change) => told.push(change),
      fetch({ url, etag }) {
        asked.push(etag === undefined ? url.href : `${url.href} ${etag}`);
        return Promise.resolve(answers.get(url.href) ?? { type: "failed", message: "it answered 500" });
      },
    });
  });

  test("tells a set once, and again only when it differs", async () => {
    answers.set("https://a.test/keys", body(SET, '"1"'));
    keeper.update([source("a")], []);
    expect(keeper.pending()).toBe(1);
    await clock.advance(0);
    expect(keeper.pending()).toBe(0);
    expect(states("a")).toEqual([{ jwks: expect.stringContaining('"kid":"1"'), fetchedAt: expect.any(String) }]);
    answers.set("https://a.test/keys", { type: "unchanged" });
    await clock.advance(3_600_000);
    expect(asked.at(-1)).toBe('https://a.test/keys "1"');
    expect(asked.length).toBeGreaterThan(8);
    expect(states("a")).toHaveLength(1);
    answers.set("https://a.test/keys", body(JSON.stringify({ keys: [{ ...RSA, kid: "2" }] })));
    await clock.advance(600_000);
    expect(last("a")?.jwks).toContain('"kid":"2"');
  });

  test("says why there is no set, and finds it when it comes", async () => {
    keeper.update([source("a")], []);
    await clock.advance(10_000);
    expect(states("a")).toEqual([{ error: "it answered 500" }]);
    expect(asked.length).toBeGreaterThanOrEqual(4); // one attempt and three more
    answers.set("https://a.test/keys", body());
    await clock.advance(20_000);
    expect(last("a")).toEqual({ jwks: expect.any(String), fetchedAt: expect.any(String) });
  });

  test("uses the last good set for a day, and no longer", async () => {
    answers.set("https://a.test/keys", body());
    keeper.update([source("a")], []);
    await clock.advance(0);
    answers.delete("https://a.test/keys");
    await clock.advance(23 * 3_600_000);
    expect(last("a")).toMatchObject({ jwks: expect.any(String), error: "it answered 500" });
    await clock.advance(2 * 3_600_000);
    expect(last("a")).toEqual({ error: "it answered 500" });
  });

  test("does not let one bad address delay another", async () => {
    answers.set("https://good.test/keys", body());
    keeper.update([source("bad"), source("good")], []);
    await clock.advance(0);
    expect(last("good")?.jwks).toBeDefined();
    expect(keeper.pending()).toBe(1);
  });

  test("begins with what the process before it knew", () => {
    stored.set("a", { jwks: SET, fetchedAt: new Date(clock.now() - 1_000).toISOString() });
    stored.set("old", { jwks: SET, fetchedAt: new Date(clock.now() - 25 * 3_600_000).toISOString() });
    keeper.update([source("a"), source("old")], []);
    expect(last("a")?.jwks).toBe(SET);
    expect(last("old")).toBeUndefined(); // too old to be used, and nothing else is known yet
    expect(keeper.pending()).toBe(1);
  });

  test("finds a set through discovery, and believes only the issuer's own document", async () => {
    const issuer = "https://sso.test/realms/main";
    const discovery = `${issuer}/.well-known/openid-configuration`;
    answers.set(discovery, body(JSON.stringify({ issuer, jwks_uri: "https://keys.test/jwks" })));
    answers.set("https://keys.test/jwks", body());
    keeper.update([source("a", { type: "Discovery", uri: issuer })], []);
    await clock.advance(0);
    expect(last("a")?.jwks).toBeDefined();
    answers.set(discovery, body(JSON.stringify({ issuer: "https://evil.test", jwks_uri: "https://keys.test/jwks" })));
    keeper.update([source("b", { type: "Discovery", uri: issuer })], []);
    await clock.advance(10_000);
    expect(last("b")).toEqual({ error: "discovery: the document is of another issuer" });
  });

  test("forgets a source that is no longer wanted", async () => {
    answers.set("https://a.test/keys", body());
    keeper.update([source("a")], []);
    await clock.advance(0);
    keeper.update([], ["a"]);
    const before = asked.length;
    await clock.advance(3_600_000);
    expect(asked).toHaveLength(before);
    expect(stored.size).toBe(0);
  });

  afterEach(async () => {
    const stopping = keeper.stop();
    await clock.advance(0);
    await stopping;
    expect(clock.timers()).toBe(0);
  });
});
