/** Levels, inheritance, secure by default, and which section may stand where. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { send } from "../client/http1.ts";
import { createAuthority } from "../cluster/pki.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { addConsumer, apiPolicy, OPEN_TO_ALL, type TargetRef } from "./policies-manifest.ts";
import { httpRoute, rule } from "./routes-manifest.ts";
import { hostRoute, untilVerdict, verdict } from "./sections-manifest.ts";
import { clientTls, httpsListener, overTls, serverSecret } from "./tls-manifest.ts";

const PASSED = "200";
const CLOSED = "503 GW-POLICY-002";
const NO_POLICY = "403 GW-POLICY-001";
const KEY = "k-composition";

/** A key is wanted in this header: which of several policies holds is seen by the header that lets in. */
const keyIn = (header: string) => ({ authentication: { apiKey: { from: { headers: [header] } } } });

describe("levels of policies", () => {
  let harness: Harness;
  let shop: Tenant;
  let guest: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("levels");
    guest = await harness.tenant("guest");
    for (const tenant of [shop, guest]) await tenant.upstream("orders");
    const allowedRoutes = { namespaces: { from: "All" } };
    const listeners = [8080, 8081].map((port) => ({ name: `p${String(port)}`, port, protocol: "HTTP", allowedRoutes }));
    edge = await shop.gateway({ listeners });
    await addConsumer(shop, "erp", KEY);
    await shop.waitFor("ApiConsumer", "erp", "ResolvedRefs");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const GATEWAY = { kind: "Gateway", name: "edge" };
  const HEADERS = ["x-gateway", "x-listener", "x-namespace", "x-route", "x-rule"];
  /** Which of the headers lets in. */
  const holding = async (port: number, host: string, path = "/"): Promise<readonly string[]> => {
    const found: string[] = [];
    for (const header of HEADERS) {
      const request = { host, path, headers: { [header]: KEY } };
      if ((await verdict(edge.target({ port }), request)) === PASSED) found.push(header);
    }
    return found;
  };

  it("go from the Gateway over its listener and the route's Namespace to the route and its rule: the nearest section holds", async () => {
    const foreign = [{ name: "edge", namespace: shop.namespace }];
    await shop.enforce([
      hostRoute("near"),
      httpRoute("rules", {
        hostnames: ["rules.test"],
        rules: [
          { name: "special", ...rule("orders", { path: { type: "PathPrefix", value: "/special" } }) },
          { name: "usual", ...rule("orders") },
        ],
      }),
    ]);
    await guest.enforce(hostRoute("foreign", { parentRefs: foreign }));
    await shop.enforce(apiPolicy("gateway", GATEWAY, keyIn("x-gateway")));
    const all = async (): Promise<unknown> => ({
      near: await holding(8080, "near.test"),
      "near at 8081": await holding(8081, "near.test"),
      usual: await holding(8080, "rules.test"),
      special: await holding(8080, "rules.test", "/special"),
      foreign: await holding(8080, "foreign.test"),
      "foreign at 8081": await holding(8081, "foreign.test"),
    });
    const [g, l, n, r, u] = HEADERS.map((header) => [header]);
    const none = { near: g, "near at 8081": g, usual: g, special: g, foreign: g, "foreign at 8081": g };
    expect(await all()).toEqual(none);
    await shop.enforce(apiPolicy("listener", { ...GATEWAY, sectionName: "p8081" }, keyIn("x-listener")));
    const withListener = { ...none, "near at 8081": l, "foreign at 8081": l };
    expect(await all()).toEqual(withListener);
    await shop.enforce(apiPolicy("namespace", { kind: "Namespace" }, keyIn("x-namespace")));
    const withNamespace = { ...withListener, near: n, "near at 8081": n, usual: n, special: n };
    expect(await all()).toEqual(withNamespace);
    await shop.enforce(apiPolicy("route", { kind: "HTTPRoute", name: "rules" }, keyIn("x-route")));
    await shop.enforce(
      apiPolicy("rule", { kind: "HTTPRoute", name: "rules", sectionName: "special" }, keyIn("x-rule")),
    );
    expect(await all()).toEqual({ ...withNamespace, usual: r, special: u });
    // And back, one after the other: what goes leaves what is farther.
    for (const name of ["rule", "route", "namespace", "listener"]) await shop.remove("ApiPolicy", name);
    await untilVerdict(edge.target({ port: 8081 }), { host: "foreign.test", headers: { "x-gateway": KEY } }, PASSED);
    expect(await all()).toEqual(none);
  });

  it("inherit section by section", async () => {
    await shop.enforce([
      hostRoute("sections"),
      apiPolicy(
        "sections",
        { kind: "HTTPRoute", name: "sections" },
        { denylist: { entries: [{ cidr: "127.0.0.66/32" }] } },
      ),
    ]);
    const call = (from: string) =>
      verdict(edge.target({ from }), { host: "sections.test", headers: { "x-gateway": KEY } });
    expect([await call("127.0.0.1"), await call("127.0.0.66")]).toEqual([PASSED, "403 GW-DENY-001"]);
    expect(await verdict(edge.target(), { host: "sections.test" })).toBe("401 GW-AUTHN-001");
  });

  it("know a Namespace as the policy's own only", async () => {
    const own = apiPolicy("own", { kind: "Namespace", name: shop.namespace }, keyIn("x-namespace"));
    await shop.enforce(own);
    expect(await holding(8080, "near.test")).toEqual(["x-namespace"]);
    await shop.remove("ApiPolicy", "own");
    await shop.apply(apiPolicy("foreign", { kind: "Namespace", name: guest.namespace }, OPEN_TO_ALL));
    await shop.waitFor("ApiPolicy", "foreign", "Accepted", { status: "False", reason: "Invalid" });
    await untilVerdict(edge.target(), { host: "foreign.test", headers: { "x-gateway": KEY } }, PASSED);
    expect(await verdict(edge.target(), { host: "foreign.test" })).toBe("401 GW-AUTHN-001");
    await shop.remove("ApiPolicy", "foreign");
  });

  it("close a route without authentication from its first moment, and open it with a word and a reason only", async () => {
    const team = await harness.tenant("default");
    await team.upstream("orders");
    const gateway = await team.gateway();
    await addConsumer(team, "erp", `${KEY}-default`);
    const at = (host: string): Promise<string> => verdict(gateway.target(), { host });
    await team.apply(hostRoute("bare"));
    const seen = new Set<string>();
    for (let count = 0; count < 40; count++) seen.add(await at("bare.test"));
    await untilVerdict(gateway.target(), { host: "bare.test" }, NO_POLICY);
    expect([...seen].filter((each) => ![NO_POLICY, "404 GW-ROUTE-001"].includes(each))).toEqual([]);
    await team.enforce(
      apiPolicy("bare", { kind: "HTTPRoute", name: "bare" }, { denylist: { entries: [{ cidr: "10.0.0.0/8" }] } }),
    );
    expect(await at("bare.test")).toBe(NO_POLICY);
    const wordless = apiPolicy("bare", { kind: "HTTPRoute", name: "bare" }, { authentication: { mode: "Public" } });
    await expect(team.apply(wordless)).rejects.toThrow(/reason/);
    await team.enforce(apiPolicy("bare", { kind: "HTTPRoute", name: "bare" }, OPEN_TO_ALL));
    expect(await at("bare.test")).toBe(PASSED);
    // Deleting never opens: neither the route's policy nor the last one of the Gateway.
    await team.enforce(apiPolicy("gateway", { kind: "Gateway", name: "edge" }, keyIn("x-gateway")));
    await team.remove("ApiPolicy", "bare");
    await untilVerdict(gateway.target(), { host: "bare.test" }, "401 GW-AUTHN-001");
    await team.remove("ApiPolicy", "gateway");
    await untilVerdict(gateway.target(), { host: "bare.test" }, NO_POLICY);
    expect((await send(gateway.target(), { host: "bare.test" })).problem().status).toBe(403);
  });

  it("are not required where the Gateway's annotation says exactly so", async () => {
    const team = await harness.tenant("annotated");
    await team.upstream("orders");
    const found: Record<string, string> = {};
    for (const [index, value] of ["false", "False", "no", "0", "", "true"].entries()) {
      const name = `edge-${String(index)}`;
      const gateway = await team.gateway({ name, annotations: { "gatewarden.io/require-policy": value } });
      await team.enforce(hostRoute(name, { parentRefs: [{ name }] }));
      await untilVerdict(gateway.target(), { host: `${name}.test` }, value === "false" ? PASSED : NO_POLICY);
      found[value] = await verdict(gateway.target(), { host: `${name}.test` });
    }
    const { false: opened, ...others } = found;
    expect([opened, ...new Set(Object.values(others))]).toEqual([PASSED, NO_POLICY]);
  });

  it("let failurePolicy Open open rate limits and nothing else", async () => {
    const broken = {
      jwt: {
        authentication: {
          jwt: [
            {
              name: "c",
              issuer: "https://c.test",
              audiences: ["s"],
              jwks: { type: "Ref", ref: { kind: "ConfigMap", name: "missing", key: "k" } },
            },
          ],
        },
      },
      backend: {
        ...OPEN_TO_ALL,
        mtls: { backend: { mode: "Simple", caRefs: [{ kind: "ConfigMap", name: "missing", key: "k" }] } },
      },
      limit: { ...OPEN_TO_ALL, rateLimit: { limits: [{ name: "g", requests: 1, per: "1s", scope: "Global" }] } },
      log: { ...OPEN_TO_ALL, logging: { sinks: [{ name: "s", type: "Stdout" }] } },
      // Nobody knows what an unknown key asks for: it closes in every section.
      unknown: { ...OPEN_TO_ALL, logging: { colour: "red" } },
      typo: { ...OPEN_TO_ALL, rateLimit: { limits: [{ name: "g", requests: 1, per: "1s", brust: 2 }] } },
    };
    for (const [name, sections] of Object.entries(broken)) {
      for (const failurePolicy of ["Closed", "Open"]) {
        await shop.apply([
          hostRoute(name),
          apiPolicy(name, { kind: "HTTPRoute", name }, { failurePolicy, ...sections }),
        ]);
        await shop.waitFor("ApiPolicy", name, "Ready", { status: "False" });
        // A broken logging falls back to the inherited one, whatever the policy says.
        const open = name === "log" || (name === "limit" && failurePolicy === "Open");
        await untilVerdict(edge.target(), { host: `${name}.test` }, open ? PASSED : CLOSED);
      }
    }
  });

  it("refuse an Override in a Namespace without the label, and close its targets", async () => {
    await shop.apply([
      hostRoute("floor"),
      apiPolicy("floor", { kind: "HTTPRoute", name: "floor" }, { precedence: "Override", ...OPEN_TO_ALL }),
    ]);
    await shop.waitFor("ApiPolicy", "floor", "Accepted", { status: "False", reason: "OverrideNotPermitted" });
    await untilVerdict(edge.target(), { host: "floor.test" }, CLOSED);
  });

  it("carry each section where it can stand, and close or report where it cannot", async () => {
    const servers = createAuthority("servers");
    const team = await harness.tenant("matrix");
    await team.upstream("orders");
    await serverSecret(team, "server", servers, ["m.tls.test"]);
    await team.configMap("ca", { "ca.crt": servers.certificate });
    const gateway = await team.gateway({ listeners: [httpsListener("https", 8443, "m.tls.test", "server")] });
    await team.enforce([
      hostRoute("m", { hostnames: ["m.tls.test"] }),
      apiPolicy("open", { kind: "Gateway", name: "edge" }, OPEN_TO_ALL),
    ]);
    const caRefs = [{ kind: "ConfigMap", name: "ca", key: "ca.crt" }];
    const sections: Readonly<Record<string, object>> = {
      "mtls.client": { mtls: { client: { mode: "Optional", caRefs } } },
      "mtls.backend": { mtls: { backend: { mode: "Off" } } },
      "transport.minTLSVersion": { transport: { minTLSVersion: "1.2" } },
      clientIP: { clientIP: { trustedHops: 0 } },
      "logging.sinks": { logging: { sinks: [{ name: "s", type: "Stdout" }] } },
      "logging.calls": { logging: { calls: "None" } },
      rateLimit: { rateLimit: { limits: [{ name: "a", requests: 1_000, per: "1s" }] } },
      allowlist: { allowlist: { entries: [{ cidr: "127.0.0.0/8" }] } },
      denylist: { denylist: { entries: [{ cidr: "10.0.0.0/8" }] } },
    };
    const targets: Readonly<Record<string, TargetRef>> = {
      Listener: { kind: "Gateway", name: "edge", sectionName: "https" },
      Namespace: { kind: "Namespace" },
      Route: { kind: "HTTPRoute", name: "m" },
      Rule: { kind: "HTTPRoute", name: "m", sectionName: "only" },
    };
    const ofListeners = ["mtls.client", "transport.minTLSVersion", "clientIP", "logging.sinks"];
    const request = { host: "m.tls.test" };
    const target = gateway.target({ port: 8443, tls: clientTls("m.tls.test", servers) });
    const wrong: string[] = [];
    for (const [level, ref] of Object.entries(targets)) {
      for (const [section, spec] of Object.entries(sections)) {
        const fits = level === "Listener" || !ofListeners.includes(section);
        await team.apply(apiPolicy("one", ref, spec));
        if (fits) await team.waitFor("ApiPolicy", "one", "Programmed");
        else
          await team.waitFor("ApiPolicy", "one", "Accepted", {
            status: "False",
            reason: "UnsupportedForTarget",
            message: /spec\./,
          });
        const expected = fits || section === "logging.sinks" ? PASSED : CLOSED;
        let found = "";
        for (let count = 0; count < 100 && found !== expected; count++) found = await overTls(target, request);
        if (found !== expected) wrong.push(`${section} at ${level}: ${found}`);
      }
      await team.remove("ApiPolicy", "one");
    }
    expect(wrong).toEqual([]);
    for (const ref of [
      { kind: "GRPCRoute", name: "g" },
      { group: "", kind: "Service", name: "orders" },
    ]) {
      await team.apply(apiPolicy("other", ref, OPEN_TO_ALL));
      await team.waitFor("ApiPolicy", "other", "Accepted", { status: "False", reason: "UnsupportedForTarget" });
      await team.remove("ApiPolicy", "other");
    }
  });
});
