/** Tokens and client certificates that are an ApiConsumer: the upstream and limits know it, and a suspended one is refused on open connections. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, type RequestSpec, send } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import type { Target } from "../client/target.ts";
import { eventually } from "../cluster/condition.ts";
import { createAuthority } from "../cluster/pki.ts";
import type { KubeObject } from "../harness/api.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { claimsFor, createSigner, keySet } from "../material/jwt.ts";
import { bearer, tokensOf, upstreamValues, verdictOf } from "./authentication-manifest.ts";
import { apiPolicy } from "./policies-manifest.ts";
import { enforceSections, hostRoute, untilVerdict } from "./sections-manifest.ts";
import { clientPair, clientTls, httpsListener, serverSecret } from "./tls-manifest.ts";

const ISSUER = "https://sso.corp.test/realms/main";
const SUSPENDED = "403 GW-AUTHN-006";
const LIMITED = "429 GW-RATE-001";
const SUSPENSION_LIMIT_MS = 2_000;
const SPIFFE = "spiffe://cluster.local/ns/shop/sa";

describe("consumers without a key", () => {
  const signer = createSigner("ES256");
  const [servers, partners] = [createAuthority("servers"), createAuthority("partners")];
  const tokens = tokensOf(ISSUER, { jwks: { type: "Inline", inline: keySet(signer) }, consumerHeader: "x-consumer" });
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("known");
    await shop.upstream("orders");
    await serverSecret(shop, "server", servers, ["cert.test"]);
    await shop.configMap("partner-ca", { "ca.crt": partners.certificate });
    edge = await shop.gateway({
      listeners: [{ name: "http", port: 8080, protocol: "HTTP" }, httpsListener("https", 8443, "cert.test", "server")],
    });
    await shop.enforce([
      apiPolicy(
        "client",
        { kind: "Gateway", name: "edge", sectionName: "https" },
        { mtls: { client: { mode: "Optional", caRefs: [{ kind: "ConfigMap", name: "partner-ca", key: "ca.crt" }] } } },
      ),
      consumerOf("erp", "erp"),
      consumerOf("crm", "crm", { labels: { plan: "free" } }),
      hostRoute("cert", { parentRefs: [{ name: "edge", sectionName: "https" }] }),
      apiPolicy(
        "cert",
        { kind: "HTTPRoute", name: "cert" },
        {
          authentication: {
            clientCertificate: {
              identities: [{ type: "Prefix", san: "URI", value: `${SPIFFE}/` }],
              consumerHeader: "x-consumer",
            },
          },
        },
      ),
    ]);
    await enforceSections(shop, "token", { authentication: tokens });
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const tokenOf = (client: string) => bearer(signer.token(claimsFor(ISSUER, "shop", { azp: client })));
  const request = (client: string, host = "token.test"): RequestSpec => ({ host, headers: tokenOf(client) });
  const certificate = (account: string): Target =>
    edge.target({
      port: 8443,
      tls: clientTls("cert.test", servers, clientPair(partners, { uris: [`${SPIFFE}/${account}`] })),
    });
  /** Over one HTTP/1 and one HTTP/2 connection that stay open. */
  const openConnections = async (target: Target) => {
    const [http1, http2] = [await connectHttp1(target), await connectHttp2(target)];
    return {
      become: (spec: RequestSpec, expected: string, limitMs: number): Promise<boolean> =>
        eventually(
          expected,
          async () => {
            const found = (await Promise.all([http1.request(spec), http2.request(spec)])).map(verdictOf);
            if (found.some((verdict) => verdict !== expected)) throw new Error(found.join());
            return true;
          },
          { limitMs },
        ),
      close: (): readonly boolean[] => {
        const closed = [http1.closed(), http2.closed()];
        http1.close();
        http2.close();
        return closed;
      },
    };
  };

  it("are told to the upstream, in the policy's header and never in the client's", async () => {
    await untilVerdict(edge.target(), request("erp"), "200");
    for (const [client, expected] of [
      ["erp", ["erp"]],
      ["crm", ["crm"]],
      ["stranger", []],
    ] as const) {
      const headers = { ...tokenOf(client), "x-consumer": "forged" };
      const answer = await send(edge.target(), { ...request(client), headers });
      expect([client, upstreamValues(answer, "x-consumer")]).toEqual([client, expected]);
    }
    for (const [account, expected] of [
      ["erp", ["erp"]],
      ["erp2", []],
    ] as const) {
      const answer = await send(certificate(account), { host: "cert.test" });
      expect([account, upstreamValues(answer, "x-consumer")]).toEqual([account, expected]);
    }
    expect(
      verdictOf(await send(edge.target({ port: 8443, tls: clientTls("cert.test", servers) }), { host: "cert.test" })),
    ).toBe("401 GW-AUTHN-001");
  });

  it("are counted by limits, each for itself, and chosen by selectors", async () => {
    const limit = { requests: 2, per: "1h" };
    await enforceSections(shop, "limited", {
      authentication: tokens,
      rateLimit: { limits: [{ name: "each", ...limit, by: [{ type: "Consumer" }] }] },
    });
    await enforceSections(shop, "chosen", {
      authentication: tokens,
      rateLimit: {
        limits: [{ name: "free", ...limit, match: { consumerSelector: { matchLabels: { plan: "free" } } } }],
      },
    });
    const calls = async (client: string, host: string, count = 3): Promise<readonly string[]> => {
      const found: string[] = [];
      for (let call = 0; call < count; call += 1)
        found.push(verdictOf(await send(edge.target(), request(client, host))));
      return found;
    };
    const twice = ["200", "200", LIMITED];
    expect(await calls("erp", "limited.test")).toEqual(twice);
    expect(await calls("crm", "limited.test")).toEqual(twice);
    // Nobody's tokens share one bucket.
    expect([...(await calls("one", "limited.test", 2)), ...(await calls("two", "limited.test", 1))]).toEqual(twice);
    expect(await calls("crm", "chosen.test")).toEqual(twice);
    expect(await calls("erp", "chosen.test")).toEqual(["200", "200", "200"]);
  });

  it("are refused within 2 s while they are suspended, on open connections", async () => {
    const byToken = await openConnections(edge.target());
    const byCertificate = await openConnections(certificate("erp"));
    const onCert = { host: "cert.test" };
    await byToken.become(request("erp"), "200", SUSPENSION_LIMIT_MS);
    await byCertificate.become(onCert, "200", SUSPENSION_LIMIT_MS);
    await shop.apply(consumerOf("erp", "erp", { spec: { suspended: true } }));
    await byToken.become(request("erp"), SUSPENDED, SUSPENSION_LIMIT_MS);
    await byCertificate.become(onCert, SUSPENDED, SUSPENSION_LIMIT_MS);
    await byToken.become(request("crm"), "200", SUSPENSION_LIMIT_MS);
    await eventually(
      "the status",
      async () => (await states("erp")).join() === "jwt[0] Suspended,identities[0] Suspended",
    );
    // A consumer that cannot be read is as good as suspended.
    await shop.apply(consumerOf("erp", "erp", { spec: { colour: "blue" } }));
    await shop.waitFor("ApiConsumer", "erp", "Accepted", { status: "False", reason: "Invalid" });
    await byToken.become(request("erp"), SUSPENDED, SUSPENSION_LIMIT_MS);
    await shop.remove("ApiConsumer", "erp"); // an applied field that is left out would stay
    await shop.apply(consumerOf("erp", "erp"));
    await byToken.become(request("erp"), "200", SUSPENSION_LIMIT_MS);
    await byCertificate.become(onCert, "200", SUSPENSION_LIMIT_MS);
    expect([...byToken.close(), ...byCertificate.close()]).toEqual([false, false, false, false]);
  });

  it("claim a token or certificate once: the older keeps it, the newer takes over when that one is gone", async () => {
    await shop.apply(consumerOf("elder", "shared"));
    await shop.waitFor("ApiConsumer", "elder", "Ready");
    await eventually("another second", () => Date.now() % 1_000 > 900);
    await eventually("another second", () => Date.now() % 1_000 < 500);
    await shop.apply(consumerOf("younger", "shared"));
    const conflict = await shop.waitFor("ApiConsumer", "younger", "Accepted", {
      status: "False",
      reason: "Conflicted",
    });
    expect(conflict.message).toMatch(/elder/);
    expect(await states("younger")).toEqual(["jwt[0] Conflicted", "identities[0] Conflicted"]);
    const whose = async (): Promise<readonly (readonly string[])[]> => [
      upstreamValues(await send(edge.target(), request("shared")), "x-consumer"),
      upstreamValues(await send(certificate("shared"), { host: "cert.test" }), "x-consumer"),
    ];
    expect(await whose()).toEqual([["elder"], ["elder"]]);
    await shop.remove("ApiConsumer", "elder");
    await eventually("the younger has it", async () => JSON.stringify(await whose()) === '[["younger"],["younger"]]');
    await shop.waitFor("ApiConsumer", "younger", "Ready");
  });

  it("have a status that says whether proxies know them", async () => {
    await shop.waitFor("ApiConsumer", "crm", "Programmed");
    await shop.waitFor("ApiConsumer", "crm", "Ready");
    expect(await states("crm")).toEqual(["jwt[0] Active", "identities[0] Active"]);
  });

  const states = async (name: string): Promise<readonly string[]> => {
    const { credentials = [] } = ((await shop.get("ApiConsumer", name))?.status ?? {}) as {
      readonly credentials?: readonly { readonly name: string; readonly state: string }[];
    };
    return credentials.map((one) => `${one.name} ${one.state}`);
  };
});

/** A consumer that is the client `client` of the issuer, and its service account. */
function consumerOf(
  name: string,
  client: string,
  more: { readonly labels?: Readonly<Record<string, string>>; readonly spec?: object } = {},
): KubeObject {
  return {
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiConsumer",
    metadata: { name, ...(more.labels === undefined ? {} : { labels: more.labels }) },
    spec: {
      jwt: [{ issuer: ISSUER, claim: "azp", value: client }],
      identities: [{ type: "Exact", san: "URI", value: `${SPIFFE}/${client}` }],
      ...more.spec,
    },
  };
}
