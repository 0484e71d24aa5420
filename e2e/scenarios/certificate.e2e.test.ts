/** Client certificates as credentials: which names pass, on which listener, and together with other methods. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, type RequestSpec, send } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import type { ClientTls, Target } from "../client/target.ts";
import { eventually } from "../cluster/condition.ts";
import { createAuthority, issue, type KeyPair, type LeafRequest } from "../cluster/pki.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { upstreamValues, verdictOf } from "./authentication-manifest.ts";
import { addConsumer, apiPolicy } from "./policies-manifest.ts";
import { httpRoute, rule } from "./routes-manifest.ts";

const NO_CREDENTIAL = "401 GW-AUTHN-001";
const REFUSED = "401 GW-AUTHN-002";
const CLOSED = "503 GW-POLICY-002";
/** The handshake, or what follows it in TLS 1.3, failed. */
const NO_CONNECTION = "no connection";
const ERP = "spiffe://cluster.local/ns/shop/sa/erp";

const IDENTITIES = [
  { type: "Exact", san: "URI", value: ERP },
  { type: "Exact", san: "DNS", value: "a.b+c.test" },
  { type: "Exact", san: "Email", value: "ops@corp.test" },
  { type: "Prefix", san: "URI", value: "spiffe://cluster.local/ns/web/" },
  { type: "Suffix", san: "DNS", value: ".partners.test" },
  { type: "Regex", san: "URI", value: "spiffe://cluster\\.local/ns/(a|b)/sa/[a-z]+" },
] as const;

const GOOD: readonly Omit<LeafRequest, "commonName">[] = [
  { uris: [ERP] },
  { emails: ["ops@corp.test"] },
  { uris: ["spiffe://cluster.local/ns/web/sa/x"] },
  { dnsNames: ["x.partners.test"] },
  { uris: ["spiffe://cluster.local/ns/b/sa/job"] },
  { uris: ["spiffe://other/one", ERP], dnsNames: ["nobody.test"] },
];

/** Each is close to one that passes. */
const BAD: readonly Omit<LeafRequest, "commonName">[] = [
  {},
  { uris: [`${ERP}2`] },
  { uris: [`x${ERP}`] },
  { uris: [ERP.toUpperCase()] },
  { uris: ["spiffe://cluster.local/ns/shop/sa/er"] },
  { uris: ["spiffe://clusterxlocal/ns/a/sa/job"] },
  { uris: ["spiffe://cluster.local/ns/a/sa/job/more"] },
  { uris: ["x-spiffe://cluster.local/ns/a/sa/job"] },
  { uris: ["spiffe://cluster.local/ns/c/sa/job"] },
  { uris: ["spiffe://cluster.local/ns/webb/sa/x"] },
  { uris: ["ops@corp.test"] },
  { dnsNames: ["partners.test"] },
  { dnsNames: ["x.partners.test.evil.test"] },
  { dnsNames: ["aXbbc.test"] },
  { dnsNames: ["ops@corp.test"] },
  { dnsNames: [ERP] },
  { emails: ["ops@corp.test.evil.test"] },
  { emails: ["x.partners.test"] },
];

