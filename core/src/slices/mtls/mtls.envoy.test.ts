/** Client certificates and TLS towards backends in a real Envoy; secrets stand in the bootstrap in place of SDS. */
import { connect } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, send } from "../../../../e2e/client/http1.ts";
import type { ClientTls } from "../../../../e2e/client/target.ts";
import { createAuthority, issue, type KeyPair } from "../../../../e2e/cluster/pki.ts";
import { createRevocationList } from "../../../../e2e/material/crl.ts";
import { type Echo, type EchoUpstream, startEcho } from "../../../../e2e/upstream/echo.ts";
import { type Chain, startChain, toUpstream } from "../../../test/chain.ts";
import { atOf, listenerOf, lookupOf, routeOf, sourceOf } from "../../../test/section.ts";
import type { Level, NamedResource, RoutePiece } from "../../slice.ts";
import type { JsonObject, JsonValue } from "../../world.ts";
import type { Model } from "./model.ts";
import { schema, type Spec } from "./schema.ts";
import { mtls } from "./slice.ts";

const server = createAuthority("server CA");
const partners = createAuthority("partner CA");
const others = createAuthority("another CA");
const serverPair = issue(server, { commonName: "shop.test", dnsNames: ["shop.test"] });
const erp = issue(partners, { commonName: "erp", uris: ["spiffe://cluster.local/ns/shop/sa/erp"] });
const crm = issue(partners, {
  commonName: "crm",
  uris: ["spiffe://cluster.local/ns/shop/sa/crm"],
  dnsNames: ["crm.partner.test"],
});
const stranger = issue(others, { commonName: "erp", uris: ["spiffe://cluster.local/ns/shop/sa/erp"] });

const caRefs = [{ kind: "ConfigMap", name: "partner-ca", key: "ca.crt" }] as const;
const values = {
  "ConfigMap/shop/partner-ca/ca.crt": partners.certificate,
  "ConfigMap/shop/partner-crl/ca.crl": createRevocationList(partners, [crm.certificate]),
  "ConfigMap/shop/backend-ca/ca.crt": server.certificate,
  "ConfigMap/shop/other-ca/ca.crt": others.certificate,
};

let chain: Chain | undefined;
afterEach(async () => {
  await chain?.stop();
  chain = undefined;
});

function modelOf(spec: Spec, level: Level = "Gateway", further: Readonly<Record<string, string>> = {}): Model {
  const at = atOf(sourceOf("mtls", level));
  const resolved = mtls.resolve(schema().parse(spec), at, lookupOf({ values: { ...values, ...further } }));
  if (!resolved.ok) throw new Error(resolved.problems[0].message);
  return resolved.model;
}

const pieceOf = (model: Model): RoutePiece => mtls.route?.(model, routeOf(sourceOf("mtls"))) ?? {};

function routesOf(piece: RoutePiece, cluster: JsonObject = toUpstream): readonly JsonObject[] {
  return [{ match: { prefix: "/" }, name: "all", route: cluster, typed_per_filter_config: piece.slots ?? {} }];
}

async function start(model: Model): Promise<Chain> {
  const { tls, hcm = {}, resources = [] } = mtls.listener?.(model, listenerOf()) ?? {};
  const pair = { certificate_chain: inline(serverPair.certificate), private_key: inline(serverPair.privateKey) };
  chain = await startChain({
    routes: routesOf(pieceOf(model)),
    hcm: { forward_client_cert_details: "SANITIZE", ...hcm },
    secrets: secretsOf(resources),
    transportSocket: {
      name: "tls",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context: { tls_certificates: [pair], ...staticSecrets(tls?.common ?? {}) },
        ...tls?.context,
      },
    },
  });
  return chain;
}

const inline = (text: string): JsonObject => ({ inline_string: text });

/** The same configuration with secrets from the bootstrap. */
function staticSecrets(json: JsonObject): JsonObject {
  const strip = (value: JsonValue): JsonValue => {
    if (Array.isArray(value)) return value.map(strip);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value as JsonObject)
        .filter(([key]) => key !== "sds_config")
        .map(([key, child]) => [key, strip(child)]),
    );
  };
  return strip(json) as JsonObject;
}

function secretsOf(resources: readonly NamedResource[]): readonly JsonObject[] {
  return resources.map(({ json }) => Object.fromEntries(Object.entries(json).filter(([key]) => key !== "@type")));
}

function targetOf(client?: KeyPair): { address: string; port: number; tls: ClientTls } {
  const tls = { serverName: "shop.test", authority: server.certificate };
  return { address: "127.0.0.1", port: chain?.port ?? 0, tls: { ...tls, ...client } };
}

