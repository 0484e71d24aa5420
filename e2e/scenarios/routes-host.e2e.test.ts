/** Which listener and which route a request gets by its host and its SNI, in every form that a host can be written in. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { createAuthority, issue } from "../cluster/pki.ts";
import { connectHttp1, send } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import type { Echo } from "../upstream/echo.ts";
import {
  answeredLines,
  answering,
  type Case,
  expectedLines,
  httpRoute,
  rule,
  untilAnswered,
} from "./routes-manifest.ts";

const OPEN = { "gatewarden.io/require-policy": "false" };
const HTTP = 8080;
const OTHER_HTTP = 8081;
const HTTPS = 8443;
const authority = createAuthority("hosts");

const to = (name: string, sectionName: string): readonly object[] => [{ name, sectionName }];
const listener = (name: string, port: number, hostname?: string): object => ({
  name,
  port,
  protocol: "HTTP",
  ...(hostname === undefined ? {} : { hostname }),
});
const secure = (name: string, hostname: string | undefined, ...secrets: readonly string[]): object => ({
  ...listener(name, HTTPS, hostname),
  protocol: "HTTPS",
  tls: { certificateRefs: secrets.map((secret) => ({ name: secret })) },
});

describe("hosts", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("host");
    for (const name of ["all", "wild", "deep", "exact", "second", "one", "stars"]) await shop.upstream(name);
    for (const [name, dnsNames] of [
      ["one", ["one.tls.test"]],
      ["stars", ["*.tls.test"]],
    ] as const) {
      const { certificate, privateKey } = issue(authority, { commonName: name, dnsNames });
      await shop.secret(name, { "tls.crt": certificate, "tls.key": privateKey }, "kubernetes.io/tls");
    }
    const listeners = [
      listener("all", HTTP),
      listener("wild", HTTP, "*.wild.test"),
      listener("exact", HTTP, "exact.wild.test"),
      listener("second", OTHER_HTTP),
      secure("one", "one.tls.test", "one"),
      secure("stars", "*.tls.test", "stars"),
    ];
    edge = await shop.gateway({ annotations: OPEN, listeners });
    await shop.enforce([
      httpRoute("all", { parentRefs: to("edge", "all"), rules: [rule("all")] }),
      httpRoute("named", {
        parentRefs: to("edge", "all"),
        hostnames: ["shop.test"],
        rules: [rule("exact", { path: { value: "/known" } })],
      }),
      httpRoute("wild", { parentRefs: to("edge", "wild"), rules: [rule("wild")] }),
      httpRoute("deep", { parentRefs: to("edge", "wild"), hostnames: ["*.deep.wild.test"], rules: [rule("deep")] }),
      httpRoute("exact", { parentRefs: to("edge", "exact"), rules: [rule("exact")] }),
      httpRoute("second", { parentRefs: to("edge", "second"), hostnames: ["shop.test"], rules: [rule("second")] }),
      httpRoute("one", { parentRefs: to("edge", "one"), rules: [rule("one")] }),
      httpRoute("stars", { parentRefs: to("edge", "stars"), rules: [rule("stars")] }),
    ]);
    await untilAnswered(edge.target(), { host: "x.deep.wild.test" }, "deep");
    await untilAnswered(edge.target(), { host: "exact.wild.test" }, "exact");
    await untilAnswered(edge.target(), { host: "shop.test", path: "/known" }, "exact");
    await untilAnswered(edge.target({ port: OTHER_HTTP }), { host: "shop.test" }, "second");
    await untilAnswered(tls("one.tls.test"), { host: "one.tls.test" }, "one");
    await untilAnswered(tls("x.tls.test"), { host: "x.tls.test" }, "stars");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const tls = (serverName: string) =>
    edge.target({ port: HTTPS, tls: { serverName, authority: authority.certificate } });

  it("finds the most specific of exact, wildcard and every host", async () => {
    const cases: readonly Case[] = [
      [{ host: "exact.wild.test" }, "exact"],
      [{ host: "x.wild.test" }, "wild"],
      [{ host: "x.y.wild.test" }, "wild"],
      [{ host: "x.deep.wild.test" }, "deep"],
      [{ host: "x.y.deep.wild.test" }, "deep"],
      // Neither a wildcard of itself nor a host of the listener with the wildcard.
      [{ host: "deep.wild.test" }, "wild"],
      [{ host: "wild.test" }, "all"],
      [{ host: "xwild.test" }, "all"],
      [{ host: "unknown.test" }, "all"],
      [{ host: "shop.test", path: "/known" }, "exact"],
      [{ host: "127.0.0.1" }, "all"],
      [{ host: "[::1]" }, "all"],
    ];
    expect(await answeredLines(edge.target(), "", cases)).toEqual(expectedLines(cases));
  });

  it("keeps a host that is known away from wildcards and from every host", async () => {
    await shop.enforce(
      httpRoute("narrow", {
        parentRefs: to("edge", "all"),
        hostnames: ["narrow.test"],
        rules: [rule("exact", { path: { value: "/only" } })],
      }),
    );
    await untilAnswered(edge.target(), { host: "narrow.test", path: "/only" }, "exact");
    expect(await answering(edge.target(), { host: "narrow.test", path: "/other" })).toBe(404);
    expect(await answering(edge.target(), { host: "exact.wild.test", path: "/any" })).toBe("exact");
  });

  it("reads capitals, a trailing dot and a port of a host as the same host", async () => {
    const cases: readonly Case[] = [
      [{ host: "SHOP.test", path: "/known" }, "exact"],
      [{ host: "shop.test.", path: "/known" }, "exact"],
      [{ host: "Shop.Test.:8080", path: "/known" }, "exact"],
      [{ host: "shop.test:8080", path: "/known" }, "exact"],
      [{ host: "shop.test:9999", path: "/known" }, "exact"],
      [{ host: "EXACT.wild.test" }, "exact"],
      [{ host: "Exact.Wild.Test.:8080" }, "exact"],
      [{ host: "X.WILD.test" }, "wild"],
      [{ host: "x.wild.test." }, "wild"],
      [{ host: "x.Deep.wild.test:8080" }, "deep"],
      [{ host: "UNKNOWN.test" }, "all"],
    ];
    expect(await answeredLines(edge.target(), "", cases)).toEqual(expectedLines(cases));
    // What is not the same host is not: two dots, a space that is not there, an empty label.
    expect(await answering(edge.target(), { host: "shop.test..", path: "/known" })).not.toBe("exact");
  });

  it("does not let a client choose the host by headers of ours", async () => {
    const forged = ["x-gatewarden-scope", "X-Gatewarden-Scope"].flatMap((name) =>
      ["http-8080|exact.wild.test", "https-8443-one_tls_test|one.tls.test", "http-8080#"].map(
        (value) => [name, value] as const,
      ),
    );
    for (const header of forged) {
      for (const host of ["unknown.test", "UNKNOWN.test", "x.wild.test"]) {
        const expected = host === "x.wild.test" ? "wild" : "all";
        expect([header, host, await answering(edge.target(), { host, headers: [header] })]).toEqual([
          header,
          host,
          expected,
        ]);
      }
    }
    for (const host of ["http-8080|exact.wild.test", "|exact.wild.test", "#", "http-8080#"]) {
      expect([host, await answering(edge.target(), { host })]).not.toEqual([host, "exact"]);
    }
    const { headers } = (await send(edge.target(), { host: "unknown.test", headers: forged })).json<Echo>();
    expect(headers.filter(([name]) => /^x-gatewarden/i.test(name))).toEqual([]);
  });

  it("tells listeners of two ports apart, and serves one connection for many hosts", async () => {
    expect(await answering(edge.target({ port: OTHER_HTTP }), { host: "shop.test" })).toBe("second");
    expect(await answering(edge.target({ port: OTHER_HTTP }), { host: "unknown.test" })).toBe(404);
    const connection = await connectHttp1(edge.target());
    for (const [host, upstream] of [
      ["exact.wild.test", "exact"],
      ["x.wild.test", "wild"],
      ["unknown.test", "all"],
      ["exact.wild.test", "exact"],
    ] as const) {
      expect((await connection.request({ host })).json<Echo>().upstream).toBe(upstream);
    }
    connection.close();
  });

  it("chooses certificate and routes by SNI", async () => {
    // The client checks the certificate against the name.
    expect(await answering(tls("one.tls.test"), { host: "one.tls.test" })).toBe("one");
    expect(await answering(tls("two.tls.test"), { host: "two.tls.test" })).toBe("stars");
    expect(await answering(tls("one.tls.test"), { host: "ONE.tls.test.:8443" })).toBe("one");
    await expect(send(tls("tls.test"), { host: "tls.test" })).rejects.toThrow();
    await expect(send(tls("elsewhere.test"), { host: "elsewhere.test" })).rejects.toThrow();
    await expect(send(edge.target({ port: HTTPS }), { host: "one.tls.test" })).rejects.toThrow();
    const h2 = await connectHttp2(tls("one.tls.test"));
    expect((await h2.request({ host: "one.tls.test" })).status).toBe(200);
    h2.close();
  });

  it("does not serve the host of another listener on a connection that was made for this one", async () => {
    // GEP-3567: such a request is misdirected. Otherwise what one listener demands is avoided over another.
    const answers = [
      await send(tls("x.tls.test"), { host: "one.tls.test" }),
      await send(tls("one.tls.test"), { host: "x.tls.test" }),
      await send(tls("one.tls.test"), { host: "unknown.test" }),
    ];
    for (const { status } of answers) expect([404, 421]).toContain(status);
    expect(answers[0]?.status).toBe(421);
    const h2 = await connectHttp2(tls("x.tls.test"));
    expect((await h2.request({ host: "x.tls.test" })).status).toBe(200);
    expect((await h2.request({ host: "one.tls.test" })).status).toBe(421);
    expect((await h2.request({ host: "ONE.tls.test" })).status).toBe(421);
    h2.close();
  });

  it("serves a new certificate without closing what is open", async () => {
    const held = await connectHttp1(tls("one.tls.test"));
    expect((await held.request({ host: "one.tls.test" })).status).toBe(200);
    const next = createAuthority("next");
    const { certificate, privateKey } = issue(next, { commonName: "one", dnsNames: ["one.tls.test"] });
    await shop.secret("one", { "tls.crt": certificate, "tls.key": privateKey }, "kubernetes.io/tls");
    const renewed = edge.target({ port: HTTPS, tls: { serverName: "one.tls.test", authority: next.certificate } });
    await untilAnswered(renewed, { host: "one.tls.test" }, "one");
    expect((await held.request({ host: "one.tls.test" })).status).toBe(200);
    expect(held.closed()).toBe(false);
    held.close();
    expect(await edge.envoy.admin.stat("listener_manager.listener_modified")).toBe(0);
    expect(await edge.envoy.admin.stat("listener_manager.total_filter_chains_draining")).toBe(0);
  });
});
