/** Client certificates that the Gateway itself asks for (`spec.tls.frontend`), and what a policy may add to that. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { createAuthority, type KeyPair } from "../cluster/pki.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { hostRoute } from "./sections-manifest.ts";
import { clientPair, clientTls, httpsListener, overTls, serverSecret } from "./tls-manifest.ts";

const PASSED = "200";
const NO_CONNECTION = "no connection";
const PORTS = { valid: 8441, fallback: 8442 } as const;
type Listener = keyof typeof PORTS;

describe("a Gateway that asks for client certificates itself", () => {
  const servers = createAuthority("servers");
  const partners = createAuthority("partners");
  const strangers = createAuthority("strangers");
  const erp = clientPair(partners, { uris: ["spiffe://partner/erp"] });
  const crm = clientPair(partners, { uris: ["spiffe://partner/crm"] });
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;

  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("frontend");
    await shop.upstream("orders");
    await serverSecret(shop, "server", servers, ["*.tls.test"]);
    await shop.configMap("partner-ca", { "ca.crt": partners.certificate });
    await shop.configMap("stranger-ca", { "ca.crt": strangers.certificate });
    const caCertificateRefs = [{ group: "", kind: "ConfigMap", name: "partner-ca" }];
    const fallback = { caCertificateRefs, mode: "AllowInsecureFallback" };
    edge = await shop.gateway({
      listeners: Object.entries(PORTS).map(([name, port]) => httpsListener(name, port, `${name}.tls.test`, "server")),
      spec: {
        tls: {
          frontend: {
            default: { validation: { caCertificateRefs } },
            perPort: [{ port: PORTS.fallback, tls: { validation: fallback } }],
          },
        },
      },
    });
    await shop.enforce([
      hostRoute("all", { hostnames: Object.keys(PORTS).map((name) => `${name}.tls.test`) }),
      apiPolicy("gateway", { kind: "Gateway", name: "edge" }, OPEN_TO_ALL),
    ]);
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const call = (name: Listener, pair?: KeyPair): Promise<string> =>
    overTls(edge.target({ port: PORTS[name], tls: clientTls(`${name}.tls.test`, servers, pair) }), {
      host: `${name}.tls.test`,
    });
  const becomes = (name: Listener, pair: KeyPair | undefined, expected: string): Promise<boolean> =>
    eventually(`${expected} at ${name}`, async () => {
      const found = await call(name, pair);
      if (found !== expected) throw new Error(found);
      return true;
    });
  const policyAt = (name: Listener, client: object, more: object = {}) =>
    apiPolicy(name, { kind: "Gateway", name: "edge", sectionName: name }, { mtls: { client }, ...more });

  it("is obeyed, each port as it says", async () => {
    const stranger = clientPair(strangers);
    await becomes("valid", erp, PASSED);
    expect([await call("valid"), await call("valid", stranger)]).toEqual([NO_CONNECTION, NO_CONNECTION]);
    // AllowInsecureFallback lets everybody connect; what was not verified counts for nothing.
    expect([await call("fallback"), await call("fallback", stranger), await call("fallback", erp)]).toEqual([
      PASSED,
      PASSED,
      PASSED,
    ]);
  });

  it("may be told by a policy to accept fewer: identities, and certificates where it does not insist", async () => {
    const identities = [{ type: "Exact", san: "URI", value: "spiffe://partner/erp" }];
    await shop.enforce([
      policyAt("valid", { mode: "Strict", identities }),
      policyAt("fallback", { mode: "Strict", identities }),
    ]);
    for (const name of ["valid", "fallback"] as const) {
      await becomes(name, undefined, NO_CONNECTION);
      expect([name, await call(name, erp), await call(name, crm)]).toEqual([name, PASSED, "403 GW-MTLS-001"]);
    }
    // Of a certificate that did not verify only that it is none is known.
    expect(["403 GW-MTLS-001", NO_CONNECTION]).toContain(
      await call("fallback", clientPair(strangers, { uris: ["spiffe://partner/erp"] })),
    );
    await shop.remove("ApiPolicy", "valid");
    await shop.remove("ApiPolicy", "fallback");
    await becomes("valid", crm, PASSED);
    await becomes("fallback", undefined, PASSED);
  });

  it("has its way where a policy contradicts it: the policy is Conflicted, and nothing opens", async () => {
    const conflicted = { status: "False", reason: "Conflicted", message: /spec\.tls\.frontend/ } as const;
    const caRefs = [{ kind: "ConfigMap", name: "stranger-ca", key: "ca.crt" }];
    for (const client of [{ mode: "Strict", caRefs }, { mode: "Optional", caRefs }, { mode: "Optional" }]) {
      await shop.apply(policyAt("valid", client));
      await shop.waitFor("ApiPolicy", "valid", "Accepted", conflicted);
      const stranger = await call("valid", clientPair(strangers));
      expect([client, await call("valid"), stranger, await call("valid", erp)]).toEqual([
        client,
        NO_CONNECTION,
        NO_CONNECTION,
        PASSED,
      ]);
    }
    await shop.remove("ApiPolicy", "valid");
  });

  it("makes certificates a way to authenticate", async () => {
    const identities = [{ type: "Exact", san: "URI", value: "spiffe://partner/erp" }];
    const authentication = { clientCertificate: { identities } };
    await shop.enforce(apiPolicy("authentication", { kind: "HTTPRoute", name: "all" }, { authentication }));
    expect([
      await call("valid", erp),
      await call("valid", crm),
      await call("fallback", erp),
      await call("fallback"),
      await call("fallback", clientPair(strangers, { uris: ["spiffe://partner/erp"] })),
    ]).toEqual([PASSED, "401 GW-AUTHN-002", PASSED, "401 GW-AUTHN-001", "401 GW-AUTHN-002"]);
  });
});
