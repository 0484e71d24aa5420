/**
 * An edit drops nothing: while objects change, calls that are good before and after the change are answered in between too. Every
 * change is one that moves something between resources, which a proxy takes over one after the other.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { setTimeout as wait } from "node:timers/promises";
import type { ClientTls } from "../../e2e/client/target.ts";
import { createAuthority, issue, type KeyPair } from "../../e2e/cluster/pki.ts";
import { freePorts } from "../../e2e/cluster/port.ts";
import { type EchoUpstream, startEcho } from "../../e2e/upstream/echo.ts";
import type { Change } from "../src/world.ts";
import { type Answers, type Live, type Load, startLive, startLoad } from "./live.ts";
import { backend, gateway, gatewayClass, gone, policy, put, route, service } from "./objects.ts";
import { createKeys, jwk, keySet, token } from "./tokens.ts";

const EDITS = 30;
const BETWEEN_MS = 40;

const keys = createKeys();
const NOW_S = Math.floor(Date.now() / 1000);
const bearer = token(
  { alg: "ES256", kid: "p" },
  { iss: "https://sso.test", aud: "shop", sub: "erp", exp: NOW_S + 3600 },
  keys.p256.privateKey,
);
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const httpRoute = (name: string): Record<string, string> => ({
  group: "gateway.networking.k8s.io",
  kind: "HTTPRoute",
  name,
});

let generation = 1;
const next = (): { readonly generation: number } => ({ generation: (generation += 1) });

const authority = createAuthority("servers");
const pair = (name: string): KeyPair => issue(authority, { commonName: name, dnsNames: [name] });
const tls = (name: string, { certificate, privateKey }: KeyPair): Change =>
  put("Secret", name, { data: { "tls.crt": base64(certificate), "tls.key": base64(privateKey) } }, next());
const simple = (name: string, to = "blue", hostnames = [`${name}.test`]): Change =>
  route(name, { hostnames, rules: [{ backendRefs: [backend(to)] }] }, next());
const open = (name: string, more: Record<string, unknown> = {}): Change =>
  policy(name, [httpRoute(name)], { authentication: { mode: "Public", reason: "test" }, ...more }, next());

type Written = Readonly<Record<string, unknown>>;
const httpsListener = (name: string, hostname: string): Written => ({
  name,
  port: https,
  protocol: "HTTPS",
  hostname,
  tls: { certificateRefs: [{ name: "page" }] },
});
const edge = (more: readonly Written[] = []): Change => {
  const listeners = [{ name: "http", port, protocol: "HTTP" }, httpsListener("page", "page.test"), ...more];
  const change = gateway("edge", listeners);
  return { ...change, object: { ...change.object, metadata: { ...change.object!.metadata, ...next() } } };
};

let live: Live;
let upstreams: readonly EchoUpstream[] = [];
let port = 0;
let https = 0;
let load: Load | undefined;

beforeAll(async () => {
  upstreams = await Promise.all([
    ...["blue", "green"].map((name) => startEcho({ name, address: "127.0.0.1" })),
    startEcho({ name: "secure", address: "127.0.0.1", tls: pair("secure.shop.svc") }),
  ]);
  [port = 0, https = 0] = await freePorts(2);
  live = await startLive([
    gatewayClass,
    put("ConfigMap", "jwks", { data: { "jwks.json": keySet(jwk(keys.p256, { kid: "p", alg: "ES256" })) } }),
    put("ConfigMap", "ca", { data: { "ca.crt": authority.certificate } }),
    put("Secret", "erp", { data: { key: base64("a-key-of-the-consumer-erp") } }),
    put("ApiConsumer", "erp", { spec: { apiKeys: [{ name: "k", secretRef: { name: "erp", key: "key" } }] } }),
    tls("page", pair("page.test")),
    edge(),
    ...upstreams.flatMap(({ name, address, port: at }) => service(name, { address, port: at })),
    ...["token", "key", "public", "page"].map((name) => simple(name)),
    simple("secure", "secure"),
    open("public"),
  ]);
  await live.settled();
});
afterEach(async () => {
  await load?.answers();
  load = undefined;
});
afterAll(async () => {
  await live?.stop();
  await Promise.all(upstreams.map((upstream) => upstream.stop()));
});

/** Answers of a load during edits; each of them says what holds next. */
async function during(
  host: string,
  headers: Readonly<Record<string, string>>,
  edit: (at: number) => readonly Change[],
  options: { readonly tls?: Partial<ClientTls>; readonly renew?: boolean } = {},
): Promise<Answers> {
  await live.apply(...edit(0));
  await live.settled();
  const target = options.tls === undefined ? { port } : { port: https, tls: { serverName: host, ...options.tls } };
  load = startLoad(target, { host, headers }, 3, options.renew);
  for (let at = 1; at <= EDITS; at += 1) {
    await wait(BETWEEN_MS);
    await live.apply(...edit(at));
  }
  await wait(BETWEEN_MS);
  const answers = await load.answers();
  expect(answers["200"]).toBeGreaterThan(EDITS);
  await live.settled();
  return answers;
}
const onlyGood = ({ 200: _, ...others }: Answers): void => expect(others).toEqual({});