/** One request on a connection that tries to take up a TLS session; what the next one can take up. */
function resumable(session?: Buffer): Promise<{ readonly status: number; readonly session: Buffer | undefined }> {
  const { address: host, port, tls } = targetOf(erp);
  const options = {
    host,
    port,
    servername: tls.serverName,
    ca: tls.authority,
    cert: erp.certificate,
    key: erp.privateKey,
  };
  return new Promise((resolve, reject) => {
    const socket = connect({ ...options, ALPNProtocols: ["http/1.1"], ...(session === undefined ? {} : { session }) });
    let ticket: Buffer | undefined;
    socket.on("session", (latest) => (ticket = latest));
    socket.once("secureConnect", () => socket.write("GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n"));
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    socket.once("error", reject);
    socket.once("close", () => resolve({ status: Number(text.split(" ")[1]), session: ticket }));
  });
}

type Outcome = number | "handshake failed";

async function outcome(client?: KeyPair): Promise<Outcome> {
  try {
    return (await send(targetOf(client), { host: "shop.test" })).status;
  } catch {
    return "handshake failed";
  }
}

describe("client certificates", () => {
  it("Strict asks for one of the CA, revoked ones excepted", async () => {
    const crlRef = { kind: "ConfigMap", name: "partner-crl", key: "ca.crl" } as const;
    await start(modelOf({ client: { mode: "Strict", caRefs, crlRef } }));
    expect(await outcome(erp)).toBe(200);
    expect(await outcome(crm)).toBe("handshake failed");
    expect(await outcome(stranger)).toBe("handshake failed");
    expect(await outcome()).toBe("handshake failed");
  });

  it("Optional takes none or a good one; identities are asked of those that have one", async () => {
    const identities = [{ type: "Exact", san: "URI", value: "spiffe://cluster.local/ns/shop/sa/erp" }] as const;
    await start(modelOf({ client: { mode: "Optional", caRefs, identities } }));
    expect([await outcome(), await outcome(erp), await outcome(crm)]).toEqual([200, 200, 403]);
    expect(await outcome(stranger)).toBe("handshake failed");
  });

  it.each([
    ["Exact", "URI", "spiffe://cluster.local/ns/shop/sa/erp", [200, 403]],
    ["Exact", "URI", "spiffe://cluster.local/ns/shop/sa/e.p", [403, 403]],
    ["Prefix", "URI", "spiffe://cluster.local/ns/shop/", [200, 200]],
    ["Suffix", "URI", "/sa/crm", [403, 200]],
    ["Regex", "URI", "spiffe://[^/]+/ns/shop/sa/e.*", [200, 403]],
    ["Regex", "URI", "cluster.local", [403, 403]],
    ["Exact", "DNS", "crm.partner.test", [403, 200]],
    ["Exact", "Email", "crm.partner.test", [403, 403]],
  ] as const)("%s %s %s", async (type, san, value, expected) => {
    await start(modelOf({ client: { mode: "Strict", caRefs, identities: [{ type, san, value }] } }));
    expect([await outcome(erp), await outcome(crm)]).toEqual(expected);
  });

  it("hold for a TLS session that the client takes up again", async () => {
    const identities = [{ type: "Suffix", san: "URI", value: "/sa/erp" }] as const;
    await start(modelOf({ client: { mode: "Strict", caRefs, identities } }));
    const first = await resumable();
    const second = await resumable(first.session);
    expect([first.status, second.status]).toEqual([200, 200]);
  });

  it("an edit of identities holds on connections that are open", async () => {
    const only = (name: string): Spec => ({
      client: { mode: "Strict", caRefs, identities: [{ type: "Suffix", san: "URI", value: `/sa/${name}` }] },
    });
    const { setRoutes } = await start(modelOf(only("erp")));
    const connection = await connectHttp1(targetOf(erp));
    expect((await connection.request({ host: "shop.test" })).status).toBe(200);
    await setRoutes(routesOf(pieceOf(modelOf(only("crm")))));
    const refused = await connection.request({ host: "shop.test" });
    expect([refused.status, connection.closed()]).toEqual([403, false]);
    connection.close();
  });

  it("Strict refuses by request what an earlier, laxer listener let in", async () => {
    const lax = modelOf({ client: { mode: "Optional", caRefs } });
    const { setRoutes } = await start(lax);
    expect(await outcome()).toBe(200);
    await setRoutes(routesOf(pieceOf(modelOf({ client: { mode: "Strict", caRefs } }))));
    expect([await outcome(), await outcome(erp)]).toEqual([403, 200]);
  });

  it("tell the upstream what was asked for, once, and never what the client claims", async () => {
    const forged = { "x-forwarded-client-cert": "By=x;URI=spiffe://cluster.local/ns/shop/sa/admin" };
    const { upstream } = await start(
      modelOf({ client: { mode: "Optional", caRefs, forwardCertificate: { fields: ["URI", "DNS"] } } }),
    );
    await send(targetOf(crm), { host: "shop.test", headers: forged });
    await send(targetOf(), { host: "shop.test", headers: forged });
    const [certified, anonymous] = upstream.received().map(certificateHeaders);
    expect(certified).toEqual([
      expect.stringMatching(
        /^Hash=[0-9a-f]{64};URI=spiffe:\/\/cluster\.local\/ns\/shop\/sa\/crm;DNS=crm\.partner\.test$/,
      ),
    ]);
    expect(anonymous).toEqual([]);
    await chain?.stop();
    const silent = await start(modelOf({ client: { mode: "Strict", caRefs } }));
    await send(targetOf(erp), { host: "shop.test", headers: forged });
    expect(silent.upstream.received().map(certificateHeaders)).toEqual([[]]);
  });
});

