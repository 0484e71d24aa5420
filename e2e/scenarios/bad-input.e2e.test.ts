/** Bad input of every kind: a clear condition with the field, the reason and the mend; nothing crashes, nothing opens, nobody else notices. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { send } from "../client/http1.ts";
import { eventually } from "../cluster/condition.ts";
import type { KubeObject } from "../harness/api.ts";
import type { Expected } from "../harness/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { addConsumer, API_KEY, apiPolicy, consumerOf, OPEN_TO_ALL } from "./policies-manifest.ts";
import { answering, httpRoute, rule, untilAnswered } from "./routes-manifest.ts";

const KIB = 1024;

describe("bad input", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  let pid: number;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("input");
    await shop.upstream("orders");
    edge = await shop.gateway();
    await addConsumer(shop, "erp", "k-input-1");
    for (const name of ["victim", "good"])
      await shop.apply(httpRoute(name, { hostnames: [`${name}.test`], rules: [rule("orders")] }));
    await shop.enforce(policy(OPEN_TO_ALL));
    await shop.enforce(apiPolicy("good", { kind: "HTTPRoute", name: "good" }, API_KEY));
    pid = harness.operator.pid();
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const policy = (sections: object): KubeObject => apiPolicy("victim", { kind: "HTTPRoute", name: "victim" }, sections);
  const victim = (headers: Readonly<Record<string, string>> = {}) =>
    answering(edge.target(), { host: "victim.test", headers });
  const holds = async (): Promise<void> => {
    expect(await answering(edge.target(), { host: "good.test" })).toBe(401);
    expect(await answering(edge.target(), { host: "good.test", headers: { "x-api-key": "k-input-1" } })).toBe("orders");
    expect(harness.operator.pid()).toBe(pid);
    expect((await harness.operator.endpoint("/healthz")).status).toBe(200);
    expect(harness.operator.log()).not.toMatch(/unhandled|uncaught|TypeError|RangeError/);
  };
  /** Applies it to the victim's policy and waits for what the status says; the victim is closed meanwhile. */
  const closes = async (sections: object, condition: string, expected: Omit<Expected, "status">): Promise<void> => {
    await shop.apply(policy(sections));
    const { message } = await shop.waitFor("ApiPolicy", "victim", condition, { status: "False", ...expected });
    // What mends it stands in brackets behind what is wrong.
    expect(message).toMatch(/\(.+\)$/);
    await untilAnswered(edge.target(), { host: "victim.test" }, 503);
    await holds();
    await shop.enforce(policy(OPEN_TO_ALL));
    await untilAnswered(edge.target(), { host: "victim.test" }, "orders");
  };

  it("refuses at admission what one object can say about itself, with the field and the mend", async () => {
    const target = [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "victim" }];
    const jwt = (more: object) => ({ authentication: { jwt: [{ name: "a", issuer: "https://sso.test", ...more }] } });
    const limit = (more: object) => ({ rateLimit: { limits: [{ name: "a", requests: 1, per: "1m", ...more }] } });
    const refused: readonly (readonly [spec: object, message: RegExp])[] = [
      [{ targetRefs: target }, /spec/],
      [{ targetRefs: [], ...OPEN_TO_ALL }, /spec\.targetRefs/],
      [{ targetRefs: [...target, ...target], ...OPEN_TO_ALL }, /spec\.targetRefs.*twice/],
      [{ targetRefs: target, authentication: {} }, /spec\.authentication/],
      [{ targetRefs: target, authentication: { mode: "Public" } }, /reason/],
      [{ targetRefs: target, authentication: { mode: "public", reason: "x" } }, /spec\.authentication\.mode/],
      [{ targetRefs: target, ...jwt({ algorithms: ["none"] }) }, /algorithms/],
      [{ targetRefs: target, ...jwt({ issuer: "a\r\nb" }) }, /issuer/],
      [{ targetRefs: target, ...limit({ requests: -1 }) }, /requests/],
      [{ targetRefs: target, ...limit({ per: "forever" }) }, /per/],
      [{ targetRefs: target, ...limit({ per: "25h" }) }, /per/],
      [{ targetRefs: target, rateLimit: { limits: [] } }, /limits/],
      [{ targetRefs: target, allowlist: { entries: [{ cidr: "10.0.0.0/33" }] } }, /cidr/],
      [{ targetRefs: target, allowlist: { entries: [] } }, /entries/],
      [{ targetRefs: target, denylist: { entries: [{ cidr: "10.0.0.0/8" }, { cidr: "10.0.0.0/8" }] } }, /[Dd]uplicate/],
      [{ targetRefs: target, mode: "Off", ...OPEN_TO_ALL }, /spec\.mode/],
      [
        { targetRefs: target, authentication: { apiKey: { consumerHeader: "x-gatewarden-consumer" } } },
        /consumerHeader/,
      ],
      [{ targetRefs: target, authentication: { apiKey: { consumerHeader: "x-forwarded-for" } } }, /consumerHeader/],
      [{ targetRefs: target, authentication: { apiKey: { consumerHeader: "x-a\r\nx-b" } } }, /consumerHeader/],
      [{ targetRefs: "victim", ...OPEN_TO_ALL }, /spec\.targetRefs/],
    ];
    for (const [spec, message] of refused) {
      const object = { apiVersion: "gatewarden.io/v1alpha1", kind: "ApiPolicy", metadata: { name: "refused" }, spec };
      await expect(shop.apply(object)).rejects.toThrow(message);
    }
    await holds();
  });

  it("closes for names that it does not know, wherever they stand, also those that JavaScript knows", async () => {
    const unknown: readonly (readonly [sections: object, path: string])[] = [
      [{ ...OPEN_TO_ALL, rateLimt: {} }, "spec.rateLimt"],
      [
        { authentication: { apiKey: { from: { headers: ["x-api-key"], header: [] } } } },
        "spec.authentication.apiKey.from.header",
      ],
      [{ ...OPEN_TO_ALL, constructor: {} }, "spec.constructor"],
      [{ ...OPEN_TO_ALL, toString: "x" }, "spec.toString"],
      [
        JSON.parse(`{"authentication":{"mode":"Public","reason":"x"},"__proto__":{"mode":"Audit"}}`) as object,
        "spec.__proto__",
      ],
      [{ ...OPEN_TO_ALL, "a.b[0]": 1 }, 'spec["a.b[0]"]'],
    ];
    for (const [sections, path] of unknown) {
      const message = new RegExp(`unknown field ${path.replace(/[.[\]]/g, "\\$&")}`);
      await closes(sections, "Accepted", { reason: "Invalid", message });
    }
  });

  it("takes what a name or a text says as text, never as a command or a pattern", async () => {
    const nasty = "%REQ(x-api-key)%";
    await closes({ ...OPEN_TO_ALL, [nasty]: 1 }, "Accepted", { reason: "Invalid", message: /unknown field/ });
    await shop.apply(policy({ ...OPEN_TO_ALL, [nasty]: 1 }));
    await untilAnswered(edge.target(), { host: "victim.test" }, 503);
    const refused = await send(edge.target(), {
      host: "victim.test",
      headers: { "x-api-key": "k-input-1", "x-request-id": 'a"b%REQ(:path)%' },
    });
    expect(refused.body).not.toContain("k-input-1");
    expect(refused.problem()).toMatchObject({ status: 503, code: "GW-POLICY-002" });
    expect(refused.problem().detail).toContain(nasty);
    await shop.enforce(
      policy({
        authentication: { mode: "Public", reason: `"} %REQ(x-api-key)% \\ <b>` },
        denylist: { entries: [{ cidr: "127.0.0.0/8", note: nasty }] },
      }),
    );
    const denied = await send(edge.target(), { host: "victim.test", headers: { "x-api-key": "k-input-1" } });
    expect([denied.status, denied.problem().code]).toEqual([403, "GW-DENY-001"]);
    expect(denied.body).not.toContain("k-input-1");
    await shop.enforce(policy(OPEN_TO_ALL));
  });

  it("writes one JSON object per call, whatever stands in headers and fields", async () => {
    const sinks = [{ name: "file", type: "File", file: { name: "bad-input.jsonl" } }];
    const fields = { team: `%REQ(x-api-key)%"},{"`, other: "\\", status: "999" };
    await shop.enforce(apiPolicy("sink", { kind: "Gateway", name: "edge" }, { logging: { sinks } }));
    await shop.enforce(policy({ ...OPEN_TO_ALL, logging: { calls: "All", headers: ["x-note", "x-api-key"], fields } }));
    const notes = [`"}\n{"forged":true}`, "%REQ(x-api-key)%", "\\", "\u00ff\u00fe", `a"b`, "\t"].map((note) =>
      note.replace("\n", " "),
    );
    for (const note of notes) {
      const headers = { "x-note": note, "x-api-key": "k-input-1", "user-agent": `${note}%REQ(x-api-key)%` };
      await untilAnswered(edge.target(), { host: "victim.test", path: `/%22%7d?q="},{"%0a`, headers }, "orders");
    }
    const read = (): string => readFileSync(join(harness.logDirectory, "bad-input.jsonl"), "utf8");
    const lines = await eventually("every call is written", () => {
      const all = read().trimEnd().split("\n");
      return all.length >= notes.length ? all : undefined;
    });
    for (const line of lines) {
      const record = JSON.parse(line) as Readonly<Record<string, unknown>>;
      expect(record).toMatchObject({ status: 200, fields });
      expect(Object.keys(record)).not.toContain("forged");
    }
    expect(read()).not.toContain("k-input-1");
    await shop.remove("ApiPolicy", "sink");
    await shop.enforce(policy(OPEN_TO_ALL));
  });

  it("keeps keys with odd characters exact, and takes none that a header cannot carry", async () => {
    await shop.enforce(policy(API_KEY));
    const odd = ["a.c", "k%REQ(host)%", ".*", "a|b", "~!@#$%^&*()_+=-{}[]:<>?/"];
    await shop.secret("odd-key", { "api-key": "start" });
    await shop.apply(consumerOf("odd"));
    for (const key of odd) {
      await shop.secret("odd-key", { "api-key": key });
      await untilAnswered(edge.target(), { host: "victim.test", headers: { "x-api-key": key } }, "orders");
      for (const other of ["abc", "x", key.slice(0, -1), `${key}x`, key.toUpperCase()]) {
        if (other !== key) expect([key, other, await victim({ "x-api-key": other })]).toEqual([key, other, 401]);
      }
    }
    for (const key of [
      "line\nbreak",
      "nul\u0000l",
      "carriage\rreturn",
      'q"uote',
      "back\\slash",
      "a,b",
      "sp ace",
      "ümlaut",
    ]) {
      await shop.secret("odd-key", { "api-key": key });
      await shop.waitFor("ApiConsumer", "odd", "ResolvedRefs", { status: "False", reason: "InvalidRef" });
      await untilAnswered(edge.target(), { host: "victim.test", headers: { "x-api-key": odd.at(-1) ?? "" } }, 401);
    }
    expect(harness.operator.log()).not.toMatch(/REQ\(host\)|q\\?"uote|carriage|~!@/);
    await shop.remove("ApiConsumer", "odd");
    await shop.enforce(policy(OPEN_TO_ALL));
    await holds();
  });

  it("lets no header edit of a route end a line or name what is ours", async () => {
    const edited = (name: string, value: string, type = "RequestHeaderModifier"): KubeObject => {
      const edit = type === "RequestHeaderModifier" ? "requestHeaderModifier" : "responseHeaderModifier";
      return httpRoute("edited", {
        hostnames: ["edited.test"],
        rules: [{ ...rule("orders"), filters: [{ type, [edit]: { set: [{ name, value }] } }] }],
      });
    };
    await shop.apply(apiPolicy("edited", { kind: "HTTPRoute", name: "edited" }, OPEN_TO_ALL));
    await shop.apply(edited("x-fine", "fine"));
    await untilAnswered(edge.target(), { host: "edited.test" }, "orders");
    const bad = [
      edited("x-a", "1\r\nx-evil: 2"),
      edited("x-a", "1\nx-evil: 2", "ResponseHeaderModifier"),
      edited("x-a", "nul\u0000l"),
      edited("host", "evil.test"),
      edited("x-gatewarden-auth", "none"),
      edited("X-Gatewarden-Consumer", "root"),
    ];
    for (const route of bad) {
      await shop.apply(route);
      await shop.waitFor("HTTPRoute", "edited", "Accepted", {
        status: "False",
        reason: "UnsupportedValue",
        message: /rules\[0\]\.filters\[0\]/,
      });
      await untilAnswered(edge.target(), { host: "edited.test" }, 503);
      await shop.apply(edited("x-fine", "fine"));
      await untilAnswered(edge.target(), { host: "edited.test" }, "orders");
    }
    await holds();
  });

  it("refuses expressions that are none, that only other engines know, or that are too large", async () => {
    const matching = (value: string): KubeObject =>
      httpRoute("regex", {
        hostnames: ["regex.test"],
        rules: [rule("orders", { path: { type: "RegularExpression", value } })],
      });
    await shop.apply(apiPolicy("regex", { kind: "HTTPRoute", name: "regex" }, OPEN_TO_ALL));
    const bad = [
      "/(",
      "/a(?=b)",
      "/(a)\\1",
      "/[z-a]",
      "/a{1001}",
      "/(((a{100}){100}){100})",
      `/${"(".repeat(500)}${")".repeat(500)}`,
      "/a**",
      "/\\p{Nonsense}",
      "/a\\Z",
      "/[[:nonsense:]]",
    ];
    for (const value of bad) {
      await shop.apply(matching(value));
      await shop.waitFor("HTTPRoute", "regex", "Accepted", {
        status: "False",
        reason: "UnsupportedValue",
        message: /rules\[0\]\.matches\[0\]\.path\.value/,
      });
      await untilAnswered(edge.target(), { host: "regex.test", path: "/x" }, 503);
    }
    await shop.apply(matching(`/${"(a|b)*".repeat(150)}c`));
    await untilAnswered(edge.target(), { host: "regex.test", path: `/${"ab".repeat(500)}c` }, "orders");
    // Linear time, whatever the expression: a backtracking engine would not come back.
    expect(await answering(edge.target(), { host: "regex.test", path: `/${"ab".repeat(500)}d` })).toBe(404);
    expect(await edge.envoy.admin.stat("http.http-8080.scoped_rds.scoped-routes.update_rejected")).toBe(0);
    await holds();
  });

  it("stands objects of a mebibyte", async () => {
    const keys = (count: number): string =>
      JSON.stringify({
        keys: Array.from({ length: count }, (_, n) => ({
          kty: "EC",
          crv: "P-256",
          kid: `k${String(n)}`,
          x: "!",
          y: "!",
        })),
      });
    const ref = { type: "Ref", ref: { kind: "ConfigMap", name: "large", key: "jwks.json" } };
    const jwt = { authentication: { jwt: [{ name: "a", issuer: "https://sso.test", audiences: ["a"], jwks: ref }] } };
    for (const text of [
      "[".repeat(900 * KIB),
      `{"keys":${"[".repeat(400 * KIB)}${"]".repeat(400 * KIB)}}`,
      keys(10_000),
      "x".repeat(900 * KIB),
      `{"keys":[{"__proto__":{"kty":"EC"}}]}`,
    ]) {
      await shop.configMap("large", { "jwks.json": text });
      await closes(jwt, "ResolvedRefs", { reason: "InvalidRef", message: /jwks\.ref/ });
    }
    const entries = Array.from({ length: 1024 }, (_, n) => ({
      cidr: `10.${String(n >> 8)}.${String(n & 255)}.0/24`,
      note: "n".repeat(256),
    }));
    await shop.enforce(
      policy({ ...OPEN_TO_ALL, allowlist: { entries: [...entries.slice(1), { cidr: "127.0.0.0/8" }] } }),
    );
    expect(await victim()).toBe("orders");
    await shop.enforce(policy({ ...OPEN_TO_ALL, allowlist: { entries } }));
    expect(await victim()).toBe(403);
    const annotated = policy(OPEN_TO_ALL);
    await shop.apply({
      ...annotated,
      metadata: { ...annotated.metadata, annotations: { filler: "x".repeat(250 * KIB) } },
    });
    await shop.waitFor("ApiPolicy", "victim", "Programmed");
    expect(await victim()).toBe("orders");
    const matches = Array.from({ length: 64 }, (_, n) => ({
      path: { type: "PathPrefix", value: `/${String(n)}/${"p".repeat(1000)}` },
    }));
    const rules = [
      rule("orders", ...matches),
      rule("orders", ...matches.slice(0, 63).map(({ path }) => ({ path: { ...path, type: "Exact" } }))),
      rule("orders"),
    ];
    await shop.apply(httpRoute("victim", { hostnames: ["victim.test"], rules }));
    await untilAnswered(edge.target(), { host: "victim.test", path: `/63/${"p".repeat(1000)}/x` }, "orders");
    await shop.apply(httpRoute("victim", { hostnames: ["victim.test"], rules: [rule("orders")] }));
    await holds();
  });

  it("does not serve targets that it does not know, nor those of other namespaces", async () => {
    const elsewhere = await harness.tenant("elsewhere");
    await elsewhere.upstream("orders");
    const own = { kind: "Gateway", name: "edge", namespace: shop.namespace };
    await elsewhere.apply(
      httpRoute("foreign", { hostnames: ["foreign.test"], parentRefs: [own], rules: [rule("orders")] }),
    );
    await elsewhere.waitFor("HTTPRoute", "foreign", "Accepted", { status: "False", reason: "NotAllowedByListeners" });
    // A policy for a Gateway of the same name in another namespace is no policy for this one.
    await elsewhere.apply(apiPolicy("takeover", { kind: "Gateway", name: "edge" }, OPEN_TO_ALL));
    await elsewhere.waitFor("ApiPolicy", "takeover", "Accepted", { status: "False", reason: "TargetNotFound" });
    const refs = [{ group: "", kind: "Namespace", name: elsewhere.namespace }];
    await shop.apply({ ...apiPolicy("abroad", [], {}), spec: { targetRefs: refs, ...OPEN_TO_ALL } });
    await shop.waitFor("ApiPolicy", "abroad", "Accepted", {
      status: "False",
      reason: "Invalid",
      message: /spec\.targetRefs\[0\]\.name|[Nn]amespace/,
    });
    await shop.apply({
      ...apiPolicy("later", [], {}),
      spec: { targetRefs: [{ group: "", kind: "Service", name: "orders" }], ...OPEN_TO_ALL },
    });
    await shop.waitFor("ApiPolicy", "later", "Accepted", { status: "False", reason: "UnsupportedForTarget" });
    for (const name of ["abroad", "later"]) await shop.remove("ApiPolicy", name);
    await holds();
  });

  it("reads the annotation that opens a Gateway by its letters", async () => {
    const annotated = (value: string) =>
      harness.cluster.kubectl([
        "annotate",
        "gateway/edge",
        `gatewarden.io/require-policy=${value}`,
        "--overwrite",
        "--namespace",
        shop.namespace,
      ]);
    await shop.remove("ApiPolicy", "victim");
    await untilAnswered(edge.target(), { host: "victim.test" }, 403);
    for (const value of ["False", "FALSE", "0", "no", " false", "false ", "true"]) {
      await annotated("false");
      await untilAnswered(edge.target(), { host: "victim.test" }, "orders");
      await annotated(value);
      await untilAnswered(edge.target(), { host: "victim.test" }, 403);
    }
    await holds();
  });
});
