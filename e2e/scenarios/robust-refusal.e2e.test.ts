/**
 * What a proxy refuses although nothing was found wrong before: it shows on the object that made it, the last good version stays, also for
 * proxies that come later, and nothing else is held up. The proxies here take only small regular expressions, which the operator cannot know.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { eventually } from "../cluster/condition.ts";
import { type Bootstrap, type EnvoyProcess, startEnvoy } from "../envoy/process.ts";
import { gatewarden } from "../harness/gatewarden.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import { OPERATOR_NAMESPACE } from "../harness/installation.ts";
import { proxyToken } from "../harness/proxy.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { holding, scrapes } from "./alerts.ts";
import { apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { configurationOf, differences } from "./robust-observed.ts";
import { answering, httpRoute, rule, untilAnswered } from "./routes-manifest.ts";

/** How soon a refusal has to show (rules R7). */
const REFUSAL_LIMIT_MS = 5_000;
const SMALL_PROGRAM = 60;
const large = (number: number): string => `/(a|b|c|d|e|f|g|h|i|j|k|l|m|n|o|p){20}${String(number)}`;

describe("what a proxy refuses", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  let picky: EnvoyProcess;
  let pageBefore: string;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("refusal");
    for (const name of ["alpha", "beta"]) await shop.upstream(name);
    edge = await shop.gateway();
    picky = await pickyProxy();
    // From here on all connections are the picky proxy's.
    await edge.envoy.stop();
    for (const name of ["good", "bad"]) {
      await shop.apply(httpRoute(name, { hostnames: [`${name}.test`], rules: [rule("alpha")] }));
      await shop.apply(apiPolicy(name, { kind: "HTTPRoute", name }, OPEN_TO_ALL));
      await untilAnswered(edge.target(), { host: `${name}.test` }, "alpha");
      await shop.waitFor("ApiPolicy", name, "Programmed");
    }
    pageBefore = (await harness.operator.endpoint("/metrics")).body;
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  /** A proxy of the Gateway that refuses expressions of more than a few steps. */
  async function pickyProxy(): Promise<EnvoyProcess> {
    const token = await proxyToken(harness.cluster, shop.namespace, "edge");
    const [tokenFile, caFile] = [join(harness.directory, "picky-token"), join(harness.directory, "picky-ca")];
    const map = await harness.api.get({ kind: "ConfigMap", name: "gatewarden-ca", namespace: OPERATOR_NAMESPACE });
    writeFileSync(tokenFile, token, { mode: 0o600 });
    writeFileSync(caFile, (map?.["data"] as Readonly<Record<string, string>>)["ca.crt"] ?? "");
    const flags = ["--gateway", `${shop.namespace}/edge`, "--xds-address", harness.operator.xdsAddress];
    const { stdout } = await gatewarden(["bootstrap", ...flags, "--token-file", tokenFile, "--ca-file", caFile]);
    const bootstrap = JSON.parse(stdout) as Bootstrap;
    const layer = { name: "picky", static_layer: { "re2.max_program_size.error_level": SMALL_PROGRAM } };
    const { layers = [] } = (bootstrap["layered_runtime"] ?? {}) as { readonly layers?: readonly object[] };
    const envoy = await startEnvoy({ bootstrap: { ...bootstrap, layered_runtime: { layers: [...layers, layer] } } });
    harness.atEnd(envoy.stop);
    return envoy;
  }

  const badRoute = (backend: string, number: number) =>
    httpRoute("bad", {
      hostnames: ["bad.test"],
      rules: [rule(backend), rule("beta", { path: { type: "RegularExpression", value: large(number) } })],
    });
  const refused = { status: "False", reason: "RejectedByProxy", message: /program size/ } as const;

  it("shows on the policy of that route within 5 s, in Envoy's words, and on no other", async () => {
    await shop.apply(badRoute("beta", 1));
    await shop.waitFor("ApiPolicy", "bad", "Programmed", refused, REFUSAL_LIMIT_MS);
    await shop.waitFor("ApiPolicy", "bad", "Ready", { status: "False", reason: "RejectedByProxy" });
    await shop.waitFor("ApiPolicy", "good", "Programmed");
  });

  it("is heard of by whoever watches the operator, also where it was refused before the operator was read for the first time", async () => {
    const page = (await harness.operator.endpoint("/metrics")).body;
    expect(await holding(scrapes("new", page, 0, 60))).toContain("GatewardenRefusedByProxy");
    expect(await holding([...scrapes("a", pageBefore, 0, 3_600), ...scrapes("a", page, 3_630, 3_700)])).toContain(
      "GatewardenRefusedByProxy",
    );
  });

  it("keeps the last good version, and goes on taking other changes", async () => {
    expect(await answering(edge.target(), { host: "bad.test" })).toBe("alpha");
    for (const backend of ["beta", "alpha"]) {
      await shop.apply(httpRoute("good", { hostnames: ["good.test"], rules: [rule(backend)] }));
      await untilAnswered(edge.target(), { host: "good.test" }, backend);
    }
    // A new route too, which comes in the same kind of message.
    await shop.apply(httpRoute("later", { hostnames: ["later.test"], rules: [rule("beta")] }));
    await shop.enforce(apiPolicy("later", { kind: "HTTPRoute", name: "later" }, OPEN_TO_ALL));
    expect(await answering(edge.target(), { host: "later.test" })).toBe("beta");
    expect(await answering(edge.target(), { host: "bad.test" })).toBe("alpha");
  });

  it("does not send again what was refused", async () => {
    const rejected = async (): Promise<number> => {
      const stats = await picky.admin.stats("http.");
      return [...stats].filter(([name]) => name.endsWith("update_rejected")).reduce((sum, [, value]) => sum + value, 0);
    };
    const before = await rejected();
    expect(before).toBeGreaterThan(0);
    for (let round = 0; round < 5; round++) {
      await shop.apply(
        httpRoute("good", { hostnames: ["good.test"], rules: [rule(round % 2 === 0 ? "beta" : "alpha")] }),
      );
      await untilAnswered(edge.target(), { host: "good.test" }, round % 2 === 0 ? "beta" : "alpha");
    }
    expect(await rejected()).toBe(before);
  });

  it("gives the last good version to a proxy that comes now", async () => {
    const second = await pickyProxy();
    try {
      await eventually("the new proxy holds the last good version", async () => {
        const [first, mine] = [await configurationOf(picky), await configurationOf(second)];
        const missing = differences(first, mine);
        if (missing.length > 0) throw new Error(`different: ${missing.join(", ")}`);
        return mine.has("ScopedRouteConfiguration http-8080|bad.test");
      });
    } finally {
      await second.stop();
    }
  });

  it("keeps the last good version while the operator is killed and started again", async () => {
    await harness.operator.stop(0);
    await harness.operator.start();
    await eventually("the proxy is back", async () => (await picky.admin.stat("control_plane.connected_state")) === 1);
    await shop.waitFor("ApiPolicy", "bad", "Programmed", refused);
    await shop.waitFor("ApiPolicy", "good", "Programmed");
    expect(await answering(edge.target(), { host: "bad.test" })).toBe("alpha");
  });

  it("recovers with the next good version, without a restart", async () => {
    await shop.apply(httpRoute("bad", { hostnames: ["bad.test"], rules: [rule("beta")] }));
    await shop.waitFor("ApiPolicy", "bad", "Programmed");
    await untilAnswered(edge.target(), { host: "bad.test" }, "beta");
  });

  it("answers 503 where the first version ever was refused, and recovers from that too", async () => {
    const route = (rules: readonly object[]) => httpRoute("fresh", { hostnames: ["fresh.test"], rules });
    const bad = rule("beta", { path: { type: "RegularExpression", value: large(2) } });
    await shop.apply(apiPolicy("fresh", { kind: "HTTPRoute", name: "fresh" }, OPEN_TO_ALL));
    await shop.apply(route([rule("alpha"), bad]));
    await shop.waitFor("ApiPolicy", "fresh", "Programmed", refused, REFUSAL_LIMIT_MS);
    await untilAnswered(edge.target(), { host: "fresh.test" }, 503);
    await shop.apply(route([rule("alpha")]));
    await shop.waitFor("ApiPolicy", "fresh", "Programmed");
    expect(await answering(edge.target(), { host: "fresh.test" })).toBe("alpha");
  });

  it("shows a listener that cannot be bound on its Gateway, and holds up no other", async () => {
    const spec = {
      gatewayClassName: "gatewarden",
      listeners: [{ name: "http", port: 8080, protocol: "HTTP" }],
      // Nobody's address (RFC 5737), so the kernel refuses it.
      addresses: [{ type: "IPAddress", value: "203.0.113.9" }],
    };
    const elsewhere = {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "elsewhere" },
      spec,
    };
    await shop.apply(elsewhere);
    const unbound = { status: "False", reason: "RejectedByProxy", message: /203\.0\.113\.9/ } as const;
    await proxyFor("elsewhere");
    await shop.waitFor("Gateway", "elsewhere", "Programmed", unbound);
    await shop.waitFor("Gateway", "edge", "Programmed");
    await shop.apply({
      ...elsewhere,
      spec: {
        ...spec,
        addresses: [{ type: "IPAddress", value: edge.address }],
        listeners: [{ name: "http", port: 8090, protocol: "HTTP" }],
      },
    });
    await shop.waitFor("Gateway", "elsewhere", "Programmed");
  });

  async function proxyFor(gateway: string): Promise<EnvoyProcess> {
    const token = await proxyToken(harness.cluster, shop.namespace, gateway);
    const [tokenFile, caFile] = [join(harness.directory, `${gateway}-token`), join(harness.directory, "picky-ca")];
    writeFileSync(tokenFile, token, { mode: 0o600 });
    const flags = ["--gateway", `${shop.namespace}/${gateway}`, "--xds-address", harness.operator.xdsAddress];
    const { stdout } = await gatewarden(["bootstrap", ...flags, "--token-file", tokenFile, "--ca-file", caFile]);
    const envoy = await startEnvoy({ bootstrap: JSON.parse(stdout) as Bootstrap, wait: "started" });
    harness.atEnd(envoy.stop);
    return envoy;
  }
});