describe("client certificates", () => {
  const [partners, strangers] = [createAuthority("partners"), createAuthority("strangers")];
  const erp = issue(partners, { commonName: "erp", uris: [ERP] });
  const other = issue(partners, { commonName: ERP, uris: ["spiffe://other"] });
  const strange = issue(strangers, { commonName: "erp", uris: [ERP] });
  const old = issue(partners, { commonName: "erp", uris: [ERP], notAfter: new Date(Date.now() - 60_000) });
  const server = issue(partners, { commonName: "erp", uris: [ERP], usages: ["server"] });
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("certs");
    await shop.upstream("orders");
    await shop.configMap("partner-ca", { "ca.crt": partners.certificate });
    await addConsumer(shop, "erp", "k-certs");
    const https = (name: string) => ({
      name,
      port: 8443,
      protocol: "HTTPS",
      hostname: `${name}.test`,
      tls: { certificateRefs: [{ name: `${name}-tls` }] },
    });
    const http = { name: "http", port: 8080, protocol: "HTTP" };
    const listeners = [http, ...["strict", "optional", "plain"].map(https)];
    const policies = (["strict", "optional", "plain"] as const).map((name) =>
      apiPolicy(
        `${name}-listener`,
        { kind: "Gateway", name: "edge", sectionName: name },
        {
          transport: { certificate: { issuerRef: { kind: "ClusterIssuer", name: "gatewarden-ca" } } },
          ...(name === "plain"
            ? {}
            : {
                mtls: {
                  client: {
                    mode: name === "strict" ? "Strict" : "Optional",
                    caRefs: [{ kind: "ConfigMap", name: "partner-ca", key: "ca.crt" }],
                  },
                },
              }),
        },
      ),
    );
    // cert-manager makes the listeners' certificates; the Gateway is programmed when they are there.
    await shop.apply(policies);
    edge = await shop.gateway({ listeners });
    for (const { metadata } of policies) await shop.waitFor("ApiPolicy", metadata.name, "Programmed");
    const clientCertificate = { identities: IDENTITIES };
    await shop.enforce([
      ...route("strict", "strict", { clientCertificate }),
      ...route("optional", "optional", { clientCertificate }),
      ...route("mixed", "optional", { clientCertificate, apiKey: {} }, "/mixed"),
      ...route("perhaps", "optional", { mode: "Optional", clientCertificate }, "/perhaps"),
    ]);
    await eventually(
      "the routes",
      async () => (await verdict("strict", erp)) === "200" && (await verdict("optional", erp, "/perhaps")) === "200",
    );
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const route = (name: string, listener: string, authentication: object, path = "/") => [
    httpRoute(name, {
      parentRefs: [{ name: "edge", sectionName: listener }],
      ...(listener === "http" ? { hostnames: [`${name}.test`] } : {}),
      rules: [rule("orders", { path: { type: "PathPrefix", value: path } })],
    }),
    apiPolicy(name, { kind: "HTTPRoute", name }, { authentication }),
  ];
  const targetOf = (listener: string, pair?: KeyPair, more: Partial<ClientTls> = {}): Target =>
    edge.target({ port: 8443, tls: { serverName: `${listener}.test`, ...pair, ...more } });
  const verdict = async (
    listener: string,
    pair: KeyPair | undefined,
    path = "/",
    headers: RequestSpec["headers"] = {},
  ): Promise<string> => {
    try {
      return verdictOf(await send(targetOf(listener, pair), { host: `${listener}.test`, path, headers }));
    } catch {
      return NO_CONNECTION;
    }
  };

  it.each(["strict", "optional"])("lets in exactly the names that are listed, on the %s listener", async (listener) => {
    const seen = async (requests: readonly Omit<LeafRequest, "commonName">[]): Promise<unknown> =>
      Promise.all(
        requests.map(async (names) => [names, await verdict(listener, issue(partners, { commonName: ERP, ...names }))]),
      );
    expect(await seen(GOOD)).toEqual(GOOD.map((names) => [names, "200"]));
    expect(await seen(BAD)).toEqual(BAD.map((names) => [names, REFUSED]));
  });

  it("refuses in TLS what is no certificate of that authority, and asks for one where it is needed", async () => {
    for (const [name, pair] of Object.entries({ strange, old, server })) {
      expect([name, await verdict("strict", pair), await verdict("optional", pair)]).toEqual([
        name,
        NO_CONNECTION,
        NO_CONNECTION,
      ]);
    }
    expect(await verdict("strict", undefined)).toBe(NO_CONNECTION);
    const none = await send(targetOf("optional"), { host: "optional.test" });
    expect([verdictOf(none), none.header("www-authenticate")]).toEqual([
      NO_CREDENTIAL,
      expect.stringMatching(/^ClientCertificate /),
    ]);
    expect(none.header("x-gatewarden-policy")).toBe(`${shop.namespace}/optional#authentication`);
  });

  it("takes nothing that a client says about certificates in a header", async () => {
    const forged = {
      "x-forwarded-client-cert": `By=spiffe://x;Hash=0;URI=${ERP}`,
      "ssl-client-verify": "SUCCESS",
      "x-ssl-client-s-dn": ERP,
    };
    expect(await verdict("optional", undefined, "/", forged)).toBe(NO_CREDENTIAL);
    expect(await verdict("optional", other, "/", forged)).toBe(REFUSED);
    const passed = await send(targetOf("optional", erp), { host: "optional.test", headers: forged });
    expect(upstreamValues(passed, "x-forwarded-client-cert")).toEqual([]);
  });

  it("comes after a key, and decides where it is the only credential", async () => {
    const key = { "x-api-key": "k-certs" };
    const cases: readonly (readonly [string, KeyPair | undefined, Readonly<Record<string, string>>, string])[] = [
      ["nothing", undefined, {}, NO_CREDENTIAL],
      ["a key", undefined, key, "200"],
      ["a certificate", erp, {}, "200"],
      ["another certificate", other, {}, REFUSED],
      ["a key and another certificate", other, key, "200"],
      ["a bad key and a certificate", erp, { "x-api-key": "guessed" }, REFUSED],
    ];
    for (const [name, pair, headers, expected] of cases) {
      expect([name, await verdict("optional", pair, "/mixed", headers)]).toEqual([name, expected]);
    }
    expect([await verdict("optional", undefined, "/perhaps"), await verdict("optional", other, "/perhaps")]).toEqual([
      "200",
      REFUSED,
    ]);
  });

  it("is checked at every request: an edit of the identities holds on connections that are open", async () => {
    const [http1, http2] = [await connectHttp1(targetOf("strict", erp)), await connectHttp2(targetOf("strict", erp))];
    const both = async (): Promise<readonly string[]> =>
      (await Promise.all([http1.request({ host: "strict.test" }), http2.request({ host: "strict.test" })])).map(
        verdictOf,
      );
    expect(await both()).toEqual(["200", "200"]);
    await shop.enforce(
      route("strict", "strict", {
        clientCertificate: { identities: [{ type: "Exact", san: "URI", value: "spiffe://other" }] },
      }),
    );
    expect([await both(), await verdict("strict", other)]).toEqual([[REFUSED, REFUSED], "200"]);
    await shop.enforce(route("strict", "strict", { clientCertificate: { identities: IDENTITIES } }));
    expect([await both(), http1.closed(), http2.closed()]).toEqual([["200", "200"], false, false]);
    http1.close();
    http2.close();
  });

  it("does not follow a connection to a host of another listener", async () => {
    const connection = await connectHttp1(targetOf("optional"));
    const asked = await connection.request({ host: "strict.test" });
    expect([421, 404, 401]).toContain(asked.status);
    connection.close();
    const spoofed = await connectHttp1(targetOf("plain"));
    expect([421, 404]).toContain((await spoofed.request({ host: "strict.test" })).status);
    spoofed.close();
  });

  it("pass by the listeners that ask for them and nowhere else, where a route has several; a key beside passes by all", async () => {
    const alone = { clientCertificate: { identities: IDENTITIES } };
    const parentRefs = ["http", "optional", "plain"].map((sectionName) => ({ name: "edge", sectionName }));
    const objects = (name: string, authentication: object) => [
      httpRoute(name, { parentRefs, rules: [rule("orders", { path: { type: "PathPrefix", value: `/${name}` } })] }),
      apiPolicy(name, { kind: "HTTPRoute", name }, { authentication }),
    ];
    await shop.enforce([...objects("several", alone), ...objects("beside", { ...alone, apiKey: {} })]);
    const key = { "x-api-key": "k-certs" };
    const calls = async (path: string): Promise<unknown> => {
      const target = { host: "any.test", path };
      return {
        optional: [await verdict("optional", erp, path), await verdict("optional", undefined, path, key)],
        plain: [await verdict("plain", erp, path), await verdict("plain", undefined, path, key)],
        http: [
          verdictOf(await send(edge.target(), target)),
          verdictOf(await send(edge.target(), { ...target, headers: key })),
        ],
      };
    };
    expect(await calls("/several")).toEqual({
      optional: ["200", NO_CREDENTIAL],
      plain: [CLOSED, CLOSED],
      http: [CLOSED, CLOSED],
    });
    expect(await calls("/beside")).toEqual({
      optional: ["200", "200"],
      plain: [NO_CREDENTIAL, "200"],
      http: [NO_CREDENTIAL, "200"],
    });
    const closed = await send(edge.target(), { host: "any.test", path: "/several" });
    expect([closed.problem().policy, closed.problem().detail]).toEqual([
      `${shop.namespace}/several#authentication`,
      expect.stringContaining("listener http, which asks for no client certificate"),
    ]);
    const offered = await send(edge.target(), { host: "any.test", path: "/beside" });
    expect(offered.header("www-authenticate")).not.toMatch(/ClientCertificate/);
    const { message } = await shop.waitFor("ApiPolicy", "several", "Accepted", { status: "True" });
    for (const listener of ["http", "plain"])
      expect(message).toContain(
        `nobody can authenticate by listener ${listener}, which asks for no client certificate`,
      );
    await shop.waitFor("ApiPolicy", "beside", "Accepted", {
      status: "True",
      message: /listener http asks for no client certificate: there the other methods alone count/,
    });
  });

  it.each(["http", "plain"])(
    "cannot be asked for on a listener without client certificates (%s): the route closes, and says why",
    async (listener) => {
      const name = `without-${listener}`;
      await shop.apply(route(name, listener, { clientCertificate: { identities: IDENTITIES } }));
      const { message } = await shop.waitFor("ApiPolicy", name, "Accepted", {
        status: "False",
        reason: "UnsupportedForTarget",
      });
      expect(message).toMatch(/clientCertificate.*mtls\.client/s);
      await eventually("closed", async () => {
        const found =
          listener === "http"
            ? verdictOf(await send(edge.target(), { host: `${name}.test` }))
            : await verdict("plain", undefined);
        return found === CLOSED;
      });
    },
  );
});
