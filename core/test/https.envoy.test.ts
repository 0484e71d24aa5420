/** HTTPS listeners in a real Envoy: chosen by SNI, with their own certificates, hosts and client certificates. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { send } from "../../e2e/client/http1.ts";
import type { ClientTls } from "../../e2e/client/target.ts";
import { createAuthority, issue, type KeyPair } from "../../e2e/cluster/pki.ts";
import { freePorts } from "../../e2e/cluster/port.ts";
import { type EnvoyProcess, startEnvoy } from "../../e2e/envoy/process.ts";
import { type EchoUpstream, startEcho } from "../../e2e/upstream/echo.ts";
import { createEngine } from "../src/engine.ts";
import type { Change, Output } from "../src/world.ts";
import { backend, gateway, gatewayClass, OPTIONS, policy, put, route, service } from "./objects.ts";
import { resourcesAfter, staticBootstrap } from "./static-bootstrap.ts";

const authority = createAuthority("servers");
const partners = createAuthority("partners");
const client = issue(partners, { commonName: "erp", uris: ["spiffe://partner/erp"] });
const stranger = issue(createAuthority("strangers"), { commonName: "erp" });

let envoy: EnvoyProcess;
let upstream: EchoUpstream;
let port = 0;
let mutual = 0;

function tls(name: string, pair: KeyPair): Change {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  return put("Secret", name, { data: { "tls.crt": base64(pair.certificate), "tls.key": base64(pair.privateKey) } });
}

beforeAll(async () => {
  upstream = await startEcho({ name: "echo", address: "127.0.0.1" });
  [port = 0, mutual = 0] = await freePorts(2);
  const https = (name: string, hostname: string, at = 443): Record<string, unknown> => ({
    name,
    port: at,
    protocol: "HTTPS",
    hostname,
    tls: { certificateRefs: [{ name: `${name}-tls` }] },
  });
  const engine = createEngine(OPTIONS);
  const output: Output = engine.apply(
    [
      gatewayClass,
      gateway("edge", [https("exact", "a.wild.test"), https("wild", "*.wild.test"), https("mutual", "m.test", 8443)], {
        tls: {
          frontend: {
            default: {},
            perPort: [
              {
                port: 8443,
                tls: { validation: { caCertificateRefs: [{ group: "", kind: "ConfigMap", name: "partners" }] } },
              },
            ],
          },
        },
      }),
      put("ConfigMap", "partners", { data: { "ca.crt": partners.certificate } }),
      tls("exact-tls", issue(authority, { commonName: "exact", dnsNames: ["a.wild.test"] })),
      tls("wild-tls", issue(authority, { commonName: "wild", dnsNames: ["*.wild.test"] })),
      tls("mutual-tls", issue(authority, { commonName: "mutual", dnsNames: ["m.test"] })),
      ...service("echo", { address: "127.0.0.1", port: upstream.port }),
      route("exact", {
        parentRefs: [{ name: "edge", sectionName: "exact" }],
        rules: [{ backendRefs: [backend("echo")] }],
      }),
      route("wild", {
        parentRefs: [{ name: "edge", sectionName: "wild" }],
        rules: [{ backendRefs: [backend("echo")] }],
      }),
      route("mutual", {
        parentRefs: [{ name: "edge", sectionName: "mutual" }],
        rules: [{ backendRefs: [backend("echo")] }],
      }),
      policy("mutual", [{ kind: "HTTPRoute", name: "mutual" }], {
        authentication: {
          clientCertificate: { identities: [{ type: "Exact", san: "URI", value: "spiffe://partner/erp" }] },
        },
      }),
    ],
    Date.now(),
  );
  envoy = await startEnvoy({
    bootstrap: staticBootstrap(resourcesAfter([output], "shop/edge"), {
      ports: new Map([
        [443, port],
        [8443, mutual],
      ]),
    }),
    logLevel: "warning",
  });
});

afterAll(async () => {
  await envoy?.stop();
  await upstream?.stop();
});

const get = (at: number, host: string, more: Partial<ClientTls> = {}): ReturnType<typeof send> =>
  send(
    { address: "127.0.0.1", port: at, tls: { serverName: host, authority: authority.certificate, ...more } },
    { host },
  );

test.each(["a.wild.test", "b.wild.test", "c.b.wild.test"])(
  "%s is served with the certificate of its listener",
  async (serverName) => {
    // A wildcard certificate covers one label only: the deep host's name is not checked.
    const { status } =
      serverName === "c.b.wild.test"
        ? await send({ address: "127.0.0.1", port, tls: { serverName } }, { host: serverName })
        : await get(port, serverName);
    expect(status).toBe(200);
  },
);

test("a host that has a listener of its own is misdirected on another's connection", async () => {
  const answer = await send(
    { address: "127.0.0.1", port, tls: { serverName: "b.wild.test", authority: authority.certificate } },
    { host: "a.wild.test" },
  );
  expect([answer.status, answer.problem().code]).toEqual([421, "GW-ROUTE-002"]);
});

test("a name that no listener has gets no handshake", async () => {
  await expect(
    send({ address: "127.0.0.1", port, tls: { serverName: "other.test" } }, { host: "other.test" }),
  ).rejects.toThrow();
});

test("spec.tls.frontend: only a verified client certificate gets in, and policies see whose it is", async () => {
  expect((await get(mutual, "m.test", { certificate: client.certificate, privateKey: client.privateKey })).status).toBe(
    200,
  );
  await expect(
    get(mutual, "m.test", { certificate: stranger.certificate, privateKey: stranger.privateKey }),
  ).rejects.toThrow();
  await expect(get(mutual, "m.test")).rejects.toThrow();
});
