/** TLS towards services: always verified, with our own certificate where the policy says so, and beside the standard's own objects. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, send } from "../client/http1.ts";
import { createAuthority, issue } from "../cluster/pki.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import type { Echo, EchoTls } from "../upstream/echo.ts";
import { verdictOf } from "./authentication-manifest.ts";
import { addIssuer, certificateIn, certificatesFor, issued, renew } from "./certificates-manifest.ts";
import { apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { httpRoute, rule } from "./routes-manifest.ts";
import { untilVerdict, verdict } from "./sections-manifest.ts";

const PASSED = "200";
const UNREACHABLE = "503 GW-UPSTREAM-503";

describe("TLS towards services", () => {
  const mesh = createAuthority("mesh");
  const other = createAuthority("other");
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;

  const caRefs = (name = "mesh-ca") => [{ kind: "ConfigMap", name, key: "ca.crt" }];
  const simple = (more: object = {}) => ({ mtls: { backend: { mode: "Simple", ...more } } });
  /** A TLS upstream that carries these names. */
  const secureUpstream = async (
    tenant: Tenant,
    name: string,
    names: Partial<Parameters<typeof issue>[1]>,
    more: Partial<EchoTls> = {},
  ) => {
    const pair = issue(mesh, { commonName: name, usages: ["server"], ...names });
    await tenant.upstream(name, { tls: { ...pair, ...more } });
  };
  const route = (name: string, backend: string) =>
    httpRoute(name, { hostnames: [`${name}.test`], rules: [{ name: "only", ...rule(backend) }] });
  const enforce = (name: string, backend: string, sections: object) =>
    shop.enforce([route(name, backend), apiPolicy(name, { kind: "HTTPRoute", name }, { ...OPEN_TO_ALL, ...sections })]);
  const at = (name: string): Promise<string> => verdict(edge.target(), { host: `${name}.test` });
  const echoTls = async (name: string): Promise<Echo["tls"]> =>
    (await send(edge.target(), { host: `${name}.test` })).json<Echo>().tls;

  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("backend");
    await shop.configMap("mesh-ca", { "ca.crt": mesh.certificate });
    await shop.configMap("other-ca", { "ca.crt": other.certificate });
    edge = await shop.gateway();
    await secureUpstream(shop, "own", { dnsNames: [`own.${shop.namespace}.svc`] });
    await secureUpstream(shop, "cluster", { dnsNames: [`cluster.${shop.namespace}.svc.cluster.local`] });
    await secureUpstream(shop, "foreign", { dnsNames: ["foreign.test"], uris: ["spiffe://mesh/foreign"] });
    const asks = { clientAuthority: mesh.certificate };
    await secureUpstream(shop, "mutual", { dnsNames: [`mutual.${shop.namespace}.svc`] }, asks);
    await shop.upstream("plain");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  it("verifies the service by CA and name, and never less", async () => {
    const cases: readonly (readonly [name: string, backend: string, more: object, verdict: string])[] = [
      ["own", "own", { caRefs: caRefs() }, PASSED],
      ["cluster", "cluster", { caRefs: caRefs() }, PASSED],
      ["both-cas", "own", { caRefs: [...caRefs("other-ca"), ...caRefs()] }, PASSED],
      ["wrong-name", "foreign", { caRefs: caRefs() }, UNREACHABLE],
      ["dns-name", "foreign", { caRefs: caRefs(), sans: ["foreign.test"] }, PASSED],
      ["uri-name", "foreign", { caRefs: caRefs(), sans: ["spiffe://mesh/foreign"] }, PASSED],
      ["one-of", "foreign", { caRefs: caRefs(), sans: ["x.test", "spiffe://mesh/foreign"] }, PASSED],
      ["other-name", "foreign", { caRefs: caRefs(), sans: ["foreign"] }, UNREACHABLE],
      [
        "dot-is-no-pattern",
        "foreign",
        { caRefs: caRefs(), sans: ["foreignxtest", "spiffe://mesh/forei.n"] },
        UNREACHABLE,
      ],
      ["wrong-ca", "own", { caRefs: caRefs("other-ca") }, UNREACHABLE],
      ["system-roots", "own", {}, UNREACHABLE],
      ["empty-lists", "own", { caRefs: [], sans: [] }, UNREACHABLE],
      ["plain-text", "plain", { caRefs: caRefs() }, UNREACHABLE],
      ["no-certificate", "mutual", { caRefs: caRefs() }, UNREACHABLE],
    ];
    const found = [];
    for (const [name, backend, more] of cases) {
      await enforce(name, backend, simple(more));
      found.push([name, backend, more, await at(name)]);
    }
    expect(found).toEqual(cases);
    expect(await echoTls("own")).toEqual({ serverName: `own.${shop.namespace}.svc` });
    expect(await echoTls("dns-name")).toEqual({ serverName: "foreign.test" });
  });

  it("is inherited and switched off like any section, and a CA edit holds without draining anything", async () => {
    await shop.enforce(
      [
        route("inherits", "own"),
        route("off", "plain"),
        apiPolicy("namespace", { kind: "Namespace" }, { ...OPEN_TO_ALL, ...simple({ caRefs: caRefs("edited-ca") }) }),
        apiPolicy("off", { kind: "HTTPRoute", name: "off" }, { mtls: { backend: { mode: "Off" } } }),
      ].filter(({ kind }) => kind === "HTTPRoute"),
    );
    await shop.configMap("edited-ca", { "ca.crt": mesh.certificate });
    await shop.enforce([
      apiPolicy("namespace", { kind: "Namespace" }, { ...OPEN_TO_ALL, ...simple({ caRefs: caRefs("edited-ca") }) }),
      apiPolicy("off", { kind: "HTTPRoute", name: "off" }, { mtls: { backend: { mode: "Off" } } }),
    ]);
    expect(await at("off")).toBe(PASSED);
    const held = await connectHttp1(edge.target());
    // A CA holds for new connections to the service: this one is closed after each answer.
    const inherits = { host: "inherits.test", path: "/?echo-header=connection:close" };
    expect(verdictOf(await held.request(inherits))).toBe(PASSED);
    await shop.configMap("edited-ca", { "ca.crt": other.certificate });
    await eventually("the new CA", async () => verdictOf(await held.request(inherits)) === UNREACHABLE);
    await shop.configMap("edited-ca", { "ca.crt": mesh.certificate });
    await eventually("the old CA", async () => verdictOf(await held.request(inherits)) === PASSED);
    await shop.configMap("edited-ca", { "ca.crt": "nothing" });
    await shop.waitFor("ApiPolicy", "namespace", "ResolvedRefs", { status: "False", reason: "InvalidRef" });
    await eventually("closed", async () => verdictOf(await held.request(inherits)) === "503 GW-POLICY-002");
    expect([await at("off"), held.closed()]).toEqual([PASSED, false]);
    held.close();
    await shop.remove("ApiPolicy", "namespace");
  });

  it("shows our own certificate with Mutual: issued by cert-manager, renewed, and until then no call goes out", async () => {
    const mutual = {
      mtls: {
        backend: {
          mode: "Mutual",
          certificate: { issuerRef: { kind: "Issuer", name: "mesh" }, duration: "2h" },
          caRefs: caRefs(),
        },
      },
    };
    await shop.apply([
      route("mutual", "mutual"),
      apiPolicy("mutual", { kind: "HTTPRoute", name: "mutual" }, { ...OPEN_TO_ALL, ...mutual }),
    ]);
    await untilVerdict(edge.target(), { host: "mutual.test" }, "503 GW-MTLS-002");
    const refused = await send(edge.target(), { host: "mutual.test" });
    expect(refused.problem().policy).toBe(`${shop.namespace}/mutual#mtls`);
    await addIssuer(shop, "mesh", mesh);
    const certificate = await issued(harness, shop, "mutual-backend-tls");
    expect(certificate.metadata).toMatchObject({ ownerReferences: [{ kind: "ApiPolicy", name: "mutual" }] });
    expect(certificate["spec"]).toMatchObject({
      duration: "2h",
      usages: expect.arrayContaining(["client auth"]) as unknown,
    });
    await untilVerdict(edge.target(), { host: "mutual.test" }, PASSED);
    await shop.waitFor("ApiPolicy", "mutual", "Programmed");
    expect(await echoTls("mutual")).toMatchObject({
      clientNames: `URI:spiffe://cluster.local/ns/${shop.namespace}/apipolicy/mutual`,
    });

    const before = await certificateIn(shop, "mutual-backend-tls");
    const held = await connectHttp1(edge.target());
    await renew(harness, certificate);
    const answers = new Set<string>();
    await eventually("another certificate", async () => {
      answers.add(verdictOf(await held.request({ host: "mutual.test" })));
      const now = await certificateIn(shop, "mutual-backend-tls");
      return now !== undefined && now.serialNumber !== before?.serialNumber;
    });
    for (let count = 0; count < 20; count++) answers.add(verdictOf(await held.request({ host: "mutual.test" })));
    expect([...answers]).toEqual([PASSED]);
    held.close();
    await shop.remove("ApiPolicy", "mutual");
    await eventually(
      "the Certificate goes",
      async () => (await certificatesFor(harness, shop, "mutual-backend-tls")).length === 0,
    );
    expect(await certificateIn(shop, "mutual-backend-tls")).toBeDefined();
  });

  it("follows a BackendTLSPolicy, may add our certificate to it, and contradicts it nowhere", async () => {
    const team = await harness.tenant("standard");
    const gateway = await team.gateway();
    await team.configMap("mesh-ca", { "ca.crt": mesh.certificate });
    await team.configMap("other-ca", { "ca.crt": other.certificate });
    await addIssuer(team, "mesh", mesh);
    await secureUpstream(team, "orders", { dnsNames: ["orders.mesh.test"] });
    await secureUpstream(team, "mutual", { dnsNames: ["orders.mesh.test"] }, { clientAuthority: mesh.certificate });
    const standard = (service: string, hostname: string) => ({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "BackendTLSPolicy",
      metadata: { name: service },
      spec: {
        targetRefs: [{ group: "", kind: "Service", name: service }],
        validation: { hostname, caCertificateRefs: [{ group: "", kind: "ConfigMap", name: "mesh-ca" }] },
      },
    });
    const own = (name: string, sections: object) =>
      apiPolicy(name, { kind: "HTTPRoute", name }, { ...OPEN_TO_ALL, ...sections });
    const to = (name: string): Promise<string> => verdict(gateway.target(), { host: `${name}.test` });
    await team.enforce([
      route("orders", "orders"),
      route("mutual", "mutual"),
      own("orders", {}),
      own("mutual", {}),
      standard("orders", "orders.mesh.test"),
      standard("mutual", "orders.mesh.test"),
    ]);
    await untilVerdict(gateway.target(), { host: "orders.test" }, PASSED);
    await untilVerdict(gateway.target(), { host: "mutual.test" }, UNREACHABLE);
    await team.apply(standard("orders", "other.mesh.test"));
    await untilVerdict(gateway.target(), { host: "orders.test" }, UNREACHABLE);
    await team.apply(standard("orders", "orders.mesh.test"));
    await untilVerdict(gateway.target(), { host: "orders.test" }, PASSED);

    // Off and Simple ask for no more than it does; Mutual for more.
    for (const backend of [{ mode: "Off" }, { mode: "Simple" }]) {
      await team.enforce(own("orders", { mtls: { backend } }));
      expect([backend, await to("orders")]).toEqual([backend, PASSED]);
    }
    const certificate = { issuerRef: { kind: "Issuer", name: "mesh" } };
    await team.apply(own("mutual", { mtls: { backend: { mode: "Mutual", certificate } } }));
    await untilVerdict(gateway.target(), { host: "mutual.test" }, PASSED, 20_000);
    await team.waitFor("ApiPolicy", "mutual", "Programmed");

    // Another CA or another name is a contradiction: the standard object's holds.
    for (const more of [{ caRefs: caRefs("other-ca") }, { caRefs: caRefs(), sans: ["other.mesh.test"] }]) {
      await team.apply(own("orders", simple(more)));
      await team.waitFor("ApiPolicy", "orders", "Accepted", {
        status: "False",
        reason: "Conflicted",
        message: /spec\.mtls\.backend.*BackendTLSPolicy/,
      });
      expect([more, await to("orders")]).toEqual([more, PASSED]);
    }
    await team.remove("BackendTLSPolicy", "orders");
    await untilVerdict(gateway.target(), { host: "orders.test" }, UNREACHABLE);
    await team.waitFor("ApiPolicy", "orders", "Accepted");
  });
});
