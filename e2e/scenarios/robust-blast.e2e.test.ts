/** One broken object among 200 routes: its own routes say 503 and why, every other byte stays, and mending needs no restart. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { createAuthority, issue } from "../cluster/pki.ts";
import { send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import type { KubeObject } from "../harness/api.ts";
import type { Expected } from "../harness/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { addConsumer, API_KEY, apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { type Configuration, configurationOf, differences, disturbance } from "./robust-observed.ts";
import { httpRoute, rule, untilAnswered } from "./routes-manifest.ts";

const ROUTES = 200;
/** The one that is broken, and one beside it. */
const VICTIM = "r7";
const WITNESS = "r8";
const HTTPS = 8443;
const scopeOf = (name: string): string => `ScopedRouteConfiguration http-8080|${name}.test`;
const authority = createAuthority("blast");

describe("one broken object among 200 routes", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  let before: Configuration;
  let cost: Readonly<Record<string, number>>;
  let pid: number;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("blast");
    await shop.upstream("orders");
    await addConsumer(shop, "erp", "k-blast-1");
    await shop.secret("pair", pairOf("pair.test"), "kubernetes.io/tls");
    const tls = { certificateRefs: [{ name: "pair" }] };
    const listeners = [
      { name: "http", port: 8080, protocol: "HTTP" },
      { name: "secure", port: HTTPS, protocol: "HTTPS", hostname: "pair.test", tls },
    ];
    edge = await shop.gateway({ listeners });
    const names = Array.from({ length: ROUTES }, (_, number) => `r${String(number)}`);
    // Ten at a time: the API server's own flow control would otherwise queue them.
    for (let at = 0; at < ROUTES; at += 10) {
      await Promise.all(
        names
          .slice(at, at + 10)
          .map((name) => shop.apply([route(name), policy(name, at % 20 === 0 ? OPEN_TO_ALL : API_KEY)])),
      );
    }
    await shop.apply(
      httpRoute("pair", {
        hostnames: ["pair.test"],
        parentRefs: [{ name: "edge", sectionName: "secure" }],
        rules: [rule("orders")],
      }),
    );
    await shop.apply(policy("pair", OPEN_TO_ALL));
    for (const name of names)
      await untilAnswered(edge.target(), { host: `${name}.test`, headers: { "x-api-key": "k-blast-1" } }, "orders");
    await untilAnswered(secure(), { host: "pair.test" }, "orders");
    before = await configurationOf(edge.envoy);
    cost = await disturbance(edge.envoy);
    pid = harness.operator.pid();
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const route = (name: string): KubeObject => httpRoute(name, { hostnames: [`${name}.test`], rules: [rule("orders")] });
  const policy = (name: string, sections: object): KubeObject => apiPolicy(name, { kind: "HTTPRoute", name }, sections);
  const secure = (tls = authority) =>
    edge.target({ port: HTTPS, tls: { serverName: "pair.test", authority: tls.certificate } });
  const changed = async (): Promise<readonly string[]> => differences(before, await configurationOf(edge.envoy));

  /** Breaks something, sees only the victim's scope changed and the cause named, mends it and sees nothing else touched. */
  const breaks = async (
    broken: KubeObject,
    condition: string,
    expected: Expected,
    code: string,
    mended: KubeObject,
  ): Promise<void> => {
    const { kind, metadata } = broken;
    await shop.apply(broken);
    const { message } = await shop.waitFor(kind, metadata.name, condition, expected);
    await untilAnswered(edge.target(), { host: `${VICTIM}.test` }, 503);
    const refused = await send(edge.target(), { host: `${VICTIM}.test`, headers: { "x-api-key": "k-blast-1" } });
    expect(refused.status).toBe(503);
    expect(refused.problem().code).toBe(code);
    // What it says is what the status says.
    expect(message).toContain(
      refused.problem().detail.replace(/^the (policy|route) cannot be (enforced|served): /, ""),
    );
    expect(await changed()).toEqual([scopeOf(VICTIM)]);
    expect((await send(edge.target(), { host: `${WITNESS}.test`, headers: { "x-api-key": "k-blast-1" } })).status).toBe(
      200,
    );
    await shop.apply(mended);
    await untilAnswered(edge.target(), { host: `${VICTIM}.test`, headers: { "x-api-key": "k-blast-1" } }, "orders");
    // The victim's own scope names the policy's generation, so it is another one than at first.
    expect((await changed()).filter((key) => key !== scopeOf(VICTIM))).toEqual([]);
    before = await configurationOf(edge.envoy);
    expect(harness.operator.pid()).toBe(pid);
    expect(await disturbance(edge.envoy)).toEqual(cost);
  };

  it("holds for a policy with a field that nobody knows", async () => {
    const broken = policy(VICTIM, { ...OPEN_TO_ALL, rateLimt: { limits: [] } });
    const expected = { status: "False", reason: "Invalid", message: /unknown field spec\.rateLimt/ } as const;
    await breaks(broken, "Accepted", expected, "GW-POLICY-002", policy(VICTIM, OPEN_TO_ALL));
  });

  it("holds for a policy with a reference that leads nowhere", async () => {
    const jwks = { type: "Ref", ref: { kind: "ConfigMap", name: "nowhere", key: "jwks.json" } };
    const broken = policy(VICTIM, { authentication: { jwt: [{ name: "corp", issuer: "https://sso.test", jwks }] } });
    const expected = { status: "False", reason: "RefNotFound", message: /nowhere/ } as const;
    await breaks(broken, "ResolvedRefs", expected, "GW-POLICY-002", policy(VICTIM, OPEN_TO_ALL));
  });

  it("holds for a route with an expression that is none", async () => {
    const broken = httpRoute(VICTIM, {
      hostnames: [`${VICTIM}.test`],
      rules: [rule("orders", { path: { type: "RegularExpression", value: "/(a[" } })],
    });
    const expected = {
      status: "False",
      reason: "UnsupportedValue",
      message: /rules\[0\]\.matches\[0\]\.path\.value/,
    } as const;
    await breaks(broken, "Accepted", expected, "GW-ROUTE-004", route(VICTIM));
  });

  it("holds for a policy that was made for another kind of target", async () => {
    const broken = policy(VICTIM, { ...OPEN_TO_ALL, transport: { minTLSVersion: "1.3" } });
    const expected = { status: "False", reason: "UnsupportedForTarget", message: /spec\.transport/ } as const;
    await breaks(broken, "Accepted", expected, "GW-POLICY-002", policy(VICTIM, OPEN_TO_ALL));
  });

  it("keeps the certificate that it has when the Secret breaks, and says so", async () => {
    const other = createAuthority("other");
    const good = pairOf("pair.test");
    const refused = { status: "False", reason: "InvalidCertificateRef", message: /pair/ } as const;
    const garbage: readonly Readonly<Record<string, string>>[] = [
      { ...good, "tls.key": pairOf("pair.test")["tls.key"] },
      { "tls.crt": "no PEM", "tls.key": "no PEM" },
      { "tls.crt": "", "tls.key": "" },
      {
        ...good,
        "tls.crt": `${good["tls.crt"]}\n-----BEGIN CERTIFICATE-----\nMIIBnonsense\n-----END CERTIFICATE-----\n`,
      },
    ];
    for (const data of garbage) {
      await shop.secret("pair", data, "kubernetes.io/tls");
      await shop.waitFor("Gateway", "edge", "ResolvedRefs", refused);
      expect((await send(secure(), { host: "pair.test" })).status).toBe(200);
      expect(await changed()).toEqual([]);
      await shop.secret("pair", pairOf("pair.test"), "kubernetes.io/tls");
      await shop.waitFor("Gateway", "edge", "ResolvedRefs");
      await eventually(
        "the mended pair is there",
        async () => (await changed()).join() === `Secret listener-tls|https-${String(HTTPS)}-pair_test|0`,
      );
      before = await configurationOf(edge.envoy);
    }
    const { certificate, privateKey } = issue(other, { commonName: "pair.test", dnsNames: ["pair.test"] });
    await shop.secret("pair", { "tls.crt": certificate, "tls.key": privateKey }, "kubernetes.io/tls");
    await untilAnswered(secure(other), { host: "pair.test" }, "orders");
    expect(await disturbance(edge.envoy)).toEqual(cost);
  });

  it("takes keys away from one consumer whose Secret breaks, and from nobody else", async () => {
    await addConsumer(shop, "crm", "k-blast-2");
    const with2 = { host: "r11.test", headers: { "x-api-key": "k-blast-2" } };
    await untilAnswered(edge.target(), with2, "orders");
    for (const value of ["", "two\nlines", "\u0000\u0001"]) {
      await shop.secret("crm-key", { "api-key": value });
      await shop.waitFor("ApiConsumer", "crm", "ResolvedRefs", { status: "False", reason: "InvalidRef" });
      await untilAnswered(edge.target(), with2, 401);
      expect((await send(edge.target(), { host: "r11.test", headers: { "x-api-key": "k-blast-1" } })).status).toBe(200);
      await shop.secret("crm-key", { "api-key": "k-blast-2" });
      await untilAnswered(edge.target(), with2, "orders");
    }
    expect(harness.operator.pid()).toBe(pid);
  });
});

function pairOf(host: string): Readonly<Record<"tls.crt" | "tls.key", string>> {
  const { certificate, privateKey } = issue(authority, { commonName: host, dnsNames: [host] });
  return { "tls.crt": certificate, "tls.key": privateKey };
}
