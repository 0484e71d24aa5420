/** Client certificates at the listener: who must show one, which are good, whom they name, and what the upstream is told. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, send } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import { createAuthority, type KeyPair } from "../cluster/pki.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { createRevocationList } from "../material/crl.ts";
import type { Target } from "../client/target.ts";
import { upstreamValues, verdictOf } from "./authentication-manifest.ts";
import { API_KEY, apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { hostRoute, untilVerdict } from "./sections-manifest.ts";
import { clientPair, clientTls, httpsListener, overTls, serverSecret } from "./tls-manifest.ts";

const PASSED = "200";
const NO_CONNECTION = "no connection";
const NO_IDENTITY = "403 GW-MTLS-001";
const HEADER = "x-forwarded-client-cert";
const DAY_MS = 86_400_000;
const PORTS = { strict: 8441, optional: 8442, off: 8443, revoke: 8444, names: 8445 } as const;
type Listener = keyof typeof PORTS;

describe("client certificates", () => {
  const servers = createAuthority("servers");
  const partners = createAuthority("partners");
  const others = createAuthority("others");
  const strangers = createAuthority("strangers");
  const spiffe = "spiffe://cluster.local/ns/shop/sa/erp";
  const erp = clientPair(partners, { uris: [spiffe], dnsNames: ["erp.partner.test"], emails: ["erp@partner.test"] });
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;

  const client = (mode: string, more: object = {}) => ({
    mtls: { client: { mode, ...(mode === "Off" ? {} : { caRefs: [ca("partner-ca")] }), ...more } },
  });
  const ca = (name: string, kind = "ConfigMap") => ({ kind, name, key: "ca.crt" });
  const listenerPolicy = (name: Listener, sections: object) =>
    apiPolicy(`l-${name}`, { kind: "Gateway", name: "edge", sectionName: name }, sections);
  const target = (name: Listener, pair?: KeyPair): Target =>
    edge.target({ port: PORTS[name], tls: clientTls(`${name}.tls.test`, servers, pair) });
  const call = (name: Listener, pair?: KeyPair, headers = {}): Promise<string> =>
    overTls(target(name, pair), { host: `${name}.tls.test`, headers });

  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("mtls");
    await shop.upstream("orders");
    await serverSecret(shop, "server", servers, ["*.tls.test"]);
    await shop.configMap("partner-ca", { "ca.crt": partners.certificate });
    await shop.secret("other-ca", { "ca.crt": others.certificate });
    await shop.configMap("crl", { "ca.crl": createRevocationList(partners, []) });
    const listeners = Object.entries(PORTS).map(([name, port]) =>
      httpsListener(name, port, `${name}.tls.test`, "server"),
    );
    edge = await shop.gateway({ listeners: [...listeners, { name: "http", port: 8080, protocol: "HTTP" }] });
    await shop.enforce([
      hostRoute("all", { hostnames: Object.keys(PORTS).map((name) => `${name}.tls.test`) }),
      apiPolicy("gateway", { kind: "Gateway", name: "edge" }, OPEN_TO_ALL),
      listenerPolicy("strict", client("Strict", { forwardCertificate: {} })),
      listenerPolicy("optional", {
        mtls: {
          client: {
            mode: "Optional",
            caRefs: [ca("partner-ca"), ca("other-ca", "Secret")],
            forwardCertificate: { header: HEADER, fields: ["URI"] },
          },
        },
      }),
      listenerPolicy("off", client("Off")),
      listenerPolicy("revoke", client("Strict", { crlRef: { kind: "ConfigMap", name: "crl", key: "ca.crl" } })),
      listenerPolicy("names", client("Strict")),
    ]);
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  it("are needed with Strict, looked at with Optional and not asked for with Off", async () => {
    const pairs: Readonly<Record<string, KeyPair | undefined>> = {
      none: undefined,
      good: erp,
      "of a stranger": clientPair(strangers, { uris: [spiffe] }),
      "of the same name": clientPair(createAuthority("partners"), { uris: [spiffe] }),
      expired: clientPair(partners, {
        notBefore: new Date(Date.now() - 2 * DAY_MS),
        notAfter: new Date(Date.now() - DAY_MS),
      }),
      "not yet valid": clientPair(partners, {
        notBefore: new Date(Date.now() + DAY_MS),
        notAfter: new Date(Date.now() + 2 * DAY_MS),
      }),
      "for servers": clientPair(partners, { usages: ["server"] }),
      "of the second CA": clientPair(others),
    };
    const found: Record<string, readonly string[]> = {};
    for (const [name, pair] of Object.entries(pairs)) {
      found[name] = [await call("strict", pair), await call("optional", pair), await call("off", pair)];
    }
    const bad = [NO_CONNECTION, NO_CONNECTION, PASSED];
    expect(found).toEqual({
      none: [NO_CONNECTION, PASSED, PASSED],
      good: [PASSED, PASSED, PASSED],
      "of a stranger": bad,
      "of the same name": bad,
      expired: bad,
      "not yet valid": bad,
      "for servers": bad,
      "of the second CA": [NO_CONNECTION, PASSED, PASSED],
    });
  });

  it("are told to the upstream as the policy says, and only by us", async () => {
    const forged = [
      ["x-forwarded-client-cert", `URI=${spiffe}`],
      ["X-Forwarded-Client-Cert", "Hash=00"],
    ] as const;
    const told = async (name: Listener, pair?: KeyPair): Promise<readonly string[]> =>
      upstreamValues(await send(target(name, pair), { host: `${name}.tls.test`, headers: forged }), HEADER);
    const [strict, ...more] = await told("strict", erp);
    expect(more).toEqual([]);
    expect(strict).toMatch(/(^|;)Hash=[0-9a-f]{64}(;|$)/);
    expect(strict).toMatch(/Subject="CN=erp"/);
    expect(strict).toContain(`URI=${spiffe}`);
    expect(strict).toContain("DNS=erp.partner.test");
    expect(strict).not.toContain("Hash=00");
    const [optional] = await told("optional", erp);
    expect(optional).toContain(`URI=${spiffe}`);
    expect(optional).not.toMatch(/Subject=|DNS=/);
    expect([await told("optional"), await told("off", erp), await told("names", erp)]).toEqual([[], [], []]);
    expect(upstreamValues(await plain(forged), HEADER)).toEqual([]);
  });
  const plain = (headers: readonly (readonly [string, string])[]) =>
    send(edge.target(), { host: "names.tls.test", headers });

  it("name whom the policy names: exact, prefix, suffix and pattern of URI, DNS and Email names", async () => {
    const pair = erp;
    const cases: readonly (readonly [type: string, san: string, value: string, verdict: string])[] = [
      ["Exact", "URI", spiffe, PASSED],
      ["Exact", "URI", spiffe.replaceAll(".", "x"), NO_IDENTITY],
      ["Exact", "URI", ".*", NO_IDENTITY],
      ["Exact", "DNS", "erp.partner.test", PASSED],
      ["Exact", "DNS", "partner.test", NO_IDENTITY],
      ["Exact", "Email", "erp@partner.test", PASSED],
      ["Exact", "DNS", "erp@partner.test", NO_IDENTITY],
      ["Prefix", "URI", "spiffe://cluster.local/ns/shop/", PASSED],
      ["Prefix", "URI", "/ns/shop/", NO_IDENTITY],
      ["Suffix", "DNS", ".partner.test", PASSED],
      ["Suffix", "DNS", ".partner", NO_IDENTITY],
      ["Regex", "URI", "spiffe://cluster[.]local/ns/[a-z]+/sa/(erp|crm)", PASSED],
      ["Regex", "URI", "sa/erp", NO_IDENTITY],
      ["Regex", "Email", ".*@partner[.]test", PASSED],
    ];
    const found = [];
    const held = await connectHttp1(target("names", pair));
    const draining = (): Promise<number> => edge.envoy.admin.stat("listener_manager.total_filter_chains_draining");
    const before = await draining();
    for (const [type, san, value] of cases) {
      await shop.enforce(listenerPolicy("names", client("Strict", { identities: [{ type, san, value }] })));
      found.push([type, san, value, verdictOf(await held.request({ host: "names.tls.test" }))]);
    }
    expect(found).toEqual(cases);
    // Every edit held on the one connection that was open all the time, and on the listener nothing has changed.
    expect(held.closed()).toBe(false);
    expect(await draining()).toBe(before);
    held.close();

    const several = [
      { type: "Exact", san: "DNS", value: "crm.partner.test" },
      { type: "Exact", san: "URI", value: spiffe },
    ];
    await shop.enforce(listenerPolicy("names", client("Strict", { identities: several })));
    const refused = await send(target("names", clientPair(partners, { uris: [`${spiffe}x`] })), {
      host: "names.tls.test",
    });
    const policy = `${shop.namespace}/l-names#mtls`;
    expect([await call("names", pair), refused.status, refused.problem().policy]).toEqual([PASSED, 403, policy]);
    await shop.enforce(listenerPolicy("names", client("Strict", { identities: [] })));
    expect(await call("names", clientPair(partners))).toBe(PASSED);
    const bad = client("Strict", { identities: [{ type: "Regex", san: "URI", value: "(unclosed" }] });
    await shop.apply(listenerPolicy("names", bad));
    const message = /spec\.mtls\.client\.identities\[0\]\.value/;
    await shop.waitFor("ApiPolicy", "l-names", "Accepted", { status: "False", reason: "Invalid", message });
    await untilCall("names", pair, "503 GW-POLICY-002");
    await shop.enforce(listenerPolicy("names", client("Strict")));
    await untilCall("names", pair, PASSED);
  });
  const untilCall = (name: Listener, pair: KeyPair | undefined, expected: string) =>
    eventually(`${expected} at ${name}`, async () => {
      const found = await call(name, pair);
      if (found !== expected) throw new Error(found);
      return true;
    });

  it("are refused on new connections once they are revoked, or their CA is gone; open ones live on", async () => {
    const crm = clientPair(partners, { commonName: "crm" });
    const http1 = await connectHttp1(target("revoke", erp));
    const http2 = await connectHttp2(target("revoke", erp));
    const open = async (): Promise<readonly string[]> => [
      verdictOf(await http1.request({ host: "revoke.tls.test" })),
      verdictOf(await http2.request({ host: "revoke.tls.test" })),
    ];
    expect([await open(), await call("revoke", crm)]).toEqual([[PASSED, PASSED], PASSED]);
    await shop.configMap("crl", { "ca.crl": createRevocationList(partners, [erp.certificate]) });
    await untilCall("revoke", erp, NO_CONNECTION);
    expect([await call("revoke", crm), await open()]).toEqual([PASSED, [PASSED, PASSED]]);
    await shop.configMap("crl", { "ca.crl": createRevocationList(partners, []) });
    await untilCall("revoke", erp, PASSED);

    await shop.configMap("partner-ca", { "ca.crt": others.certificate });
    await untilCall("names", erp, NO_CONNECTION);
    expect(await call("names", clientPair(others))).toBe(PASSED);
    await shop.configMap("partner-ca", { "ca.crt": `${partners.certificate}${others.certificate}` });
    await untilCall("names", erp, PASSED);
    expect(await call("names", clientPair(others))).toBe(PASSED);
    expect(await open()).toEqual([PASSED, PASSED]);
    http1.close();
    http2.close();
    await shop.configMap("partner-ca", { "ca.crt": partners.certificate });
    await untilCall("names", clientPair(others), NO_CONNECTION);
  });

  it("close the routes where the CA or the list is missing or broken, and open them again when it comes", async () => {
    for (const [what, break_, condition, reason, path] of [
      ["no CA", { caRefs: [ca("missing")] }, "ResolvedRefs", "RefNotFound", "caRefs"],
      ["no PEM", { caRefs: [ca("nonsense")] }, "ResolvedRefs", "InvalidRef", "caRefs"],
      [
        "no list",
        { crlRef: { kind: "ConfigMap", name: "missing", key: "x" } },
        "ResolvedRefs",
        "RefNotFound",
        "crlRef",
      ],
    ] as const) {
      await shop.configMap("nonsense", { "ca.crt": "hello" });
      await shop.apply(listenerPolicy("names", client("Strict", break_)));
      const message = new RegExp(`spec\\.mtls\\.client\\.${path}`);
      await shop.waitFor("ApiPolicy", "l-names", condition, { status: "False", reason, message });
      for (const pair of [erp, undefined]) {
        const found = await call("names", pair);
        expect([what, found === NO_CONNECTION ? "503 GW-POLICY-002" : found]).toEqual([what, "503 GW-POLICY-002"]);
      }
      expect([what, await call("strict", erp)]).toEqual([what, PASSED]);
      const refused = await send(target("names", erp), { host: "names.tls.test" });
      expect([what, refused.problem().policy]).toEqual([what, `${shop.namespace}/l-names#mtls`]);
      // The route behind it, and the policy that would let everybody in, say so too.
      const closed = /calls by listener names are answered 503 where mtls[^/]*\/l-names#mtls holds/;
      await shop.waitFor("HTTPRoute", "all", "gatewarden.io/ApiPolicyAffected", { status: "True", message: closed });
      await shop.waitFor("ApiPolicy", "gateway", "Accepted", { status: "True", message: closed });
    }
    // Without any CA nobody could say which certificates are good.
    const anybody = { mtls: { client: { mode: "Optional", forwardCertificate: {} } } };
    await shop.apply(listenerPolicy("names", anybody));
    const message = /spec\.mtls\.client\.caRefs/;
    await shop.waitFor("ApiPolicy", "l-names", "Accepted", { status: "False", reason: "Invalid", message });
    await untilCall("names", undefined, "503 GW-POLICY-002");
    await shop.apply(listenerPolicy("names", client("Strict", { caRefs: [ca("late")] })));
    await shop.waitFor("ApiPolicy", "l-names", "ResolvedRefs", { status: "False" });
    await shop.configMap("late", { "ca.crt": partners.certificate });
    await untilCall("names", erp, PASSED);
    expect(await call("names")).toBe(NO_CONNECTION);
    await shop.waitFor("HTTPRoute", "all", "gatewarden.io/ApiPolicyAffected", {
      status: "True",
      message: /^an ApiPolicy holds here$/,
    });
  });

  it("change for one listener without disturbing another", async () => {
    const held = await connectHttp1(target("strict", erp));
    expect(verdictOf(await held.request({ host: "strict.tls.test" }))).toBe(PASSED);
    await shop.enforce(listenerPolicy("off", client("Optional")));
    await untilCall("off", clientPair(strangers), NO_CONNECTION);
    await shop.remove("ApiPolicy", "l-off");
    await untilCall("off", clientPair(strangers), PASSED);
    expect([verdictOf(await held.request({ host: "strict.tls.test" })), held.closed()]).toEqual([PASSED, false]);
    held.close();
  });

  it("are a way to authenticate only where the listener asks for them", async () => {
    const identities = [{ type: "Exact", san: "URI", value: spiffe }];
    const authentication = { clientCertificate: { identities } };
    const route = (name: string, listener: Listener) =>
      hostRoute(name, { hostnames: [`${listener}.tls.test`], parentRefs: [{ name: "edge", sectionName: listener }] });
    await shop.enforce([
      route("way-optional", "optional"),
      apiPolicy("way-optional", { kind: "HTTPRoute", name: "way-optional" }, { authentication }),
    ]);
    // The older route has the host; a rule of its own would lose. So the section goes to the listener.
    await shop.enforce(listenerPolicy("optional", { ...client("Optional"), authentication }));
    await untilCall("optional", undefined, "401 GW-AUTHN-001");
    expect([await call("optional", erp), await call("optional", clientPair(partners))]).toEqual([
      PASSED,
      "401 GW-AUTHN-002",
    ]);
    await shop.apply(listenerPolicy("off", { authentication }));
    await untilCall("off", erp, "503 GW-POLICY-002");
    await shop.waitFor("ApiPolicy", "l-off", "Accepted", { status: "False", reason: "UnsupportedForTarget" });
    await shop.remove("ApiPolicy", "l-off");
    await untilCall("off", erp, PASSED);
  });

  it("with Strict at a Gateway close its plain listeners, and nowhere else may it stand", async () => {
    const team = await harness.tenant("strict");
    await team.upstream("orders");
    await serverSecret(team, "server", servers, ["*.tls.test"]);
    await team.configMap("partner-ca", { "ca.crt": partners.certificate });
    const listeners = [
      httpsListener("https", 8443, "a.tls.test", "server"),
      { name: "http", port: 8080, protocol: "HTTP" },
    ];
    const gateway = await team.gateway({ listeners });
    await team.apply([
      hostRoute("a", { hostnames: ["a.tls.test"] }),
      hostRoute("b"),
      apiPolicy("gateway", { kind: "Gateway", name: "edge" }, { ...OPEN_TO_ALL, ...client("Strict") }),
    ]);
    await untilVerdict(gateway.target(), { host: "b.test" }, "503 GW-POLICY-002");
    const secure = (pair?: KeyPair) =>
      overTls(gateway.target({ port: 8443, tls: clientTls("a.tls.test", servers, pair) }), { host: "a.tls.test" });
    await eventually("the listener asks", async () => (await secure(erp)) === PASSED);
    expect(await secure()).toBe(NO_CONNECTION);
    await team.waitFor("ApiPolicy", "gateway", "Accepted", { status: "False", reason: "UnsupportedForTarget" });
    for (const [name, kind] of [
      ["b", "HTTPRoute"],
      ["namespace", "Namespace"],
    ] as const) {
      const target_ = kind === "Namespace" ? { kind } : { kind, name };
      await team.apply(apiPolicy(`at-${name}`, target_, { ...API_KEY, ...client("Optional") }));
      const message = /spec\.mtls\.client/;
      await team.waitFor("ApiPolicy", `at-${name}`, "Accepted", {
        status: "False",
        reason: "UnsupportedForTarget",
        message,
      });
      await team.remove("ApiPolicy", `at-${name}`);
    }
  });
});
