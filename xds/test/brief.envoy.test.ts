/**
 * Scopes are written with short type URLs (src/json-encoder.ts). Envoy ignores a per-route configuration that it does not recognise without a
 * word, so that it obeys these, and that it still masks what is secret in them, has to be seen.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { send } from "../../e2e/client/http1.ts";
import { eventually } from "../../e2e/cluster/condition.ts";
import { freePorts } from "../../e2e/cluster/port.ts";
import { type EnvoyProcess, startEnvoy } from "../../e2e/envoy/process.ts";
import { bootstrap } from "../src/bootstrap.ts";
import { decodeAny, encodeAny } from "../src/registry.ts";
import type { JsonObject } from "../src/types.ts";
import { change, GATEWAY, SERVER_NAME, startServer, type TestServer } from "./test-server.ts";

const at = (name: string): { readonly "@type": string } => ({ "@type": `type.googleapis.com/envoy.${name}` });
const filter = (name: string): { readonly "@type": string } => at(`extensions.filters.http.${name}`);
const ADS = { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" };
/** Of the password `secret`. */
const HASH = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

function listener(port: number): JsonObject {
  const placeholder = {
    ...filter("basic_auth.v3.BasicAuth"),
    users: { inline_string: `nobody:{SHA}${"A".repeat(27)}=` },
  };
  const hcm = {
    ...at("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
    stat_prefix: "http",
    scoped_routes: {
      name: "scopes",
      scope_key_builder: { fragments: [{ header_value_extractor: { name: ":authority", index: 0 } }] },
      rds_config_source: ADS,
      scoped_rds: { scoped_rds_config_source: ADS },
    },
    http_filters: [
      { name: "gate", typed_config: filter("rbac.v3.RBAC") },
      { name: "off", typed_config: { ...filter("rbac.v3.RBAC"), rules: everybody("DENY") } },
      { name: "basic", typed_config: placeholder },
      { name: "router", typed_config: filter("router.v3.Router") },
    ],
  };
  return {
    ...at("config.listener.v3.Listener"),
    name: "http",
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [{ filters: [{ name: "hcm", typed_config: hcm }] }],
  };
}

function everybody(action: "ALLOW" | "DENY"): JsonObject {
  return { action, policies: { all: { permissions: [{ any: true }], principals: [{ any: true }] } } };
}

/** Filter `off` refuses everybody unless the host switches it off. */
function scope(host: string, route: JsonObject): JsonObject {
  const off = { ...at("config.route.v3.FilterConfig"), disabled: true };
  const direct = { match: { prefix: "/" }, direct_response: { status: 200 }, typed_per_filter_config: route };
  return {
    ...at("config.route.v3.ScopedRouteConfiguration"),
    name: host,
    key: { fragments: [{ string_key: host }] },
    route_configuration: {
      virtual_hosts: [{ name: "*", domains: ["*"], routes: [direct], typed_per_filter_config: { off } }],
    },
  };
}

const users = { ...filter("basic_auth.v3.BasicAuthPerRoute"), users: { inline_string: `alice:${HASH}` } };
const shut = { ...filter("rbac.v3.RBACPerRoute"), rbac: { rules: everybody("DENY") } };

describe("a scope with short type URLs", () => {
  let folder: string;
  let test: TestServer;
  let envoy: EnvoyProcess;
  let port: number;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "gatewarden-brief-"));
    [port = 0] = await freePorts(1);
    test = await startServer({
      changes: [
        change("listener", "http", listener(port)),
        change("scope", "basic.test", scope("basic.test", { basic: users })),
        change("scope", "shut.test", scope("shut.test", { basic: users, gate: shut })),
      ],
    });
    const [caFile, tokenFile] = [join(folder, "ca.crt"), join(folder, "token")];
    writeFileSync(caFile, test.authority.certificate);
    writeFileSync(tokenFile, "good\n");
    const address = `127.0.0.1:${String(test.port)}`;
    envoy = await startEnvoy({
      bootstrap: bootstrap({ gateway: GATEWAY, address, caFile, tokenFile, serverName: SERVER_NAME }),
    });
    await eventually("the proxy counts", () => test.server.proxies(GATEWAY).complete === 1);
  });
  afterEach(async () => {
    await envoy.stop();
    await test.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("is obeyed: a filter configured, one switched off, one refusing", async () => {
    const status = async (host: string, password: string): Promise<number> => {
      const authorization = `Basic ${btoa(`alice:${password}`)}`;
      return (await send({ address: "127.0.0.1", port }, { host, headers: { authorization } })).status;
    };
    expect(await status("basic.test", "secret")).toBe(200);
    expect(await status("basic.test", "wrong")).toBe(401);
    expect(await status("shut.test", "secret")).toBe(403);
  });

  it("shows in Envoy's dump, without what is secret in it", async () => {
    const dump = JSON.stringify(await envoy.admin.configDump());
    expect(dump).toMatch(
      /envoy\.extensions\.filters\.http\.rbac\.v3\.RBACPerRoute","rbac":\{"rules":\{"action":"DENY"/,
    );
    expect(dump).toMatch(/BasicAuthPerRoute","users":\{"inline_string":"\[redacted\]"/);
    expect(dump).not.toContain(HASH);
  });

  it("says the same as a long one", () => {
    const json = scope("basic.test", { basic: users });
    const [short, long] = [encodeAny(json, true), encodeAny(json)];
    expect(long.length - short.length).toBeGreaterThanOrEqual(2 * ("type.googleapis.com".length - 1));
    expect(JSON.stringify(decodeAny(short)).replaceAll('"t/envoy.', '"type.googleapis.com/envoy.')).toBe(
      JSON.stringify(decodeAny(long)),
    );
  });
});
