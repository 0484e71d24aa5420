/** References to Secrets and ConfigMaps: what is missing, what may not be read, and that mending it is enough. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { conditionsOf } from "../harness/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import { OPERATOR_ACCOUNT, OPERATOR_NAMESPACE } from "../harness/installation.ts";
import { type GatewayHandle, secretsBinding, type Tenant } from "../harness/tenant.ts";
import { claimsFor, createSigner, keySet } from "../material/jwt.ts";
import { basicCredential, bearer, guarded, hmacToken, verdictOf } from "./authentication-manifest.ts";
import { addConsumer, consumerOf } from "./policies-manifest.ts";
import { startTraffic } from "./robust-observed.ts";

const ISSUER = "https://sso.corp.test";
const CLOSED = "503 GW-POLICY-002";
const REFUSED = "401 GW-AUTHN-002";

describe("references", () => {
  const signer = createSigner("ES256");
  const shared = Buffer.from("an-hmac-secret-of-thirty-two-bytes");
  const symmetric = JSON.stringify({ keys: [{ kty: "oct", k: shared.toString("base64url") }] });
  let harness: Harness;
  let shop: Tenant;
  let shy: Tenant;
  let edge: GatewayHandle;
  let shyEdge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("refs");
    shy = await harness.tenant("shy", { optIn: false });
    await Promise.all([shop.upstream("orders"), shy.upstream("orders")]);
    [edge, shyEdge] = [await shop.gateway(), await shy.gateway()];
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const jwt = (kind: string, name: string, key: string, more: object = {}) => ({
    jwt: [{ name: "corp", issuer: ISSUER, jwks: { type: "Ref", ref: { kind, name, key } }, ...more }],
  });
  const token = bearer(signer.token(claimsFor(ISSUER, "shop")));
  const hmac = bearer(hmacToken(shared, claimsFor(ISSUER, "shop")));
  const becomes = (
    gateway: GatewayHandle,
    name: string,
    headers: Readonly<Record<string, string>>,
    expected: string,
    limitMs = 10_000,
  ): Promise<boolean> =>
    eventually(
      `${expected} at ${name}`,
      async () => {
        const verdict = verdictOf(await send(gateway.target(), { host: `${name}.test`, headers }));
        if (verdict !== expected) throw new Error(verdict);
        return true;
      },
      { limitMs },
    );
  const generationOf = async (tenant: Tenant, name: string): Promise<unknown> =>
    (await tenant.get("ApiPolicy", name))?.metadata.generation;

  it("that lead nowhere close their own route; making the object is enough", async () => {
    await shop.apply([
      ...guarded("missing", jwt("ConfigMap", "late", "keys")),
      ...guarded("neighbour", { mode: "Public", reason: "a neighbour" }),
    ]);
    const { message } = await shop.waitFor("ApiPolicy", "missing", "ResolvedRefs", {
      status: "False",
      reason: "RefNotFound",
    });
    expect(message).toMatch(/spec\.authentication\.jwt\[0\]\.jwks\.ref.*late/s);
    await becomes(edge, "missing", token, CLOSED);
    const closed = await send(edge.target(), { host: "missing.test", headers: token });
    expect(closed.header("x-gatewarden-policy")).toBe(`${shop.namespace}/missing#authentication`);
    await becomes(edge, "neighbour", {}, "200");

    await shop.configMap("late", { other: keySet(signer) });
    const wrong = await shop.waitFor("ApiPolicy", "missing", "ResolvedRefs", { status: "False", reason: "InvalidRef" });
    expect(wrong.message).toMatch(/no key keys/);
    await shop.configMap("late", { keys: '{"keys":[]}' });
    await shop.waitFor("ApiPolicy", "missing", "ResolvedRefs", {
      status: "False",
      reason: "InvalidRef",
      message: /keys/,
    });
    expect(verdictOf(await send(edge.target(), { host: "missing.test", headers: token }))).toBe(CLOSED);
    await shop.configMap("late", { keys: keySet(signer) });
    await becomes(edge, "missing", token, "200");
    await shop.waitFor("ApiPolicy", "missing", "ResolvedRefs");
    await shop.waitFor("ApiPolicy", "missing", "Ready");
    await shop.remove("ConfigMap", "late");
    await becomes(edge, "missing", token, CLOSED);
    expect(await generationOf(shop, "missing")).toBe(1);
  });

  it("to Secrets need the namespace's consent; the message is the command that gives it, and no hint whether the Secret is there", async () => {
    const lines: string[] = [];
    await shy.apply(guarded("keyed", { apiKey: {} }));
    await addConsumer(shy, "erp", "k-shy");
    const consumer = await shy.waitFor("ApiConsumer", "erp", "ResolvedRefs", {
      status: "False",
      reason: "RefNotPermitted",
    });
    expect(consumer.message).toContain(`kubectl create rolebinding gatewarden-secrets --namespace ${shy.namespace}`);
    await becomes(shyEdge, "keyed", { "x-api-key": "k-shy" }, REFUSED);
    await shy.secret("there", { keys: symmetric });
    for (const name of ["there", "absent"]) {
      await shy.apply(guarded(name, jwt("Secret", name, "keys", { algorithms: ["HS256"] })));
      const { message } = await shy.waitFor("ApiPolicy", name, "ResolvedRefs", {
        status: "False",
        reason: "RefNotPermitted",
      });
      lines.push(message);
      await becomes(shyEdge, name, hmac, CLOSED);
    }
    const [line = "", other] = lines;
    expect(other).toBe(line);
    const command = /kubectl (create rolebinding [^\n;)]*)/.exec(line)?.[1] ?? "";
    expect(command).toContain(`--namespace ${shy.namespace}`);
    // A person pastes it; these are its words.
    await harness.cluster.kubectl(command.trim().split(" "));
    await becomes(shyEdge, "there", hmac, "200");
    await shy.waitFor("ApiPolicy", "there", "ResolvedRefs");
    await shy.waitFor("ApiPolicy", "absent", "ResolvedRefs", { status: "False", reason: "RefNotFound" });
    expect(await generationOf(shy, "there")).toBe(1);
    await becomes(shyEdge, "keyed", { "x-api-key": "k-shy" }, "200");
    await shy.waitFor("ApiConsumer", "erp", "ResolvedRefs");
  });

  it("end within seconds of the consent, on watches that run, and come back with it; others notice nothing", async () => {
    await shop.apply(guarded("steady", { apiKey: {} }));
    await addConsumer(shop, "steady", "k-steady");
    await becomes(edge, "steady", { "x-api-key": "k-steady" }, "200");
    const running = await startTraffic(harness, edge.target(), [
      { host: "steady.test", headers: { "x-api-key": "k-steady" } },
    ]);
    await shy.remove("RoleBinding", "gatewarden-secrets");
    await becomes(shyEdge, "there", hmac, CLOSED);
    await becomes(shyEdge, "keyed", { "x-api-key": "k-shy" }, REFUSED);
    await shy.waitFor("ApiPolicy", "there", "ResolvedRefs", { status: "False", reason: "RefNotPermitted" });
    await shy.waitFor("ApiConsumer", "erp", "ResolvedRefs", { status: "False", reason: "RefNotPermitted" });
    await shy.apply(secretsBinding(shy.namespace));
    await becomes(shyEdge, "there", hmac, "200");
    await becomes(shyEdge, "keyed", { "x-api-key": "k-shy" }, "200");
    expect((await running.stop()).failures).toEqual([]);
  });

  it("are worth nothing to an operator that starts when the consent is withdrawn", async () => {
    await shy.remove("RoleBinding", "gatewarden-secrets");
    const account = `system:serviceaccount:${OPERATOR_NAMESPACE}:${OPERATOR_ACCOUNT}`;
    const question = ["auth", "can-i", "get", "secrets", "--namespace", shy.namespace, `--as=${account}`];
    await eventually("the right gone", () =>
      harness.cluster.kubectl(question).then(
        () => false,
        () => true,
      ),
    );
    await harness.operator.stop();
    await harness.operator.start();
    await becomes(shyEdge, "there", hmac, CLOSED);
    await becomes(shyEdge, "keyed", { "x-api-key": "k-shy" }, REFUSED);
    await shy.waitFor("ApiPolicy", "there", "ResolvedRefs", { status: "False", reason: "RefNotPermitted" });
    await shy.waitFor("ApiConsumer", "erp", "ResolvedRefs", { status: "False", reason: "RefNotPermitted" });
  });

  it("never reach into another namespace", async () => {
    const foreign = { kind: "ConfigMap", name: "late", key: "keys", namespace: shop.namespace };
    const policy = guarded("reaching", {
      jwt: [{ name: "corp", issuer: ISSUER, jwks: { type: "Ref", ref: foreign } }],
    });
    // There is no such field; the server keeps what it does not know, and that closes the route.
    await shy.apply(policy);
    await shy.waitFor("ApiPolicy", "reaching", "Accepted", {
      status: "False",
      reason: "Invalid",
      message: /namespace/,
    });
    await becomes(shyEdge, "reaching", token, CLOSED);
  });

  it("of one consumer that cannot be read leave its other credentials and all other consumers alone", async () => {
    await shop.apply(guarded("mixed", { apiKey: {}, basic: {} }));
    await addConsumer(shop, "whole", "k-whole");
    await shop.secret("half-key", { "api-key": "k-half", password: "half's" });
    const key = (name: string, secret: string) => ({ name, secretRef: { name: secret, key: "api-key" } });
    const basic = { secretRef: { name: "half-key", key: "password" } };
    await shop.apply(consumerOf("half", { apiKeys: [key("k1", "half-key"), key("k2", "half-lost")], basic }));
    const { message } = await shop.waitFor("ApiConsumer", "half", "ResolvedRefs", {
      status: "False",
      reason: "RefNotFound",
    });
    expect(message).toMatch(/half-lost/);
    expect(message).not.toMatch(/k-half|half's/);
    await becomes(edge, "mixed", { "x-api-key": "k-half" }, "200");
    await becomes(edge, "mixed", basicCredential("half", "half's"), "200");
    await becomes(edge, "mixed", { "x-api-key": "k-whole" }, "200");
    await shop.secret("half-lost", { "api-key": "k-found" });
    await becomes(edge, "mixed", { "x-api-key": "k-found" }, "200");
    const resolved = await shop.waitFor("ApiConsumer", "half", "ResolvedRefs");
    expect([resolved.status, conditionsOf(await shop.get("ApiConsumer", "half")).length > 0]).toEqual(["True", true]);
  });
});