function tokens(at: number, name = "token"): Change {
  const issuer = {
    name: "corp",
    issuer: "https://sso.test",
    audiences: ["shop"],
    clockSkew: `${String(30 + at)}s`,
    jwks: { type: "Ref", ref: { kind: "ConfigMap", name: "jwks", key: "jwks.json" } },
  };
  return policy(name, [httpRoute(name)], { authentication: { jwt: [issuer] } }, next());
}

test("a token stays good while its policy changes", async () => {
  onlyGood(await during("token.test", { authorization: `Bearer ${bearer}` }, (at) => [tokens(at % 2)]));
});

test("a token stays good while other policies and routes change all the time", async () => {
  const others = Array.from({ length: 8 }, (_, at) => `other-${String(at)}`);
  await live.apply(...others.map((name) => simple(name)));
  let over = false;
  const churn = async (): Promise<number> => {
    let edits = 0;
    for (; !over; await wait(5)) {
      const name = others[(edits += 1) % others.length] ?? "";
      await live.apply(tokens(edits % 300, name), simple(name, edits % 2 === 0 ? "blue" : "green"));
    }
    return edits;
  };
  let edits: Promise<number> | undefined;
  const answers = await during("token.test", { authorization: `Bearer ${bearer}` }, (at) => {
    if (at === 1) edits = churn();
    over = at === EDITS;
    return [tokens(at % 2)];
  });
  expect(await edits).toBeGreaterThan(EDITS);
  onlyGood(answers);
  await live.apply(...others.flatMap((name) => [gone(tokens(0, name)), gone(simple(name))]));
});

test("a key stays good while its policy comes and goes above an open one", async () => {
  const space = policy("space", [{ kind: "Namespace" }], { authentication: { mode: "Public", reason: "test" } });
  const keyed = policy("key", [httpRoute("key")], {
    authentication: { apiKey: { from: { headers: ["x-api-key"] }, consumerHeader: "x-consumer" } },
  });
  const headers = { "x-api-key": "a-key-of-the-consumer-erp" };
  onlyGood(await during("key.test", headers, (at) => [space, at % 2 === 0 ? keyed : gone(keyed)]));
});

test("a route changes its backend", async () => {
  onlyGood(await during("public.test", {}, (at) => [simple("public", at % 2 === 0 ? "blue" : "green")]));
});

test("a policy with lists and limits comes, changes and goes", async () => {
  const limited = (requests: number): Change =>
    open("public", {
      rateLimit: { limits: [{ name: "all", requests, per: "1s", by: [{ type: "ClientIP" }] }] },
      denylist: { entries: [{ cidr: `192.0.2.${String(requests % 200)}/32` }] },
    });
  onlyGood(await during("public.test", {}, (at) => [at % 3 === 2 ? gone(open("public")) : limited(1_000_000 + at)]));
});