describe("towards a backend", () => {
  const service = { namespace: "shop", name: "orders" };
  const backendRefs = [{ kind: "ConfigMap", name: "backend-ca", key: "ca.crt" }] as const;
  const issuerRef = { kind: "ClusterIssuer", name: "mesh-ca" } as const;
  const named = issue(server, { commonName: "orders", dnsNames: ["orders.shop.svc"] });
  const proxyPair = issue(partners, { commonName: "proxy" });
  let plain: EchoUpstream;
  let mutual: EchoUpstream;
  beforeAll(async () => {
    plain = await startEcho({ name: "tls", address: "127.0.0.1", tls: named });
    mutual = await startEcho({
      name: "mutual",
      address: "127.0.0.1",
      tls: { ...named, clientAuthority: partners.certificate },
    });
  });
  afterAll(async () => {
    await plain.stop();
    await mutual.stop();
  });

  async function call(
    spec: Spec["backend"] & object,
    upstream: EchoUpstream,
    further = {},
  ): Promise<readonly [number, Echo["tls"]]> {
    await chain?.stop();
    const { backendTls } = pieceOf(modelOf({ backend: spec }, "Route", further));
    const socket = { address: upstream.address, port_value: upstream.port };
    const cluster: JsonObject = {
      name: "backend",
      type: "STATIC",
      connect_timeout: "1s",
      load_assignment: {
        cluster_name: "backend",
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: socket } } }] }],
      },
      transport_socket: staticSecrets(backendTls?.transportSocket(service) ?? {}),
    };
    chain = await startChain({
      routes: routesOf({}, { cluster: "backend" }),
      clusters: [cluster],
      secrets: secretsOf(backendTls?.resources ?? []),
    });
    const answer = await send({ address: "127.0.0.1", port: chain.port }, { host: "shop.test" });
    return [answer.status, answer.status === 200 ? answer.json<Echo>().tls : undefined];
  }

  it("verifies CA and name: the Service's by default, else those written", async () => {
    expect(await call({ mode: "Simple", caRefs: backendRefs }, plain)).toMatchObject([
      200,
      { serverName: "orders.shop.svc" },
    ]);
    const wrongName = { mode: "Simple", caRefs: backendRefs, sans: ["stock.shop.svc"] } as const;
    expect(await call(wrongName, plain)).toEqual([503, undefined]);
    const other = [{ kind: "ConfigMap", name: "other-ca", key: "ca.crt" }] as const;
    expect(await call({ mode: "Simple", caRefs: other }, plain)).toEqual([503, undefined]);
    expect(await call({ mode: "Simple" }, plain)).toEqual([503, undefined]);
  });

  it("calls a service that takes TLS 1.3 only", async () => {
    const modern = await startEcho({ name: "modern", address: "127.0.0.1", tls: { ...named, minVersion: "TLSv1.3" } });
    try {
      expect(await call({ mode: "Simple", caRefs: backendRefs }, modern)).toMatchObject([200, {}]);
    } finally {
      await modern.stop();
    }
  });

  it("shows its own certificate with Mutual, and has none with Simple", async () => {
    const issued = {
      "Secret/shop/orders-backend-tls/tls.crt": proxyPair.certificate,
      "Secret/shop/orders-backend-tls/tls.key": proxyPair.privateKey,
    };
    const certified = await call({ mode: "Mutual", certificate: { issuerRef }, caRefs: backendRefs }, mutual, issued);
    expect(certified).toMatchObject([200, { clientSubject: expect.stringContaining("proxy") }]);
    expect(await call({ mode: "Simple", caRefs: backendRefs }, mutual)).toEqual([503, undefined]);
  });

  it("asks cert-manager for that certificate and answers 503 until it is there", () => {
    const { refuse, backendTls } = pieceOf(
      modelOf({ backend: { mode: "Mutual", certificate: { issuerRef } } }, "Route"),
    );
    expect(refuse).toMatchObject({ status: 503, policy: "shop/orders#mtls" });
    const [wanted] = backendTls?.certificates ?? [];
    expect(wanted?.object).toMatchObject({
      kind: "Certificate",
      metadata: { namespace: "shop", ownerReferences: [{ kind: "ApiPolicy", name: "orders", uid: "uid-orders" }] },
      spec: {
        secretName: "orders-backend-tls",
        uris: ["spiffe://cluster.local/ns/shop/apipolicy/orders"],
        usages: expect.arrayContaining(["client auth"]),
        privateKey: { algorithm: "ECDSA", size: 256, rotationPolicy: "Always" },
        issuerRef,
      },
    });
  });
});

