/** The listener's certificate, made and renewed by cert-manager without a handshake that fails, and the oldest TLS version. */
import { X509Certificate } from "node:crypto";
import { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1 } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import { createAuthority } from "../cluster/pki.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { verdictOf } from "./authentication-manifest.ts";
import { addIssuer, certificateIn, certificatesFor, issued, renew } from "./certificates-manifest.ts";
import { apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { hostRoute, untilVerdict } from "./sections-manifest.ts";
import { clientTls, httpsListener, overTls, serverSecret } from "./tls-manifest.ts";

const PASSED = "200";
const CLOSED = "503 GW-POLICY-002";
const SERVED_LIMIT_MS = 2_000;
const PORT = 8443;

describe("the certificate of a listener", () => {
  const edgeCA = createAuthority("edge-ca");
  const secondCA = createAuthority("second-ca");
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;

  const certificate = (more: object = {}) => ({
    transport: { certificate: { issuerRef: { kind: "Issuer", name: "edge" }, ...more } },
  });
  const policyAt = (name: string, sectionName: string | undefined, sections: object, gateway = "edge") =>
    apiPolicy(
      name,
      { kind: "Gateway", name: gateway, ...(sectionName === undefined ? {} : { sectionName }) },
      sections,
    );
  const target = (host: string, authority = edgeCA) => edge.target({ port: PORT, tls: clientTls(host, authority) });
  /** The certificate that a new connection is shown; rejects where the handshake fails. */
  const shown = async (host: string, authority = edgeCA): Promise<X509Certificate> => {
    const connection = await connectHttp1(target(host, authority));
    const { socket } = connection;
    const raw = socket instanceof TLSSocket ? socket.getPeerCertificate().raw : Buffer.alloc(0);
    connection.close();
    return new X509Certificate(raw);
  };

  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("transport");
    await shop.upstream("orders");
    await addIssuer(shop, "edge", edgeCA);
    await addIssuer(shop, "second", secondCA);
    edge = await shop.gateway({
      listeners: [
        { name: "http", port: 8080, protocol: "HTTP" },
        httpsListener("a", PORT, "a.tls.test", "shared"),
        httpsListener("b", PORT, "*.b.tls.test", "shared"),
        httpsListener("rsa", PORT, "rsa.tls.test", "rsa"),
        httpsListener("own", PORT, "own.tls.test", "own"),
      ],
    });
    await serverSecret(shop, "own", edgeCA, ["own.tls.test"]);
    await shop.apply([
      hostRoute("all", { hostnames: ["a.tls.test", "x.b.tls.test", "rsa.tls.test", "own.tls.test", "plain.test"] }),
      policyAt("gateway", undefined, OPEN_TO_ALL),
      policyAt("a", "a", certificate({ duration: "3h", renewBefore: "1h" })),
      policyAt("rsa", "rsa", certificate({ privateKey: { algorithm: "RSA", size: 3072 } })),
    ]);
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  it("is made by cert-manager as the policy says, for every listener that shows the Secret", async () => {
    const { spec, metadata } = await issued(harness, shop, "shared");
    expect(metadata).toMatchObject({ ownerReferences: [{ kind: "ApiPolicy", name: "a" }] });
    expect(spec).toMatchObject({
      secretName: "shared",
      dnsNames: ["*.b.tls.test", "a.tls.test"],
      duration: "3h",
      renewBefore: "1h",
      privateKey: { algorithm: "ECDSA", size: 256, rotationPolicy: "Always" },
      issuerRef: { kind: "Issuer", name: "edge" },
    });
    await untilCall("a.tls.test", PASSED);
    await shop.waitFor("ApiPolicy", "a", "Programmed");
    await untilCall("x.b.tls.test", PASSED);
    const { publicKey } = await shown("a.tls.test");
    expect(publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: "prime256v1" });
    await issued(harness, shop, "rsa");
    await untilCall("rsa.tls.test", PASSED);
    const rsa = await shown("rsa.tls.test");
    expect(rsa.publicKey.asymmetricKeyDetails).toMatchObject({ modulusLength: 3072 });
    expect(rsa.subjectAltName).toBe("DNS:rsa.tls.test");
    const defaults = await issued(harness, shop, "rsa");
    expect(defaults["spec"]).toMatchObject({ duration: "2160h", renewBefore: "720h" });
  });
  const untilCall = (host: string, expected: string, authority = edgeCA) =>
    eventually(`${expected} at ${host}`, async () => {
      const found = await overTls(target(host, authority), { host });
      if (found !== expected) throw new Error(found);
      return true;
    });

  /** Handshakes and calls without a pause until `over` says so; then how many failed, and whether held connections live. */
  const underLoad = async (host: string, over: () => Promise<boolean>): Promise<readonly string[]> => {
    const [http1, http2] = [await connectHttp1(target(host)), await connectHttp2(target(host))];
    const seen = new Set<string>();
    await eventually("the change", async () => {
      seen.add(await overTls(target(host), { host }));
      seen.add(verdictOf(await http1.request({ host })));
      seen.add(verdictOf(await http2.request({ host })));
      return over();
    });
    seen.add(`closed: ${String(http1.closed() || http2.closed())}`);
    http1.close();
    http2.close();
    return [...seen];
  };
  const changes = (): Promise<number> => edge.envoy.admin.stat("listener_manager.listener_modified");

  it("is renewed without a failed handshake, a closed connection or a changed listener, and served at once", async () => {
    const before = await shown("a.tls.test");
    const modified = await changes();
    await renew(harness, await issued(harness, shop, "shared"));
    let inSecret: number | undefined;
    let served: number | undefined;
    const seen = await underLoad("a.tls.test", async () => {
      const stored = await certificateIn(shop, "shared");
      if (inSecret === undefined && stored?.serialNumber !== before.serialNumber) inSecret = Date.now();
      if ((await shown("a.tls.test")).serialNumber !== before.serialNumber) served = Date.now();
      return served !== undefined;
    });
    expect(seen).toEqual([PASSED, "closed: false"]);
    expect((served ?? Infinity) - (inSecret ?? 0)).toBeLessThan(SERVED_LIMIT_MS);
    expect(await changes()).toBe(modified);
  });

  it("is served on while its Secret is deleted, and cert-manager makes another", async () => {
    const before = await shown("a.tls.test");
    await shop.remove("Secret", "shared");
    const seen = await underLoad(
      "a.tls.test",
      async () => (await shown("a.tls.test")).serialNumber !== before.serialNumber,
    );
    expect(seen).toEqual([PASSED, "closed: false"]);
  });

  it("comes from another issuer by another Certificate, and the old pair serves until it is there", async () => {
    const before = await issued(harness, shop, "rsa");
    const stored = await certificateIn(shop, "rsa");
    await shop.apply(policyAt("rsa", "rsa", certificate({ issuerRef: { kind: "Issuer", name: "second" } })));
    await eventually("another Certificate alone", async () => {
      const names = (await certificatesFor(harness, shop, "rsa")).map(({ metadata }) => metadata.name);
      return names.length === 1 && names[0] !== before.metadata.name;
    });
    // cert-manager may take minutes to see that the Secret's other owner is gone; until then the old pair stands and serves.
    const seen = await underLoad("rsa.tls.test", () => Promise.resolve(true));
    const now = await certificateIn(shop, "rsa");
    if (now?.serialNumber === stored?.serialNumber) expect(seen).toEqual([PASSED, "closed: false"]);
    else expect(now?.issuer).toBe("CN=second-ca");
  });

  it("needs a listener with a hostname and a Secret of its own, and HTTPS", async () => {
    const team = await harness.tenant("needs");
    await team.upstream("orders");
    await addIssuer(team, "edge", edgeCA);
    const elsewhere = { name: "own", namespace: shop.namespace };
    await shop.apply({
      apiVersion: "gateway.networking.k8s.io/v1beta1",
      kind: "ReferenceGrant",
      metadata: { name: "certificates" },
      spec: {
        from: [{ group: "gateway.networking.k8s.io", kind: "Gateway", namespace: team.namespace }],
        to: [{ group: "", kind: "Secret" }],
      },
    });
    const gateway = await team.gateway({
      listeners: [
        { name: "http", port: 8080, protocol: "HTTP" },
        httpsListener("nameless", 8441, undefined, "nameless"),
        { name: "foreign", port: 8442, protocol: "HTTPS", hostname: "f.test", tls: { certificateRefs: [elsewhere] } },
      ],
    });
    await team.apply([hostRoute("any"), policyAt("gateway", undefined, OPEN_TO_ALL)]);
    await untilVerdict(gateway.target(), { host: "any.test" }, PASSED);
    for (const [listener, reason, message] of [
      ["nameless", "Invalid", /hostname/],
      ["foreign", "Invalid", /namespace/],
      ["http", "UnsupportedForTarget", /HTTP/],
    ] as const) {
      await team.apply(policyAt(listener, listener, certificate()));
      await team.waitFor("ApiPolicy", listener, "Accepted", { status: "False", reason, message });
    }
    await untilVerdict(gateway.target(), { host: "any.test" }, CLOSED);
    expect(await harness.api.list("Certificate", team.namespace)).toEqual([]);
    await team.remove("ApiPolicy", "http");
    await untilVerdict(gateway.target(), { host: "any.test" }, PASSED);
    await team.apply(apiPolicy("route", { kind: "HTTPRoute", name: "any" }, certificate()));
    await team.waitFor("ApiPolicy", "route", "Accepted", {
      status: "False",
      reason: "UnsupportedForTarget",
      message: /transport/,
    });
    await untilVerdict(gateway.target(), { host: "any.test" }, CLOSED);
  });

  it("is left alone where the Gateway's annotation or somebody's Certificate makes it already", async () => {
    const team = await harness.tenant("foreign");
    await team.upstream("orders");
    await addIssuer(team, "edge", edgeCA);
    await serverSecret(team, "annotated", edgeCA, ["annotated.test"]);
    const foreign = {
      apiVersion: "cert-manager.io/v1",
      kind: "Certificate",
      metadata: { name: "theirs" },
      spec: {
        secretName: "theirs",
        dnsNames: ["theirs.test"],
        duration: "5h",
        privateKey: { algorithm: "ECDSA", size: 256, rotationPolicy: "Always" },
        issuerRef: { kind: "Issuer", name: "edge" },
      },
    };
    await team.apply(foreign);
    await team.waitFor("Certificate", "theirs", "Ready");
    const annotated = { "cert-manager.io/issuer": "edge" };
    const listener = (name: string) => [httpsListener("https", PORT, `${name}.test`, name)];
    const first = await team.gateway({ name: "annotated", annotations: annotated, listeners: listener("annotated") });
    const second = await team.gateway({ name: "theirs", listeners: listener("theirs") });
    const parents = { parentRefs: [{ name: "annotated" }, { name: "theirs" }] };
    await team.apply([
      hostRoute("any", { hostnames: ["annotated.test", "theirs.test"], ...parents }),
      ...["annotated", "theirs"].map((name) => policyAt(name, "https", { ...OPEN_TO_ALL, ...certificate() }, name)),
    ]);
    const conflicted = { status: "False", reason: "Conflicted" } as const;
    await team.waitFor("ApiPolicy", "annotated", "Accepted", { ...conflicted, message: /cert-manager\.io\/issuer/ });
    await team.waitFor("ApiPolicy", "theirs", "Accepted", { ...conflicted, message: /Certificate .*theirs/ });
    const certificates = await harness.api.list("Certificate", team.namespace);
    expect(certificates.map(({ metadata, spec }) => [metadata.name, (spec as { duration?: string }).duration])).toEqual(
      [["theirs", "5h"]],
    );
    const at = (gateway: GatewayHandle) =>
      overTls(gateway.target({ port: PORT, tls: clientTls(`${gateway.name}.test`, edgeCA) }), {
        host: `${gateway.name}.test`,
      });
    // The winner's certificate is served; the rest of the policy holds.
    expect([await at(first), await at(second)]).toEqual([PASSED, PASSED]);
    await team.remove("Certificate", "theirs");
    await team.waitFor("ApiPolicy", "theirs", "Accepted");
    await issued(harness, team, "theirs");
  });

  it("goes with its policy, while the Secret stays and serves", async () => {
    await shop.remove("ApiPolicy", "a");
    await eventually("no Certificate", async () => (await certificatesFor(harness, shop, "shared")).length === 0);
    expect(await certificateIn(shop, "shared")).toBeDefined();
    expect(await overTls(target("a.tls.test"), { host: "a.tls.test" })).toBe(PASSED);
  });

  it("is shown to TLS 1.2 and newer, or to 1.3 alone", async () => {
    const at = (maxVersion: "TLSv1.2" | "TLSv1.3") => {
      const tls = { ...clientTls("own.tls.test", edgeCA), maxVersion };
      return overTls(edge.target({ port: PORT, tls }), { host: "own.tls.test" });
    };
    expect([await at("TLSv1.2"), await at("TLSv1.3")]).toEqual([PASSED, PASSED]);
    const both = async (minTLSVersion: string, expected: string): Promise<void> => {
      await shop.enforce(policyAt("own", "own", { transport: { minTLSVersion } }));
      await eventually(`1.2: ${expected}`, async () => (await refusedOr(() => at("TLSv1.2"))) === expected);
      expect(await at("TLSv1.3")).toBe(PASSED);
    };
    await both("1.3", "refused");
    await both("1.2", PASSED);
    const old = policyAt("own", "own", { transport: { minTLSVersion: "1.1" } });
    await expect(shop.apply(old)).rejects.toThrow(/minTLSVersion/);
  });
});

/** A version that the server does not speak fails the handshake itself. */
async function refusedOr(call: () => Promise<string>): Promise<string> {
  try {
    const found = await call();
    return found === "no connection" ? "refused" : found;
  } catch (error) {
    if (/protocol version|alert/i.test((error as Error).message)) return "refused";
    throw error;
  }
}
