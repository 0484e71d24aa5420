/**
 * Canaries (rules R43): every kind of secret that passes through the product is a text that stands nowhere else, and is then looked for in
 * everything that people, collectors and support bundles read.
 */
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type RequestSpec, send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { upstreamAddress } from "../cluster/netns.ts";
import { gatewarden } from "../harness/gatewarden.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import { OPERATOR_NAMESPACE } from "../harness/installation.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { startIssuer } from "../material/issuer.ts";
import { claimsFor, createSigner } from "../material/jwt.ts";
import { basicCredential, bearer, guarded, hmacToken, verdictOf } from "./authentication-manifest.ts";
import { apiPolicy, consumerOf } from "./policies-manifest.ts";
import { httpRoute, rule } from "./routes-manifest.ts";

const LOG_FILE = "canary-calls.jsonl";
const ISSUER = "https://sso.corp.test";
const SHORTEST = 12;

function canary(kind: string): string {
  return `${kind}-${randomBytes(12).toString("hex")}`;
}

describe("secrets", () => {
  const signer = createSigner("ES256");
  /** Secrets that the cluster holds. */
  const kept = {
    key: canary("key"),
    "expired key": canary("expired"),
    "shared key": canary("shared"),
    "key that cannot be used": `${canary("odd")} ${canary("odder")}`,
    password: canary("password"),
    "HMAC key": canary("hmac-key-of-more-than-32-bytes"),
    "removed key": canary("removed"),
  } as const;
  /** What only clients send. */
  const sent = {
    "guessed key": canary("guess"),
    "guessed password": canary("guess"),
    "key in a query": canary("query"),
    "key in a cookie": canary("cookie"),
    token: signer.token(claimsFor(ISSUER, "shop", { secret: canary("claim") })),
    "refused token": signer.token(claimsFor(ISSUER, "bank", { secret: canary("claim") })),
    "amazon token": canary("amazon"),
    "upstream cookie": canary("upstream"),
  } as const;
  const privateMembers = signer.privateKey.export({ format: "jwk" });
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  /** Whose private keys are in the cluster. */
  let servingKey: string;

  beforeAll(async () => {
    harness = await startHarness({ operatorFlags: ["--log-level", "debug"] });
    shop = await harness.tenant("canary");
    await shop.upstream("orders");
    const https = {
      name: "tls",
      port: 8443,
      protocol: "HTTPS",
      hostname: "tls.test",
      tls: { certificateRefs: [{ name: "tls" }] },
    };
    const issuerRef = { kind: "ClusterIssuer", name: "gatewarden-ca" };
    await shop.apply(
      apiPolicy(
        "tls",
        { kind: "Gateway", name: "edge", sectionName: "tls" },
        { transport: { certificate: { issuerRef } } },
      ),
    );
    edge = await shop.gateway({ listeners: [{ name: "http", port: 8080, protocol: "HTTP" }, https] });
    await shop.secret("keys", {
      ...keysOf(kept),
      password: kept.password,
      removed: kept["removed key"],
      hmac: symmetric("1"),
    });
    const apiKey = (name: string, more: object = {}) => ({ name, secretRef: { name: "keys", key: name }, ...more });
    const basic = { secretRef: { name: "keys", key: "password" } };
    const expiresAt = "2026-01-01T00:00:00Z";
    const keys = [apiKey("key"), apiKey("expired", { expiresAt }), apiKey("shared"), apiKey("odd")];
    await shop.apply([
      consumerOf("erp", { apiKeys: [...keys, apiKey("removed")], basic }),
      consumerOf("twin", { apiKeys: [apiKey("shared")] }),
    ]);
    // An issuer that publishes more than it should.
    const careless = JSON.stringify({ keys: [{ ...signer.jwk, ...privateMembers }] });
    const issuer = await startIssuer({ authority: harness.authority, address: upstreamAddress(), jwks: careless });
    harness.atEnd(issuer.stop);
    await shop.configMap("careless", { jwks: careless });
    const from = { headers: ["x-api-key"], params: ["key"], cookies: ["sid"] };
    const hs = { algorithms: ["HS256"], jwks: { type: "Ref", ref: { kind: "Secret", name: "keys", key: "hmac" } } };
    await shop.enforce([
      ...guarded("all", {
        jwt: [
          {
            name: "careless",
            issuer: ISSUER,
            audiences: ["shop"],
            jwks: { type: "Ref", ref: { kind: "ConfigMap", name: "careless", key: "jwks" } },
          },
          { name: "hs", issuer: "https://hs.test", ...hs },
          { name: "fetched", issuer: issuer.issuer },
        ],
        apiKey: { from, consumerHeader: "x-consumer" },
        basic: {},
      }),
      httpRoute("tls", {
        hostnames: ["tls.test"],
        parentRefs: [{ name: "edge", sectionName: "tls" }],
        rules: [rule("orders")],
      }),
      apiPolicy(
        "log",
        { kind: "Gateway", name: "edge" },
        {
          logging: {
            sinks: [
              { name: "calls", type: "File", file: { name: LOG_FILE } },
              { name: "out", type: "Stdout" },
            ],
            headers: ["authorization", "cookie", "x-api-key", "x-amz-security-token", "x-plain"],
          },
        },
      ),
    ]);
    await eventually("the keys of the fetched issuer", async () => {
      const headers = bearer(signer.token(claimsFor(issuer.issuer, "shop")));
      return (await send(edge.target(), { host: "all.test", headers })).status === 200;
    });
    servingKey = await secretValue(shop.namespace, "tls", "tls.key");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  function keysOf(values: typeof kept): Readonly<Record<string, string>> {
    const { key, "expired key": expired, "shared key": shared, "key that cannot be used": odd } = values;
    return { key, expired, shared, odd };
  }

  function symmetric(kid: string): string {
    return JSON.stringify({ keys: [{ kty: "oct", kid, k: Buffer.from(kept["HMAC key"]).toString("base64url") }] });
  }

  async function secretValue(namespace: string, name: string, key: string): Promise<string> {
    const secret = await harness.api.get({ kind: "Secret", name, namespace });
    const data = (secret?.["data"] ?? {}) as Readonly<Record<string, string>>;
    return Buffer.from(data[key] ?? "", "base64").toString("utf8");
  }

  /** Calls with every credential, good and bad; returns what they came to. */
  const callAll = async (): Promise<Readonly<Record<string, string>>> => {
    const call = (headers: NonNullable<RequestSpec["headers"]>, path = "/"): RequestSpec => ({
      host: "all.test",
      path,
      headers,
    });
    const calls: Readonly<Record<string, RequestSpec>> = {
      key: call({ "x-api-key": kept.key }),
      "expired key": call({ "x-api-key": kept["expired key"] }),
      "shared key": call({ "x-api-key": kept["shared key"] }),
      "guessed key": call({ "x-api-key": sent["guessed key"] }),
      "key in a query": call({}, `/a?key=${sent["key in a query"]}`),
      "good key in a query": call({}, `/a?key=${kept.key}`),
      "key in a cookie": call({ cookie: `sid=${sent["key in a cookie"]}` }),
      password: call(basicCredential("erp", kept.password)),
      "guessed password": call(basicCredential("erp", sent["guessed password"])),
      token: call(bearer(sent.token)),
      "refused token": call(bearer(sent["refused token"])),
      "HMAC token": call(bearer(hmacToken(Buffer.from(kept["HMAC key"]), claimsFor("https://hs.test", "shop")))),
      "amazon token": call({ "x-api-key": kept.key, "x-amz-security-token": sent["amazon token"], "x-plain": "seen" }),
      "upstream cookie": call({ "x-api-key": kept.key }, `/?echo-header=set-cookie:a=${sent["upstream cookie"]}`),
      "no route": { host: "nowhere.test", path: `/?key=${sent["key in a query"]}`, headers: bearer(sent.token) },
    };
    const verdicts: Record<string, string> = {};
    for (const [name, request] of Object.entries(calls)) verdicts[name] = verdictOf(await send(edge.target(), request));
    return verdicts;
  };

  /** The forms of a secret that still are that secret. */
  const formsOf = (secret: string): readonly string[] => {
    const bytes = Buffer.from(secret);
    return [
      secret,
      bytes.toString("base64"),
      bytes.toString("base64url"),
      bytes.toString("hex"),
      encodeURIComponent(secret),
      createHash("sha1").update(bytes).digest("base64"),
      // Also when it stands behind something, as in `erp:password`.
      ...[1, 2].map((shift) =>
        Buffer.concat([Buffer.alloc(shift), bytes])
          .toString("base64")
          .slice(4, -4),
      ),
    ];
  };
  const found = (text: string, secrets: Readonly<Record<string, string>>): readonly string[] =>
    Object.entries(secrets)
      .filter(([, secret]) => secret.length >= SHORTEST)
      .filter(([, secret]) => formsOf(secret).some((form) => text.includes(form)))
      .map(([name]) => name);
  const stored = () => {
    const lines = servingKey.split("\n").filter((line) => line.length >= SHORTEST && !line.startsWith("-----"));
    return { ...kept, "private member of a JWK": privateMembers.d ?? "", "serving key": lines[1] ?? lines[0] ?? "" };
  };
  const all = () => ({ ...stored(), ...sent });

  it("are told from each other by what they open", async () => {
    expect(await callAll()).toEqual({
      key: "200",
      "expired key": "401 GW-AUTHN-002",
      "shared key": "200",
      "guessed key": "401 GW-AUTHN-002",
      "key in a query": "401 GW-AUTHN-002",
      "good key in a query": "200",
      "key in a cookie": "401 GW-AUTHN-002",
      password: "200",
      "guessed password": "401 GW-AUTHN-002",
      token: "200",
      "refused token": "401 GW-AUTHN-002",
      "HMAC token": "200",
      "amazon token": "200",
      "upstream cookie": "200",
      "no route": "404 GW-ROUTE-001",
    });
    expect(Object.values(stored()).every((secret) => secret.length >= SHORTEST)).toBe(true);
  });

  it("are found where they are: the search itself works", async () => {
    const secret = JSON.stringify(await harness.api.get({ kind: "Secret", name: "keys", namespace: shop.namespace }));
    expect(found(secret, kept)).toEqual(expect.arrayContaining(["key", "expired key", "password", "removed key"]));
    expect(found(JSON.stringify(basicCredential("erp", kept.password)), kept)).toEqual(["password"]);
  });

  it("do not stand in the operator's log, also at debug, nor in its endpoints", async () => {
    await shop.apply(consumerOf("broken", { apiKeys: [{ name: "k", secretRef: { name: "keys", key: "odd" } }] }));
    await shop.waitFor("ApiConsumer", "broken", "ResolvedRefs", { status: "False" });
    expect(harness.operator.log()).not.toBe("");
    expect(found(harness.operator.log(), all())).toEqual([]);
    for (const path of ["/metrics", "/healthz", "/readyz", "/", "/debug", "/debug/pprof", "/config"]) {
      const { body } = await harness.operator.endpoint(path).catch(() => ({ body: "" }));
      expect([path, found(body, all())]).toEqual([path, []]);
    }
  });

  it("do not stand in any object but the Secrets, statuses and events among them", async () => {
    const kinds = [
      "ApiPolicy",
      "ApiConsumer",
      "Gateway",
      "HTTPRoute",
      "Event",
      "Certificate",
      "CertificateRequest",
      "ServiceAccount",
    ];
    for (const namespace of [shop.namespace, OPERATOR_NAMESPACE]) {
      for (const kind of [...kinds, "Lease"]) {
        expect([kind, found(JSON.stringify(await harness.api.list(kind, namespace)), all())]).toEqual([kind, []]);
      }
    }
    // What an issuer published of its private keys is not kept.
    const maps = await eventually("the fetched keys in the store", async () => {
      const text = JSON.stringify(await harness.api.list("ConfigMap", OPERATOR_NAMESPACE));
      return text.includes(signer.jwk.x ?? "no key") ? text : undefined;
    });
    expect(found(maps, all())).toEqual([]);
    const twin = JSON.stringify((await shop.get("ApiConsumer", "twin"))?.status);
    expect(twin).toMatch(/Conflicted/);
  });

  it("do not stand in the access log, which masks what a policy asks for", async () => {
    await callAll();
    const file = join(harness.logDirectory, LOG_FILE);
    await send(edge.target(), { host: "all.test", path: "/the-last" });
    const text = await eventually("the last call", () => {
      const log = readFileSync(file, "utf8");
      return log.includes("/the-last") ? log : undefined;
    });
    expect(text).toContain('"seen"');
    expect(found(text, all())).toEqual([]);
    expect(found(edge.envoy.log(), all())).toEqual([]);
  });

  it("do not stand in what Envoy's administration interface shows, but keys for HS*", async () => {
    const configuration = ["/config_dump?include_eds", "/config_dump?resource=ecds_filters"];
    for (const path of configuration) {
      // Envoy marks no key set as secret. That is why there is no such interface unless somebody asks for it (below).
      expect([path, found(await edge.envoy.admin.get(path), all())]).toEqual([path, ["HMAC key"]]);
    }
    const statistics = ["/stats", "/stats/prometheus", "/clusters?format=json", "/listeners?format=json"];
    for (const path of [...statistics, "/certs", "/server_info", "/init_dump", "/runtime", "/memory"]) {
      expect([path, found(await edge.envoy.admin.get(path), all())]).toEqual([path, []]);
    }
  });

  it("are behind no administration interface that nobody asked for", async () => {
    const files = ["--token-file", "/dev/null", "--ca-file", join(harness.directory, "jwks-ca.crt")];
    const { stdout } = await gatewarden(["bootstrap", "--gateway", "a/b", "--xds-address", "127.0.0.1:1", ...files]);
    expect(JSON.parse(stdout)).not.toHaveProperty("admin");
    const open = gatewarden([
      "bootstrap",
      "--gateway",
      "a/b",
      "--xds-address",
      "127.0.0.1:1",
      ...files,
      "--admin",
      "0.0.0.0:9901",
    ]);
    await expect(open).rejects.toThrow(/loopback/);
  });

  it("do not stand in what Envoy logs at debug about its configuration, but keys for HS*", async () => {
    await edge.envoy.admin.post("/logging?level=debug");
    const before = edge.envoy.log().length;
    // Every resource with a secret in it comes anew.
    const fresh = `${kept.password}-2`;
    await shop.secret("keys", { ...keysOf(kept), password: fresh, removed: canary("late"), hmac: symmetric("2") });
    await eventually("the new password", async () => {
      const request = { host: "all.test", headers: basicCredential("erp", fresh) };
      return (await send(edge.target(), request)).status === 200;
    });
    await edge.envoy.admin.post("/logging?level=info");
    const log = edge.envoy.log().slice(before);
    expect(log).toMatch(/\[debug\]/);
    // Headers of calls are printed by Envoy itself at this level, and cannot be kept from it: only what was not sent counts.
    const { password: _, ...notSent } = stored();
    expect(found(log, notSent)).toEqual(["HMAC key"]);
  });

  it("do not lie about in files", () => {
    const leaks = readdirSync(harness.directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/token|kubeconfig/.test(entry.name))
      .flatMap((entry) => {
        const file = join(entry.parentPath, entry.name);
        return found(readFileSync(file, "utf8"), all()).map((name) => `${entry.name}: ${name}`);
      });
    expect(leaks).toEqual([]);
  });
});