test("a Gateway's limit changes", async () => {
  const limit = (name: string, requests: number): Change =>
    policy(
      "edge",
      [{ group: "gateway.networking.k8s.io", kind: "Gateway", name: "edge" }],
      { rateLimit: { limits: [{ name, requests, per: "1s" }] } },
      next(),
    );
  onlyGood(
    await during("public.test", {}, (at) => [
      at % 3 === 2 ? gone(limit("x", 1)) : limit(`limit-${String(at % 2)}`, 1_000_000 + at),
    ]),
  );
});

test("other routes come and go on the host and beside it", async () => {
  const others = ["o1", "o2"].map((name) =>
    route(name, {
      hostnames: ["public.test", `${name}.test`],
      rules: [{ matches: [{ path: { type: "PathPrefix", value: `/${name}` } }], backendRefs: [backend("green")] }],
    }),
  );
  onlyGood(await during("public.test", {}, (at) => (at % 2 === 0 ? others : others.map(gone))));
});

test("a host moves between its own route, a wildcard and the rest", async () => {
  const own = simple("moves", "blue", ["x.moves.test"]);
  const wild = simple("wild", "green", ["*.moves.test"]);
  const rest = route("rest", { rules: [{ backendRefs: [backend("green")] }] });
  onlyGood(
    await during("x.moves.test", {}, (at) => [rest, at % 2 === 0 ? gone(own) : own, at % 3 === 0 ? gone(wild) : wild]),
  );
  await live.apply(gone(rest));
});

test("a listener's certificate is renewed", async () => {
  onlyGood(await during("page.test", {}, () => [tls("page", pair("page.test"))], { tls: {}, renew: true }));
});

test("the CA of a backend changes", async () => {
  const more = createAuthority("more").certificate;
  const ca = (at: number): Change =>
    put("ConfigMap", "ca", { data: { "ca.crt": at % 2 === 0 ? authority.certificate : authority.certificate + more } });
  const secured = (at: number): Change =>
    policy(
      "secure",
      [httpRoute("secure")],
      {
        mtls: {
          backend: {
            mode: "Simple",
            caRefs: [{ kind: "ConfigMap", name: "ca", key: "ca.crt" }],
            ...(at % 3 === 0 ? {} : { sans: ["secure.shop.svc"] }),
          },
        },
      },
      next(),
    );
  onlyGood(await during("secure.test", {}, (at) => [ca(at), secured(at)]));
});

test.each([false, true])(
  "listeners of other hosts come and go on the same port, new connections: %s",
  async (renew) => {
    const others = [
      { name: "other", port, protocol: "HTTP", hostname: "other.test" },
      httpsListener("other-page", "*.page.test"),
    ];
    const edit = (at: number): readonly Change[] => [edge(at % 2 === 0 ? [] : others)];
    onlyGood(await during("public.test", {}, edit, { renew }));
    onlyGood(await during("page.test", {}, edit, { renew, tls: {} }));
  },
);

test("the CA of clients changes", async () => {
  const clients = createAuthority("clients");
  const more = createAuthority("more clients").certificate;
  const client = issue(clients, { commonName: "erp" });
  const mutual = policy(
    "clients",
    [{ group: "gateway.networking.k8s.io", kind: "Gateway", name: "edge", sectionName: "page" }],
    { mtls: { client: { mode: "Strict", caRefs: [{ kind: "ConfigMap", name: "clients", key: "ca.crt" }] } } },
  );
  const ca = (at: number): Change =>
    put("ConfigMap", "clients", {
      data: { "ca.crt": at % 2 === 0 ? clients.certificate : clients.certificate + more },
    });
  const tlsClient = { certificate: client.certificate, privateKey: client.privateKey };
  onlyGood(await during("page.test", {}, (at) => [mutual, ca(at)], { renew: true, tls: tlsClient }));
  await live.apply(gone(mutual));
});