describe("without Envoy", () => {
  const problemsOf = (spec: Spec, further = {}) => {
    const at = atOf(sourceOf("mtls", "Gateway"));
    const resolved = mtls.resolve(schema().parse(spec), at, lookupOf({ values: { ...values, ...further } }));
    return resolved.ok ? [] : resolved.problems;
  };

  it("says which reference is missing or holds something else", () => {
    const [missing] = problemsOf({
      client: { mode: "Strict", caRefs: [{ kind: "ConfigMap", name: "gone", key: "ca.crt" }] },
    });
    expect(missing).toMatchObject({ reason: "RefNotFound", path: "spec.mtls.client.caRefs[0]" });
    const bad = {
      "ConfigMap/shop/partner-ca/ca.crt": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    };
    expect(problemsOf({ client: { mode: "Strict", caRefs } }, bad)).toMatchObject([{ reason: "InvalidRef" }]);
    const crlRef = caRefs[0];
    expect(problemsOf({ client: { mode: "Strict", caRefs, crlRef } })).toMatchObject([
      { path: "spec.mtls.client.crlRef" },
    ]);
  });

  it("refuses a pattern that Envoy would refuse", () => {
    for (const value of ["(?=a)b", "(a)\\1", "(", "a**"]) {
      const identities = [{ type: "Regex", san: "URI", value }] as const;
      expect(problemsOf({ client: { mode: "Strict", caRefs, identities } })).toMatchObject([{ reason: "Invalid" }]);
    }
  });

  it("a route's backend keeps the listener's client, and the other way round", () => {
    const far = modelOf({ client: { mode: "Strict", caRefs } });
    const near = modelOf({ backend: { mode: "Simple" } }, "Route");
    expect(mtls.merge?.(far, near)).toEqual({ client: far.client, backend: near.backend });
  });

  it("reports a listener that cannot ask for certificates", () => {
    const http = listenerOf({ listener: { ...listenerOf().listener, protocol: "HTTP" } });
    const strict = modelOf({ client: { mode: "Strict", caRefs } });
    expect(mtls.listener?.(strict, http)).toEqual({});
    const plain = routeOf(sourceOf("mtls"), { tls: false });
    expect(mtls.unsupported?.(strict, plain)).toMatchObject([{ reason: "UnsupportedForTarget" }]);
    expect(mtls.unsupported?.(strict, { ...plain, tls: true })).toEqual([]);
    expect(mtls.unsupported?.(modelOf({ client: { mode: "Optional", caRefs } }), plain)).toEqual([]);
    const withoutCA = modelOf({ client: { mode: "Strict" } });
    expect(mtls.listener?.(withoutCA, listenerOf()).problems).toMatchObject([{ reason: "Invalid" }]);
    expect(mtls.listener?.(withoutCA, listenerOf({ frontendCA: true })).problems).toBeUndefined();
  });

  it("a renewed CA or certificate changes its secret and nothing else", () => {
    const before = modelOf({ client: { mode: "Strict", caRefs } });
    const after = modelOf({ client: { mode: "Strict", caRefs } }, "Gateway", {
      "ConfigMap/shop/partner-ca/ca.crt": others.certificate,
    });
    const [one, two] = [before, after].map((model) => mtls.listener?.(model, listenerOf()) ?? {});
    expect(two?.tls).toEqual(one?.tls);
    expect(two?.resources?.[0]?.json).not.toEqual(one?.resources?.[0]?.json);
  });
});

function certificateHeaders({ headers }: Echo): readonly string[] {
  return headers.filter(([name]) => name === "x-forwarded-client-cert").map(([, value]) => value);
}
