/** mode: Audit for each section: what would be denied is told, nothing is, and what cannot be evaluated beside says so. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { send } from "../client/http1.ts";
import { createAuthority, type KeyPair } from "../cluster/pki.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { createSigner, keySet } from "../material/jwt.ts";
import { verdictOf } from "./authentication-manifest.ts";
import { addConsumer, API_KEY, apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { hostRoute, untilVerdict, verdict } from "./sections-manifest.ts";
import { clientPair, clientTls, httpsListener, serverSecret } from "./tls-manifest.ts";

const PASSED = "200";
const PORT = 8443;

describe("a policy in mode Audit", () => {
  const servers = createAuthority("servers");
  const partners = createAuthority("partners");
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;

  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("audit");
    await shop.upstream("orders");
    await serverSecret(shop, "server", servers, ["*.tls.test"]);
    await shop.configMap("ca", { "ca.crt": partners.certificate });
    await addConsumer(shop, "erp", "k-audit-erp");
    const listeners = [
      { name: "http", port: 8080, protocol: "HTTP" },
      httpsListener("https", PORT, "a.tls.test", "server"),
    ];
    edge = await shop.gateway({ listeners });
    const caRefs = [{ kind: "ConfigMap", name: "ca", key: "ca.crt" }];
    await shop.enforce([
      apiPolicy(
        "gateway",
        { kind: "Gateway", name: "edge" },
        { ...OPEN_TO_ALL, logging: { sinks: [{ name: "f", type: "File", file: { name: "audit.jsonl" } }] } },
      ),
      apiPolicy(
        "https",
        { kind: "Gateway", name: "edge", sectionName: "https" },
        { mtls: { client: { mode: "Optional", caRefs } } },
      ),
    ]);
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const audit = (name: string, sections: object, route = name) =>
    apiPolicy(name, { kind: "HTTPRoute", name: route }, { mode: "Audit", ...sections });
  let calls = 0;
  /** The verdict of a call, and what its record says that Audit policies would have denied. */
  const told = async (target: ReturnType<GatewayHandle["target"]>, host: string): Promise<readonly unknown[]> => {
    const path = `/call-${String(++calls)}`;
    const answer = await send(target, { host, path });
    const line = await eventually("the record", () =>
      readFileSync(join(harness.logDirectory, "audit.jsonl"), "utf8")
        .split("\n")
        .find((each) => each.includes(`"${path}"`)),
    );
    return [verdictOf(answer), (JSON.parse(line) as { readonly wouldDeny?: unknown }).wouldDeny];
  };
  const from = (address: string, host: string) => told(edge.target({ from: address }), `${host}.test`);

  it("tells whom a denylist or an allowlist would deny, beside what is enforced", async () => {
    await shop.enforce([
      hostRoute("lists"),
      apiPolicy(
        "enforced",
        { kind: "HTTPRoute", name: "lists" },
        { denylist: { entries: [{ cidr: "127.0.0.66/32" }] } },
      ),
      audit(
        "next",
        { denylist: { entries: [{ cidr: "127.0.0.7/32" }] }, allowlist: { entries: [{ cidr: "127.0.0.0/24" }] } },
        "lists",
      ),
    ]);
    const by = (section: string): string => `${shop.namespace}/next#${section}`;
    expect(await from("127.0.0.1", "lists")).toEqual([PASSED, undefined]);
    expect(await from("127.0.0.7", "lists")).toEqual([PASSED, { denylist: by("denylist") }]);
    expect(await from("127.0.1.1", "lists")).toEqual([PASSED, { allowlist: by("allowlist") }]);
    expect((await from("127.0.0.66", "lists"))[0]).toBe("403 GW-DENY-001");
    await shop.waitFor("ApiPolicy", "next", "Audited");
    await shop.waitFor("ApiPolicy", "next", "Ready");
  });

  it("counts what a limit would refuse, and takes nothing from limits that are enforced", async () => {
    const limits = (name: string, requests: number) => ({ rateLimit: { limits: [{ name, requests, per: "1h" }] } });
    await shop.enforce([
      hostRoute("limits"),
      apiPolicy("limits", { kind: "HTTPRoute", name: "limits" }, limits("all", 4)),
      audit("limits-next", limits("all", 1), "limits"),
    ]);
    const found: unknown[] = [];
    for (let count = 0; count < 5; count++) found.push(await from("127.0.0.1", "limits"));
    const would = { rateLimit: `${shop.namespace}/limits-next#rateLimit` };
    expect(found).toEqual([
      [PASSED, undefined],
      [PASSED, would],
      [PASSED, would],
      [PASSED, would],
      ["429 GW-RATE-001", would],
    ]);
    expect((await shop.waitFor("ApiPolicy", "limits-next", "Audited")).message).not.toContain("statistics");
  });

  it("says that a limit over all proxies shows in statistics only", async () => {
    const limits = [{ name: "everywhere", requests: 1, per: "1h", scope: "PerGateway" }];
    await shop.enforce([
      hostRoute("everywhere"),
      audit("everywhere", { rateLimit: { limits } }),
      apiPolicy("open", { kind: "HTTPRoute", name: "everywhere" }, OPEN_TO_ALL),
    ]);
    expect(await from("127.0.0.1", "everywhere")).toEqual([PASSED, undefined]);
    expect(await from("127.0.0.1", "everywhere")).toEqual([PASSED, undefined]);
    const counted = [...(await edge.envoy.admin.stats())].filter(([name]) =>
      name.endsWith("http_local_rate_limit.shadow_mode"),
    );
    expect(counted.reduce((sum, [, value]) => sum + value, 0)).toBe(1);
    const { message } = await shop.waitFor("ApiPolicy", "everywhere", "Audited");
    expect(message).toMatch(/rateLimit: what everywhere of scope PerGateway .* statistics/);
  });

  it("tells whom identities of client certificates would deny", async () => {
    const clientCertificate = { identities: [{ type: "Exact", san: "DNS", value: "erp.partner.test" }] };
    await shop.enforce([
      hostRoute("certificate", { hostnames: ["a.tls.test"] }),
      audit("certificate", { authentication: { clientCertificate } }),
    ]);
    const call = (pair?: KeyPair) =>
      told(edge.target({ port: PORT, tls: clientTls("a.tls.test", servers, pair) }), "a.tls.test");
    const would = { authn: `${shop.namespace}/certificate#authentication` };
    expect(await call(clientPair(partners, { dnsNames: ["erp.partner.test"] }))).toEqual([PASSED, undefined]);
    expect(await call(clientPair(partners, { dnsNames: ["crm.partner.test"] }))).toEqual([PASSED, would]);
    expect(await call()).toEqual([PASSED, would]);
  });

  it("says Audited=False where Envoy cannot evaluate beside, and enforces nothing of it", async () => {
    const inline = keySet(createSigner("ES256"));
    const jwt = [{ name: "corp", issuer: "https://corp.test", audiences: ["shop"], jwks: { type: "Inline", inline } }];
    const route = (name: string) => ({ kind: "HTTPRoute", name });
    const listener = { kind: "Gateway", name: "edge", sectionName: "https" };
    const backend = { mode: "Simple", caRefs: [{ kind: "ConfigMap", name: "ca", key: "ca.crt" }] };
    const cases = [
      ["jwt", route("none"), { authentication: { jwt } }, "authentication"],
      ["key", route("none"), API_KEY, "authentication"],
      ["basic", route("none"), { authentication: { basic: {} } }, "authentication"],
      ["backend", route("none"), { mtls: { backend } }, "mtls"],
      ["client", listener, { mtls: { client: { mode: "Strict", caRefs: backend.caRefs } } }, "mtls"],
      ["version", listener, { transport: { minTLSVersion: "1.3" } }, "transport"],
      ["address", listener, { clientIP: { trustedHops: 1 } }, "clientIP"],
      ["records", route("none"), { logging: { calls: "None" } }, "logging"],
    ] as const;
    await shop.apply(hostRoute("none"));
    const drained = await edge.envoy.admin.stat("listener_manager.listener_modified");
    for (const [name, target, sections, section] of cases) {
      await shop.apply(apiPolicy(name, target, { mode: "Audit", ...sections }));
      await shop.waitFor("ApiPolicy", name, "Accepted");
      const said = await shop.waitFor("ApiPolicy", name, "Audited", { status: "False" });
      expect([name, said.message]).toEqual([name, expect.stringContaining(section)]);
      expect([name, await from("127.0.0.1", "none")]).toEqual([name, [PASSED, undefined]]);
      await shop.remove("ApiPolicy", name);
    }
    expect(await edge.envoy.admin.stat("listener_manager.listener_modified")).toBe(drained);
  });

  it("never counts as one that enforces, replaces none and conflicts with none", async () => {
    const team = await harness.tenant("beside");
    await team.upstream("orders");
    const gateway = await team.gateway();
    const at = (): Promise<string> => verdict(gateway.target(), { host: "only.test" });
    await addConsumer(team, "erp", "k-beside-erp");
    await team.apply([hostRoute("only"), audit("a-open", OPEN_TO_ALL, "only")]);
    await team.waitFor("ApiPolicy", "a-open", "Accepted");
    await untilVerdict(gateway.target(), { host: "only.test" }, "403 GW-POLICY-001");
    // Where both are of one second the name decides, so the first is called a-open. The enforcing one is younger and at the same target, and has the section all the same.
    await team.enforce(apiPolicy("key", { kind: "HTTPRoute", name: "only" }, API_KEY));
    expect(await at()).toBe("401 GW-AUTHN-001");
    for (const name of ["a-open", "key"]) await team.waitFor("ApiPolicy", name, "Accepted");
    await team.apply(audit("a-open", { ...OPEN_TO_ALL, mode: "Enforce" }, "only"));
    await team.waitFor("ApiPolicy", "a-open", "Accepted");
    await untilVerdict(gateway.target(), { host: "only.test" }, PASSED);
    await team.waitFor("ApiPolicy", "key", "Accepted", { status: "False", reason: "Conflicted" });
    await team.apply(audit("a-open", OPEN_TO_ALL, "only"));
    await untilVerdict(gateway.target(), { host: "only.test" }, "401 GW-AUTHN-001");
    // A broken one says so and closes nothing.
    const jwks = { type: "Ref", ref: { kind: "ConfigMap", name: "missing", key: "jwks.json" } };
    const jwt = [{ name: "corp", issuer: "https://corp.test", audiences: ["shop"], jwks }];
    await team.apply(audit("broken", { authentication: { jwt }, colour: "red" }, "only"));
    await team.waitFor("ApiPolicy", "broken", "Accepted", {
      status: "False",
      reason: "Invalid",
      message: /spec\.colour/,
    });
    expect([
      await at(),
      await verdict(gateway.target(), { host: "only.test", headers: { "x-api-key": "k-beside-erp" } }),
    ]).toEqual(["401 GW-AUTHN-001", PASSED]);
  });
});
