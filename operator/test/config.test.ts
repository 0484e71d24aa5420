import { describe, expect, test } from "@jest/globals";
import { parseOperatorArguments } from "../src/config.ts";

describe("the operator's flags", () => {
  test("have the defaults of the contract", () => {
    expect(parseOperatorArguments([])).toEqual({
      ok: true,
      value: {
        kubeconfig: undefined,
        namespace: "gatewarden-system",
        xdsAddress: { host: "0.0.0.0", port: 18_000 },
        metricsAddress: { host: undefined, port: 8080 },
        infrastructure: undefined,
        issuer: { kind: "ClusterIssuer", name: "gatewarden-ca" },
        requirePolicy: true,
        logDirectory: "/var/log/gatewarden",
        jwksAllowCidrs: [],
        jwksCaFile: undefined,
        logLevel: "info",
      },
    });
  });

  test("are read in both spellings", () => {
    const parsed = parseOperatorArguments([
      ...["--kubeconfig", "/k", "--namespace=ops", "--xds-address", "[::1]:0", "--metrics-address=127.0.0.1:9"],
      ...["--infrastructure", "external", "--issuer", "Issuer/own", "--require-policy=false", "--log-dir=/logs"],
      ...["--jwks-allow-cidr", "10.0.0.0/8", "--jwks-allow-cidr=fd00::/8", "--jwks-ca-file", "/ca"],
    ]);
    expect(parsed).toMatchObject({
      ok: true,
      value: {
        kubeconfig: "/k",
        namespace: "ops",
        xdsAddress: { host: "::1", port: 0 },
        metricsAddress: { host: "127.0.0.1", port: 9 },
        issuer: { kind: "Issuer", name: "own" },
        requirePolicy: false,
        logDirectory: "/logs",
        jwksAllowCidrs: ["10.0.0.0/8", "fd00::/8"],
        jwksCaFile: "/ca",
      },
    });
  });

  test("say how proxies run in the cluster", () => {
    const parsed = parseOperatorArguments([
      ...["--infrastructure", "kubernetes", "--namespace", "ops", "--xds-address", "0.0.0.0:19000"],
      ...["--proxy-image", "envoy:1", "--agent-image", "gatewarden:1"],
    ]);
    expect(parsed).toMatchObject({
      ok: true,
      value: {
        infrastructure: { image: "envoy:1", agentImage: "gatewarden:1", xdsAddress: "gatewarden.ops.svc:19000" },
      },
    });
  });

  test.each([
    [["--xds-address", "18000"], "--xds-address 18000: expected HOST:PORT"],
    [["--metrics-address", ":99999"], "--metrics-address :99999: expected HOST:PORT"],
    [["--namespace", "No"], "--namespace No: not the name of a namespace"],
    [["--infrastructure", "none"], "--infrastructure none: expected external or kubernetes"],
    [["--infrastructure", "kubernetes", "--proxy-xds-address", ":1"], "--proxy-xds-address :1: expected HOST:PORT"],
    [["--issuer", "gatewarden-ca"], "--issuer gatewarden-ca: expected ClusterIssuer/NAME or Issuer/NAME"],
    [["--require-policy=yes"], "--require-policy yes: expected true or false"],
    [["--log-dir", "logs"], "--log-dir logs: expected an absolute path"],
    [["--jwks-allow-cidr", "10.0.0.0"], "--jwks-allow-cidr 10.0.0.0: expected ADDRESS/PREFIX"],
    [["--jwks-allow-cidr", "10.0.0.0/33"], "--jwks-allow-cidr 10.0.0.0/33: expected ADDRESS/PREFIX"],
    [["--log-level", "loud"], "--log-level loud: expected debug, info, warn, error"],
    [["--unknown"], "Unknown option '--unknown'"],
    [["left-over"], "Unexpected argument 'left-over'"],
  ])("%j is refused", (args, message) => {
    expect(parseOperatorArguments(args)).toEqual({ ok: false, message: expect.stringContaining(message) });
  });
});
