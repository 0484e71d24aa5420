/** What an ApiPolicy is told about itself: from the cause to the condition and back, and nothing that is not so. */
import { kill } from "node:process";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type RequestSpec, send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import { conditionsOf } from "../harness/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { addConsumer, API_KEY, apiPolicy, OPEN_TO_ALL, policyStatus } from "./policies-manifest.ts";
import { answering, httpRoute, rule, untilAnswered } from "./routes-manifest.ts";

const CONTROLLER = "gatewarden.io/gateway-controller";
const AFFECTED = "gatewarden.io/ApiPolicyAffected";
const KEY = { "x-api-key": "k-erp-1" };
const route = (name: string) => ({ kind: "HTTPRoute", name });

describe("the status of a policy", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("status");
    await shop.upstream("orders");
    edge = await shop.gateway({ proxies: 2 });
    await addConsumer(shop, "erp", "k-erp-1");
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const to = (name: string, more: Partial<RequestSpec> = {}): RequestSpec => ({ host: `${name}.test`, ...more });
  const answer = (request: RequestSpec) => answering(edge.target(), request);
  const addRoute = (name: string, tenant = shop, parentRefs: readonly object[] = [{ name: "edge" }]) =>
    tenant.apply(
      httpRoute(name, { hostnames: [`${name}.test`], parentRefs, rules: [{ name: "only", ...rule("orders") }] }),
    );

  it("is True only when it is in force: the first request after it obeys", async () => {
    await addRoute("truth");
    for (let round = 0; round < 10; round++) {
      const [section, expected] = round % 2 === 0 ? [OPEN_TO_ALL, "orders"] : [API_KEY, 401];
      await shop.enforce(apiPolicy("truth", route("truth"), section));
      // Both proxies, since the kernel deals connections out.
      for (let count = 0; count < 6; count++) expect([round, await answer(to("truth"))]).toEqual([round, expected]);
    }
    const { observedGeneration, target, conditions = [] } = await policyStatus(shop, "truth");
    const generation = (await shop.get("ApiPolicy", "truth"))?.metadata.generation;
    expect(observedGeneration).toBe(generation);
    expect(target).toMatch(/HTTPRoute\/truth/);
    expect(conditions).toMatchObject([{ type: "Ready", status: "True", observedGeneration: generation }]);
  });

  it("counts the proxies that lack it, and waits for every one", async () => {
    await addRoute("count");
    await shop.enforce(apiPolicy("count", route("count"), OPEN_TO_ALL));
    const [, slow] = edge.envoys;
    if (slow === undefined) throw new Error("there are two proxies");
    kill(slow.pid, "SIGSTOP");
    try {
      await shop.apply(apiPolicy("count", route("count"), API_KEY));
      const lacking = { status: "False", reason: "Reconciling", message: /1\/2 proxies/ } as const;
      await shop.waitFor("ApiPolicy", "count", "Programmed", lacking);
      await shop.waitFor("ApiPolicy", "count", "Ready", { status: "False" });
    } finally {
      kill(slow.pid, "SIGCONT");
    }
    await shop.waitFor("ApiPolicy", "count", "Programmed");
    await shop.waitFor("Gateway", "edge", "Programmed", { status: "True", message: /2 proxies/ });
  });

  it("knows no proxies where there are none, and is Unknown as a whole", async () => {
    const spec = { gatewayClassName: "gatewarden", listeners: [{ name: "http", port: 8080, protocol: "HTTP" }] };
    await shop.apply({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "empty" },
      spec,
    });
    await addRoute("alone", shop, [{ name: "empty" }]);
    await shop.apply(apiPolicy("alone", route("alone"), OPEN_TO_ALL));
    await shop.waitFor("ApiPolicy", "alone", "Programmed", { status: "False", reason: "NoProxies" });
    await shop.waitFor("ApiPolicy", "alone", "Accepted");
    await shop.waitFor("ApiPolicy", "alone", "Ready", { status: "Unknown", reason: "NoProxies" });
    await shop.waitFor("Gateway", "empty", "Programmed", { status: "False", reason: "NoProxies" });
  });

  it("reports a target, a rule or a listener that is not there, and finds it when it comes", async () => {
    const missing = { status: "False", reason: "TargetNotFound" } as const;
    await shop.apply(apiPolicy("early", route("early"), OPEN_TO_ALL));
    await shop.waitFor("ApiPolicy", "early", "Accepted", { ...missing, message: /early/ });
    await shop.waitFor("ApiPolicy", "early", "Ready", { status: "False" });
    await addRoute("early");
    await shop.waitFor("ApiPolicy", "early", "Programmed");
    await untilAnswered(edge.target(), to("early"), "orders");

    await shop.apply([
      apiPolicy("no-rule", { ...route("early"), sectionName: "other" }, API_KEY),
      apiPolicy("no-listener", { kind: "Gateway", name: "edge", sectionName: "other" }, API_KEY),
    ]);
    for (const name of ["no-rule", "no-listener"]) {
      await shop.waitFor("ApiPolicy", name, "Accepted", { ...missing, message: /other/ });
    }
    // A target that is not there changes nothing about what is.
    expect(await answer(to("early"))).toBe("orders");
    await shop.remove("ApiPolicy", "no-listener");
    await shop.apply(httpRoute("early", { hostnames: ["early.test"], rules: [{ name: "other", ...rule("orders") }] }));
    await shop.waitFor("ApiPolicy", "no-rule", "Programmed");
    expect(await answer(to("early"))).toBe(401);
    expect(await answer(to("early", { headers: KEY }))).toBe("orders");
    await shop.remove("ApiPolicy", "no-rule");
    await untilAnswered(edge.target(), to("early"), "orders");
  });

  it("says NotAttached where no Gateway of ours serves the target", async () => {
    await addRoute("unattached", shop, [{ name: "nobodys" }]);
    await shop.apply(apiPolicy("unattached", route("unattached"), OPEN_TO_ALL));
    await shop.waitFor("ApiPolicy", "unattached", "Ready", { status: "False", reason: "NotAttached" });
  });

  it("gives a section to the older policy, the rest to the younger, and all of it when the older goes", async () => {
    await addRoute("both");
    await shop.enforce(apiPolicy("older", route("both"), API_KEY));
    // The API server keeps whole seconds, and of two of the same second the name decides: here "a-…" would come first.
    const created =
      ((await shop.get("ApiPolicy", "older"))?.metadata as { readonly creationTimestamp?: string }).creationTimestamp ??
      "";
    await eventually("a younger second", () => Date.now() >= Date.parse(created) + 1_500);
    const deny = { denylist: { entries: [{ cidr: "203.0.113.0/24" }] } };
    await shop.apply([
      apiPolicy("a-younger", route("both"), { ...OPEN_TO_ALL, ...deny }),
      apiPolicy("a-loser", route("both"), OPEN_TO_ALL),
    ]);
    const text = new RegExp(`authentication.*${shop.namespace}/older`);
    await shop.waitFor("ApiPolicy", "a-younger", "Programmed", {
      status: "True",
      reason: "PartiallyProgrammed",
      message: text,
    });
    await shop.waitFor("ApiPolicy", "a-loser", "Accepted", {
      status: "False",
      reason: "Conflicted",
      message: new RegExp(`${shop.namespace}/older`),
    });
    expect(await answer(to("both"))).toBe(401);
    expect(await answer(to("both", { headers: KEY }))).toBe("orders");
    await shop.remove("ApiPolicy", "a-loser");
    await shop.remove("ApiPolicy", "older");
    await shop.waitFor("ApiPolicy", "a-younger", "Programmed", { status: "True", reason: "Programmed" });
    expect(await answer(to("both"))).toBe("orders");
  });

  it("closes for a reference that leads nowhere, names it, and opens when it comes", async () => {
    await addRoute("dangling");
    const jwks = { type: "Ref", ref: { kind: "ConfigMap", name: "keys", key: "jwks.json" } };
    const jwt = [{ name: "corp", issuer: "https://sso.test", audiences: ["shop"], jwks }];
    await shop.apply(apiPolicy("dangling", route("dangling"), { authentication: { jwt } }));
    await shop.waitFor("ApiPolicy", "dangling", "ResolvedRefs", {
      status: "False",
      reason: "RefNotFound",
      message: /keys/,
    });
    await untilAnswered(edge.target(), to("dangling"), 503);
    const refused = await send(edge.target(), to("dangling"));
    expect(refused.header("x-gatewarden-policy")).toBe(`${shop.namespace}/dangling#authentication`);
    expect(refused.problem()).toMatchObject({
      code: "GW-POLICY-002",
      policy: `${shop.namespace}/dangling#authentication`,
    });
    await shop.configMap("keys", { "jwks.json": "no json" });
    await shop.waitFor("ApiPolicy", "dangling", "ResolvedRefs", {
      status: "False",
      reason: "InvalidRef",
      message: /jwks\.ref/,
    });
    await shop.configMap("keys", { "jwks.json": JSON.stringify({ keys: [ES256_KEY] }) });
    await shop.waitFor("ApiPolicy", "dangling", "Programmed");
    await untilAnswered(edge.target(), to("dangling"), 401);
    await shop.remove("ConfigMap", "keys");
    await shop.waitFor("ApiPolicy", "dangling", "ResolvedRefs", { status: "False", reason: "RefNotFound" });
    await untilAnswered(edge.target(), to("dangling"), 503);
  });

  it("prints the kubectl line that gives the right to read a Secret, and that line mends it", async () => {
    const strict = await harness.tenant("strict", { optIn: false });
    await strict.upstream("orders");
    const gateway = await strict.gateway();
    await strict.apply(httpRoute("denied", { hostnames: ["denied.test"], rules: [rule("orders")] }));
    await addConsumer(strict, "erp", "k-strict-1");
    await strict.apply(apiPolicy("denied", route("denied"), API_KEY));
    const { message } = await strict.waitFor("ApiConsumer", "erp", "ResolvedRefs", {
      status: "False",
      reason: "RefNotPermitted",
    });
    await untilAnswered(gateway.target(), { host: "denied.test" }, 401);
    expect(message).toMatch(/^kubectl create rolebinding [^;()]*$/);
    await harness.cluster.kubectl(message.split(" ").slice(1));
    await untilAnswered(gateway.target(), { host: "denied.test", headers: { "x-api-key": "k-strict-1" } }, "orders");
    await strict.waitFor("ApiConsumer", "erp", "ResolvedRefs");
  });

  it("marks the Gateways and routes that it affects", async () => {
    await addRoute("affected");
    await shop.enforce(apiPolicy("affected", route("affected"), OPEN_TO_ALL));
    await shop.waitFor("HTTPRoute", "affected", AFFECTED);
    await shop.apply(
      apiPolicy("for-all", { kind: "Gateway", name: "edge" }, { denylist: { entries: [{ cidr: "203.0.113.0/24" }] } }),
    );
    await shop.waitFor("Gateway", "edge", AFFECTED);
    for (const name of ["affected", "for-all"]) await shop.remove("ApiPolicy", name);
    const gone = (kind: string, name: string) =>
      eventually(`${kind} ${name} not affected`, async () =>
        conditionsOf(await shop.get(kind, name)).every(({ type }) => type !== AFFECTED),
      );
    await gone("HTTPRoute", "affected");
    await gone("Gateway", "edge");
  });

  it("leaves what was applied as it was, writes nothing for nothing, and needs no finalizer", async () => {
    await addRoute("kept");
    const applied = apiPolicy("kept", route("kept"), API_KEY);
    await shop.enforce(applied);
    await shop.waitFor("ApiPolicy", "kept", "Ready");
    const read = await shop.get("ApiPolicy", "kept");
    expect(read?.["spec"]).toEqual(applied["spec"]);
    expect(read?.metadata).not.toHaveProperty("finalizers");
    expect(read?.metadata.labels ?? {}).toEqual({});
    expect(read?.metadata.annotations ?? {}).toEqual({});
    const version = read?.metadata.resourceVersion;
    // Another policy's edit goes through the whole of it.
    await addRoute("neighbour");
    await shop.enforce(apiPolicy("neighbour", route("neighbour"), OPEN_TO_ALL));
    await shop.waitFor("ApiPolicy", "neighbour", "Ready");
    expect((await shop.get("ApiPolicy", "kept"))?.metadata.resourceVersion).toBe(version);
  });

  it("keeps the ancestors that other controllers wrote", async () => {
    await addRoute("shared");
    await shop.enforce(apiPolicy("shared", route("shared"), OPEN_TO_ALL));
    await shop.waitFor("ApiPolicy", "shared", "Ready");
    const foreign = {
      ancestorRef: { group: "gateway.networking.k8s.io", kind: "Gateway", name: "elsewhere" },
      controllerName: "example.test/other",
      conditions: [
        {
          type: "Accepted",
          status: "True",
          reason: "Accepted",
          message: "",
          lastTransitionTime: "2026-01-01T00:00:00Z",
        },
      ],
    };
    const path = `/apis/gatewarden.io/v1alpha1/namespaces/${shop.namespace}/apipolicies/shared/status`;
    const { ancestors = [] } = await policyStatus(shop, "shared");
    await harness.api.call(
      "PATCH",
      path,
      { status: { ancestors: [...ancestors, foreign] } },
      "application/merge-patch+json",
    );
    await shop.enforce(apiPolicy("shared", route("shared"), API_KEY));
    const after = (await policyStatus(shop, "shared")).ancestors ?? [];
    expect(after).toContainEqual(foreign);
    expect(after.filter(({ controllerName }) => controllerName === CONTROLLER)).toHaveLength(1);
  });

  it("sums up the ancestors that do not fit into 16", async () => {
    const crowd = await harness.tenant("crowd");
    const spec = { gatewayClassName: "gatewarden", listeners: [{ name: "http", port: 8080, protocol: "HTTP" }] };
    const names = Array.from({ length: 18 }, (_, number) => `g${String(number)}`);
    await crowd.apply(
      names.map((name) => ({ apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway", metadata: { name }, spec })),
    );
    await crowd.apply(httpRoute("wide", { parentRefs: names.map((name) => ({ name })), rules: [rule("orders")] }));
    await crowd.apply(apiPolicy("wide", route("wide"), OPEN_TO_ALL));
    await crowd.waitFor("ApiPolicy", "wide", "Aggregated", { status: "True", message: /3 more/ });
    const { ancestors = [] } = await policyStatus(crowd, "wide");
    expect(ancestors).toHaveLength(16);
    expect(ancestors.at(-1)?.ancestorRef.kind).toBe("GatewayClass");
    expect(JSON.stringify(ancestors).length).toBeLessThan(32 * 1024);
  });

  it("lets a policy go while the operator is down, and closes its route when it is back", async () => {
    await addRoute("orphan");
    await shop.enforce(apiPolicy("orphan", route("orphan"), OPEN_TO_ALL));
    expect(await answer(to("orphan"))).toBe("orders");
    await harness.operator.stop();
    await harness.cluster.kubectl(["delete", "apipolicy/orphan", "--namespace", shop.namespace, "--timeout=5s"]);
    expect(await shop.get("ApiPolicy", "orphan")).toBeUndefined();
    expect(await answer(to("orphan"))).toBe("orders");
    await harness.operator.start();
    await untilAnswered(edge.target(), to("orphan"), 403);
  });
});

/** A public key; nobody has its private half. */
const ES256_KEY = {
  kty: "EC",
  crv: "P-256",
  kid: "a",
  alg: "ES256",
  x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
  y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
};
