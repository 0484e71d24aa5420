import { createServer, type Server } from "node:http";
import { request as requestTls } from "node:https";
import { type AddressInfo } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { eventually } from "../../e2e/cluster/condition.ts";
import { type Authority, createAuthority, issue } from "../../e2e/cluster/pki.ts";
import { freePorts } from "../../e2e/cluster/port.ts";
import { type EnvoyProcess, startEnvoy } from "../../e2e/envoy/process.ts";
import { bootstrap } from "../src/bootstrap.ts";
import type { JsonObject, ResourceChange } from "../src/types.ts";
import { change, cluster, endpoint, GATEWAY, gone, SERVER_NAME, startServer, type TestServer } from "./test-server.ts";

const at = (name: string) => ({ "@type": `type.googleapis.com/envoy.${name}` });
const ADS = { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" };
const RBAC = "extensions.filters.http.rbac.v3.RBAC";

let folder: string;
let test: TestServer;
let envoys: EnvoyProcess[] = [];
let upstream: Server;
let upstreamPort: number;
let port: number;
const pages: Authority = createAuthority("pages");

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "gatewarden-ads-"));
  upstream = createServer((asked, answer) => answer.end(`upstream saw ${asked.url ?? ""}`)).listen(0, "127.0.0.1");
  await new Promise((resolve) => upstream.once("listening", resolve));
  upstreamPort = (upstream.address() as AddressInfo).port;
  [port = 0] = await freePorts(1);
});
afterEach(async () => {
  for (const envoy of envoys) await envoy.stop();
  envoys = [];
  await test.stop();
  upstream.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A TLS listener: certificate by SDS, one filter by ECDS, routes by SRDS with the host as the key. */
function listener(): ResourceChange {
  return change("listener", "https", {
    ...at("config.listener.v3.Listener"),
    name: "https",
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [
      {
        transport_socket: {
          name: "tls",
          typed_config: {
            ...at("extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
            common_tls_context: { tls_certificate_sds_secret_configs: [{ name: "page", sds_config: ADS }] },
          },
        },
        filters: [
          {
            name: "hcm",
            typed_config: {
              ...at("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
              stat_prefix: "https",
              scoped_routes: {
                name: "scopes",
                scope_key_builder: { fragments: [{ header_value_extractor: { name: ":authority", index: 0 } }] },
                rds_config_source: ADS,
                scoped_rds: { scoped_rds_config_source: ADS },
              },
              strip_any_host_port: true,
              http_filters: [
                {
                  name: "gate",
                  config_discovery: { config_source: ADS, type_urls: [`type.googleapis.com/envoy.${RBAC}`] },
                },
                { name: "router", typed_config: at("extensions.filters.http.router.v3.Router") },
              ],
            },
          },
        ],
      },
    ],
  });
}

function certificate(serial: string): ResourceChange {
  const { certificate: chain, privateKey } = issue(pages, { commonName: serial, dnsNames: ["a.test"] });
  return change("secret", "page", {
    ...at("extensions.transport_sockets.tls.v3.Secret"),
    name: "page",
    tls_certificate: { certificate_chain: { inline_string: chain }, private_key: { inline_string: privateKey } },
  });
}

function gate(action: "ALLOW" | "DENY"): ResourceChange {
  const policies = { all: { permissions: [{ any: true }], principals: [{ any: true }] } };
  return change("extension", "gate", {
    ...at("config.core.v3.TypedExtensionConfig"),
    name: "gate",
    typed_config: { ...at(RBAC), rules: { action, policies } },
  });
}

function scopeJson(host: string, match: JsonObject, action: JsonObject): JsonObject {
  return {
    ...at("config.route.v3.ScopedRouteConfiguration"),
    name: host,
    key: { fragments: [{ string_key: host }] },
    route_configuration: {
      name: host,
      virtual_hosts: [{ name: host, domains: ["*"], routes: [{ match, ...action }] }],
    },
  };
}
const say = (text: string): JsonObject => ({ direct_response: { status: 200, body: { inline_string: text } } });
const CLOSED: JsonObject = { direct_response: { status: 503, body: { inline_string: "closed" } } };
const BAD_REGEX: JsonObject = { safe_regex: { regex: "missing[" } };
const saying = (host: string, text: string): ResourceChange =>
  change("scope", host, scopeJson(host, { prefix: "/" }, say(text)), scopeJson(host, { prefix: "/" }, CLOSED));
const broken = (host: string): ResourceChange =>
  change("scope", host, scopeJson(host, BAD_REGEX, say("never")), scopeJson(host, { prefix: "/" }, CLOSED));

const everything = (): ResourceChange[] => [
  cluster("shop"),
  endpoint("shop", upstreamPort),
  certificate("first"),
  gate("ALLOW"),
  listener(),
  change("scope", "a.test", scopeJson("a.test", { prefix: "/" }, { route: { cluster: "shop" } })),
];

async function start(): Promise<EnvoyProcess> {
  const caFile = join(folder, "ca.crt");
  const tokenFile = join(folder, "token");
  writeFileSync(caFile, test.authority.certificate);
  writeFileSync(tokenFile, "good\n");
  const address = `127.0.0.1:${String(test.port)}`;
  const envoy = await startEnvoy({
    bootstrap: bootstrap({ gateway: GATEWAY, address, caFile, tokenFile, serverName: SERVER_NAME }),
  });
  envoys.push(envoy);
  return envoy;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly serial: string;
}

function get(host: string, path = "/"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path, servername: "a.test", ca: pages.certificate, agent: false };
    const asked = requestTls({ ...options, headers: { host } }, (response) => {
      const serial = (
        response.socket as unknown as { getPeerCertificate(): { subject: { CN: string } } }
      ).getPeerCertificate().subject.CN;
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("end", () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString(), serial }),
      );
    });
    asked.once("error", reject);
    asked.end();
  });
}

