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
    [{ tokenFile: '/a"..os.exit()' }, /may hold/],
    [{ admin: "0.0.0.0:9901" }, /loopback/],
    [{ admin: "10.0.0.1:9901" }, /loopback/],
    [{ admin: "unix:" }, /path/],
  ])("refuses %j", (wrong, message) => {
    expect(() => bootstrap({ ...OPTIONS, ...wrong })).toThrow(message);
  });

  it("takes names, addresses and IPv6", () => {
    const typeOf = (address: string): unknown =>
      JSON.parse(JSON.stringify(bootstrap({ ...OPTIONS, address }))).static_resources.clusters[0].type;
    expect(typeOf("gatewarden.x.svc:18000")).toBe("STRICT_DNS");
    expect(typeOf("127.0.0.1:18000")).toBe("STATIC");
    expect(typeOf("[::1]:18000")).toBe("STATIC");
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
