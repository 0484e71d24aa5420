import { describe, expect, it } from "@jest/globals";
import { bootstrap, type BootstrapOptions } from "./bootstrap.ts";

const OPTIONS: BootstrapOptions = {
  gateway: "shop/main",
  address: "gatewarden.gatewarden-system.svc:18000",
  tokenFile: "/var/run/gatewarden/token",
  caFile: "/var/run/gatewarden/ca.crt",
  serverName: "gatewarden.gatewarden-system.svc",
};

describe("bootstrap", () => {
  it.each([
    [{ gateway: "main" }, /NAMESPACE\/NAME/],
    [{ address: "host" }, /HOST:PORT/],
    [{ address: "host:0" }, /HOST:PORT/],
    [{ address: "::1:18000" }, /HOST:PORT/],
    [{ tokenFile: "token" }, /absolute/],
    [{ admin: "0.0.0.0:9901" }, /loopback/],
    [{ admin: "10.0.0.1:9901" }, /loopback/],
    [{ admin: "unix:" }, /path/],
  ])("refuses %j", (wrong, message) => {
    expect(() => bootstrap({ ...OPTIONS, ...wrong })).toThrow(message);
  });

  it("takes names, addresses and IPv6", () => {
    const of = (address: string): object => ({ ...bootstrap({ ...OPTIONS, address }) });
    const dialling = (target: string): object => ({
      dynamic_resources: { ads_config: { grpc_services: [{ google_grpc: { target_uri: target } }] } },
    });
    expect(of("gatewarden.x.svc:18000")).toMatchObject(dialling("dns:///gatewarden.x.svc:18000"));
    expect(of("127.0.0.1:18000")).toMatchObject(dialling("ipv4:127.0.0.1:18000"));
    expect(of("[::1]:18000")).toMatchObject(dialling("ipv6:[::1]:18000"));
  });

  it("has no administration interface unless asked, and then for this machine only", () => {
    expect(bootstrap(OPTIONS)["admin"]).toBeUndefined();
    expect(bootstrap({ ...OPTIONS, admin: "unix:/run/envoy.sock" })["admin"]).toMatchObject({
      address: { pipe: { path: "/run/envoy.sock", mode: 0o600 } },
    });
    expect(bootstrap({ ...OPTIONS, admin: "localhost:9901" })["admin"]).toMatchObject({
      address: { socket_address: { address: "127.0.0.1", port_value: 9901 } },
    });
  });
});