const stateOf = (name: string): string => test.server.status(GATEWAY, { type: "scope", name }).state;

describe("a real Envoy on the ADS server", () => {
  it("takes all types, and each change of each without a restart", async () => {
    test = await startServer({ changes: everything() });
    const envoy = await start();
    await eventually("the proxy counts", () => test.server.proxies(GATEWAY).complete === 1);
    expect(await get("a.test", "/x")).toEqual({ status: 200, body: "upstream saw /x", serial: "first" });
    expect((await get("b.test")).status).toBe(404);

    await test.server.apply([certificate("second")]);
    await eventually("the new certificate", async () => (await get("a.test")).serial === "second");
    await test.server.apply([gate("DENY")]);
    await eventually("the gate is shut", async () => (await get("a.test")).status === 403);
    await test.server.apply([gate("ALLOW"), saying("b.test", "b")]);
    await eventually("b answers", async () => (await get("b.test")).body === "b");
    expect((await get("a.test")).status).toBe(200);

    expect(await envoy.admin.stat("listener_manager.listener_modified")).toBe(0);
    expect(await envoy.admin.stat("listener_manager.listener_added")).toBe(1);
    expect(test.counts["nacks"]).toBeUndefined();
    expect(envoy.log()).not.toMatch(/deprecated/i);
  });

  it("never has a route without its cluster while backends come and go", async () => {
    test = await startServer({ changes: everything() });
    const envoy = await start();
    let current = "shop";
    const statuses: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const next = `shop-${String(round)}`;
      const moved = scopeJson("a.test", { prefix: "/" }, { route: { cluster: next, timeout: "2s" } });
      const changed = change("scope", "a.test", moved);
      // Deliberately in the wrong order, in one publication.
      await test.server.apply([
        gone("cluster", current),
        gone("endpoint", current),
        changed,
        cluster(next),
        endpoint(next, upstreamPort),
      ]);
      while (stateOf("a.test") !== "acknowledged") statuses.push((await get("a.test")).status);
      statuses.push((await get("a.test")).status);
      current = next;
    }
    expect(new Set(statuses)).toEqual(new Set([200]));
    await eventually("old clusters are gone", async () => {
      const names = await envoy.admin.get("/clusters");
      return names.includes(`${current}::`) && !names.includes("shop-18::");
    });
    expect(test.counts["nacks"]).toBeUndefined();
  });

  it("delivers the good ones of many scopes, names the broken one, and recovers when it is mended", async () => {
    const hosts = Array.from({ length: 40 }, (_, index) => `h${String(index)}.test`);
    test = await startServer({ changes: [...everything(), ...hosts.map((host) => saying(host, "old"))] });
    await start();
    await eventually("the proxy counts", () => test.server.proxies(GATEWAY).complete === 1);
    const fresh = [broken("fresh.test"), saying("good.test", "good")];
    await test.server.apply([
      ...hosts.map((host) => (host === "h17.test" ? broken(host) : saying(host, "new"))),
      ...fresh,
    ]);
    await eventually("all are settled", () => [...hosts, "good.test"].every((host) => stateOf(host) !== "pending"));

    // An Envoy acknowledges before its workers have the update.
    await eventually("the update is in force", async () => (await get("h16.test")).body === "new");
    for (const host of hosts)
      expect([host, (await get(host)).body]).toEqual([host, host === "h17.test" ? "old" : "new"]);
    expect((await get("good.test")).body).toBe("good");
    await eventually("the new one that was never good is closed", async () => (await get("fresh.test")).status === 503);
    const { nacks } = test.counts;
    for (const name of ["h17.test", "fresh.test"]) {
      expect(test.server.status(GATEWAY, { type: "scope", name })).toMatchObject({
        state: "refused",
        refusal: { by: "proxy", node: GATEWAY, message: expect.stringMatching(/missing ]/) },
      });
    }

    // One that joins now gets the last good version of the one and the fallback of the other, and refuses nothing.
    await envoys[0]?.stop();
    const second = await start();
    await eventually("the second proxy serves", async () => (await get("h17.test")).body === "old");
    expect((await get("fresh.test")).status).toBe(503);
    expect(test.counts["nacks"]).toBe(nacks);
    expect(await second.admin.stat("cluster_manager.cds.update_rejected")).toBe(0);

    await test.server.apply([saying("h17.test", "mended"), saying("fresh.test", "mended too")]);
    await eventually("mended", async () => (await get("h17.test")).body === "mended");
    expect((await get("fresh.test")).body).toBe("mended too");
    await eventually(
      "acknowledged",
      () => stateOf("h17.test") === "acknowledged" && stateOf("fresh.test") === "acknowledged",
    );
  });

  it("keeps good clusters, listeners and filters beside refused ones", async () => {
    test = await startServer({ changes: everything() });
    await start();
    const bad: JsonObject = {
      ...at("config.cluster.v3.Cluster"),
      name: "bad",
      type: "STATIC",
      connect_timeout: "1s",
      transport_socket: {
        name: "tls",
        typed_config: {
          ...at("extensions.transport_sockets.tls.v3.UpstreamTlsContext"),
          common_tls_context: { validation_context: { trusted_ca: { inline_string: "no certificate" } } },
        },
      },
    };
    await test.server.apply([
      change("cluster", "bad", bad),
      cluster("also-good"),
      endpoint("also-good", upstreamPort),
      change("scope", "c.test", scopeJson("c.test", { prefix: "/" }, { route: { cluster: "also-good" } })),
    ]);
    await eventually("the good cluster serves", async () => (await get("c.test")).status === 200);
    const status = test.server.status(GATEWAY, { type: "cluster", name: "bad" });
    expect(status).toMatchObject({ state: "refused", refusal: { message: expect.stringContaining("bad") } });
    expect(test.server.status(GATEWAY, { type: "cluster", name: "also-good" }).state).toBe("acknowledged");

    const { certificate: chain } = issue(pages, { commonName: "x", dnsNames: ["a.test"] });
    const { privateKey } = issue(pages, { commonName: "y", dnsNames: ["a.test"] });
    await test.server.apply([
      change("secret", "page", {
        ...at("extensions.transport_sockets.tls.v3.Secret"),
        name: "page",
        tls_certificate: { certificate_chain: { inline_string: chain }, private_key: { inline_string: privateKey } },
      }),
    ]);
    const pair = { type: "secret", name: "page" } as const;
    await eventually("the mismatched pair is refused", () => test.server.status(GATEWAY, pair).state === "refused");
    expect((await get("a.test")).serial).toBe("first");
    await test.server.apply([certificate("third")]);
    await eventually("the mended pair", async () => (await get("a.test")).serial === "third");
  });

  it("is not sent anything again after the server was away, and traffic does not notice", async () => {
    test = await startServer({ changes: everything() });
    await start();
    await eventually("the proxy counts", () => test.server.proxies(GATEWAY).complete === 1);
    const { port: xdsPort, authority } = test;
    await test.server.stop(100);
    expect((await get("a.test")).status).toBe(200);
    test = await startServer({
      changes: everything().filter(({ type }) => type !== "secret"),
      authority,
      port: xdsPort,
    });
    await test.server.apply([]);
    expect((await get("a.test")).status).toBe(200);
    await eventually("the proxy is back", () => test.server.proxies(GATEWAY).complete === 1);
    // Only what names the proxies themselves is told anew; the secret is gone, which an Envoy ignores while it is used.
    expect(test.counts["push cluster"]).toBeUndefined();
    expect(test.counts["push scope"]).toBeUndefined();
    expect(test.counts["push listener"]).toBeUndefined();
    expect(stateOf("a.test")).toBe("acknowledged");
    expect((await get("a.test")).serial).toBe("first");
  });
});
