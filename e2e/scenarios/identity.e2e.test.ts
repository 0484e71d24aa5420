/** Headers that say who calls or from where: ours reach the upstream once, a client's never do, and no header breaks a log line. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, type RequestSpec, send } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import type { HeaderList } from "../client/answer.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { claimsFor, createSigner, keySet } from "../material/jwt.ts";
import type { Echo, EchoUpstream } from "../upstream/echo.ts";
import { bearer, guarded, upstreamValues, verdictOf } from "./authentication-manifest.ts";
import { addConsumer, apiPolicy } from "./policies-manifest.ts";
import { httpRoute, rule } from "./routes-manifest.ts";

const ISSUER = "https://sso.corp.test";
const OFFICE = "127.0.0.5";
const ELSEWHERE = "127.0.7.5";
const LOG_FILE = "identity-calls.jsonl";

/** Every way to say a header of ours before we do. */
const FORGERIES: Readonly<Record<string, (name: string) => HeaderList>> = {
  once: (name) => [[name, "forged"]],
  capitals: (name) => [[name.toUpperCase(), "forged"]],
  mixed: (name) => [[name.replace(/-./g, (text) => text.toUpperCase()), "forged"]],
  twice: (name) => [
    [name, "forged"],
    [name, "forged-2"],
  ],
  "twice, in two spellings": (name) => [
    [name, "forged"],
    [name.toUpperCase(), "forged-2"],
  ],
  joined: (name) => [[name, "forged, forged-2"]],
  empty: (name) => [[name, ""]],
  "with the right value": (name) => [[name, "alice"]],
  "named as hop by hop": (name) => [
    ["connection", `keep-alive, ${name}`],
    [name, "forged"],
  ],
  "named as hop by hop, without a value": (name) => [["connection", `close, ${name}`]],
};

/** Forms that no proxy should have to understand. */
const REJECTED: Readonly<Record<string, (name: string) => HeaderList>> = {
  underscores: (name) => [[name.replaceAll("-", "_"), "forged"]],
  "one underscore": (name) => [[name.replace("-", "_"), "forged"]],
  "a space before the colon": (name) => [[`${name} `, "forged"]],
  "a zero byte in the value": (name) => [[name, "for\0ged"]],
};

describe("identity", () => {
  const signer = createSigner("ES256");
  let harness: Harness;
  let shop: Tenant;
  let bank: Tenant;
  let edge: GatewayHandle;
  let orders: EchoUpstream;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("identity");
    bank = await harness.tenant("bank");
    [orders] = await Promise.all([shop.upstream("orders"), bank.upstream("orders")]);
    const allowedRoutes = { namespaces: { from: "All" } };
    edge = await shop.gateway({ listeners: [{ name: "http", port: 8080, protocol: "HTTP", allowedRoutes }] });
    await addConsumer(shop, "alice", "k-alice");
    await addConsumer(shop, "erp.eu", "k-erp.eu");
    const apiKey = { consumerHeader: "x-user-id" };
    const jwt = [
      {
        name: "corp",
        issuer: ISSUER,
        jwks: { type: "Inline", inline: keySet(signer) },
        claimsToHeaders: [
          { claim: "sub", header: "x-user-id" },
          { claim: "dept", header: "x-dept" },
        ],
      },
    ];
    const open = { mode: "Public", reason: "a test of headers" };
    await shop.enforce([
      ...guarded("key", { apiKey }),
      ...guarded("jwt", { jwt }),
      ...guarded("optional", { mode: "Optional", jwt, apiKey: { consumerHeader: "x-consumer" } }),
      ...guarded("public", open),
      ...guarded("meta", { apiKey: { from: { params: ["k.y"], cookies: ["k.y"] }, consumerHeader: "x-user-id" } }),
      ...guarded("office", open).slice(0, 1),
      apiPolicy(
        "office",
        { kind: "HTTPRoute", name: "office" },
        { authentication: open, allowlist: { entries: [{ cidr: `${OFFICE}/32` }] } },
      ),
      apiPolicy(
        "log",
        { kind: "Gateway", name: "edge" },
        { logging: { sinks: [{ name: "calls", type: "File", file: { name: LOG_FILE } }], headers: ["x-odd"] } },
      ),
    ]);
    const parentRefs = [{ name: "edge", namespace: shop.namespace }];
    await bank.enforce([
      httpRoute("bank", { hostnames: ["bank.test"], parentRefs, rules: [rule("orders")] }),
      apiPolicy("bank", { kind: "HTTPRoute", name: "bank" }, { authentication: open }),
    ]);
    const ready = async (name: string) => (await send(edge.target(), { host: `${name}.test` })).status !== 404;
    for (const name of ["key", "jwt", "optional", "public", "meta", "office", "bank"]) {
      await eventually(`the route ${name}`, () => ready(name));
    }
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const token = bearer(signer.token(claimsFor(ISSUER, "shop")));
  const key = { "x-api-key": "k-alice" };
  const to = (name: string, headers: HeaderList, more: RequestSpec = {}): RequestSpec => ({
    host: `${name}.test`,
    headers,
    ...more,
  });

  describe.each<[string, string, Readonly<Record<string, string>>, Readonly<Record<string, readonly string[]>>]>([
    ["behind a key", "key", key, { "x-user-id": ["alice"], "x-dept": [], "x-consumer": [] }],
    ["behind a token", "jwt", token, { "x-user-id": ["alice"], "x-dept": [], "x-consumer": [] }],
    ["behind an optional token", "optional", token, { "x-user-id": ["alice"], "x-dept": [], "x-consumer": [] }],
    ["behind an optional key", "optional", key, { "x-user-id": [], "x-dept": [], "x-consumer": ["alice"] }],
    ["without the optional credential", "optional", {}, { "x-user-id": [], "x-dept": [], "x-consumer": [] }],
    ["on a public route", "public", {}, { "x-user-id": [], "x-dept": [], "x-consumer": [] }],
  ])("%s", (_, route, credential, expected) => {
    it.each(Object.keys(FORGERIES))("a forged header, %s, never reaches the upstream", async (form) => {
      const http2 = await connectHttp2(edge.target());
      for (const [name, values] of Object.entries(expected)) {
        const headers = [...(FORGERIES[form]?.(name) ?? []), ...Object.entries(credential)];
        const one = await send(edge.target(), to(route, headers));
        expect([name, verdictOf(one), upstreamValues(one, name)]).toEqual([name, "200", values]);
        expect([name, /forged/.test(one.body)]).toEqual([name, false]);
        if (headers.some(([each]) => each === "connection")) continue;
        const two = await http2.request(to(route, lowerCased(headers)));
        expect([name, verdictOf(two), upstreamValues(two, name)]).toEqual([name, "200", values]);
      }
      http2.close();
    });

    it("refuses forms of it that servers read differently", async () => {
      for (const [form, forge] of Object.entries(REJECTED)) {
        for (const name of Object.keys(expected)) {
          const answer = await send(edge.target(), to(route, [...forge(name), ...Object.entries(credential)]));
          expect([form, name, answer.status]).toEqual([form, name, 400]);
        }
      }
      const folded = `GET / HTTP/1.1\r\nhost: ${route}.test\r\nx-a: b\r\n x-user-id: forged\r\n\r\n`;
      const connection = await connectHttp1(edge.target());
      const answer = await connection.raw(folded);
      if (answer.status === 200) expect(upstreamValues(answer, "x-user-id")).toEqual([]);
      else expect(answer.status).toBeLessThan(500);
      connection.close();
    });
  });

  it("leaves another tenant's names alone: they mean nothing there", async () => {
    const answer = await send(
      edge.target(),
      to("bank", [
        ["x-user-id", "42"],
        ["x-consumer", "a"],
        ["x-consumer", "b"],
      ]),
    );
    expect([upstreamValues(answer, "x-user-id"), upstreamValues(answer, "x-consumer")]).toEqual([["42"], ["a", "b"]]);
  });

  it("keeps the names that are ours inside, on every route", async () => {
    const inside = ["scope", "auth", "consumer", "user", "claim-user-id", "policy", "anything"];
    const forged = inside.flatMap((name) => [
      [`x-gatewarden-${name}`, `${shop.namespace}/alice`] as const,
      [`X-Gatewarden-${name}`, "api_key"] as const,
    ]);
    for (const [route, credential] of [
      ["public", {}],
      ["key", key],
      ["jwt", token],
      ["optional", {}],
      ["bank", {}],
    ] as const) {
      const answer = await send(edge.target(), to(route, [...forged, ...Object.entries(credential)]));
      const names = answer.json<Echo>().headers.map(([name]) => name.toLowerCase());
      expect([route, names.filter((name) => name.startsWith("x-gatewarden"))]).toEqual([route, []]);
    }
    // They open nothing, and choose no filter and no host.
    for (const value of ["api_key", "basic", "none", ""]) {
      const headers = [
        ["x-gatewarden-auth", value],
        ["x-gatewarden-scope", "x|public.test"],
        ["x-gatewarden-consumer", `${shop.namespace}/alice`],
      ] as const;
      expect(verdictOf(await send(edge.target(), to("key", headers)))).toBe("401 GW-AUTHN-001");
      expect(verdictOf(await send(edge.target(), to("jwt", headers)))).toBe("401 GW-AUTHN-001");
    }
  });

  it("takes the address of the TCP peer, whatever a header says", async () => {
    const claims: readonly (readonly [string, string])[] = [
      ...[
        "x-forwarded-for",
        "x-real-ip",
        "x-client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "x-cluster-client-ip",
      ].map((name) => [name, OFFICE] as const),
      ["x-forwarded-for", `${OFFICE}, ${OFFICE}`],
      ["x-forwarded-for", `${OFFICE}, 127.0.0.1`],
      ["X-FORWARDED-FOR", OFFICE],
      ["x-envoy-external-address", OFFICE],
      ["x-envoy-internal", "true"],
      ["forwarded", `for=${OFFICE}`],
      ["via", OFFICE],
    ];
    const from = (address: string, headers: HeaderList) => send(edge.target({ from: address }), to("office", headers));
    expect((await from(OFFICE, [])).status).toBe(200);
    for (const claim of claims) {
      expect([claim, verdictOf(await from(ELSEWHERE, [claim]))]).toEqual([claim, "403 GW-ALLOW-001"]);
      expect([claim, (await from(OFFICE, [[claim[0], ELSEWHERE]])).status]).toEqual([claim, 200]);
    }
    const all = await from(ELSEWHERE, claims);
    expect(verdictOf(all)).toBe("403 GW-ALLOW-001");
    const seen = await send(edge.target({ from: ELSEWHERE }), to("public", [["x-forwarded-for", OFFICE]]));
    expect(upstreamValues(seen, "x-forwarded-for").join(",")).toMatch(new RegExp(`(^|[, ])${ELSEWHERE}$`));
    const connection = await connectHttp1(edge.target({ from: ELSEWHERE }));
    const proxied = connection.raw(
      `PROXY TCP4 ${OFFICE} 127.0.0.1 4711 8080\r\nGET / HTTP/1.1\r\nhost: office.test\r\n\r\n`,
    );
    expect(
      await proxied.then(
        ({ status }) => status,
        () => 400,
      ),
    ).toBe(400);
    connection.close();
  });

  it("lets no x-envoy-* of a client reach the upstream or have an effect", async () => {
    const headers: HeaderList = [
      ["x-envoy-upstream-rq-timeout-ms", "1"],
      ["x-envoy-upstream-rq-per-try-timeout-ms", "1"],
      ["x-envoy-expected-rq-timeout-ms", "1"],
      ["x-envoy-max-retries", "9"],
      ["x-envoy-retry-on", "5xx"],
      ["x-envoy-internal", "true"],
      ["x-envoy-force-trace", "true"],
      ["x-envoy-original-path", "/other"],
      ["x-envoy-original-dst-host", "127.0.0.1:1"],
      ["x-envoy-decorator-operation", "other"],
      ["x-envoy-ip-tags", "office"],
      ["X-Envoy-Attempt-Count", "9"],
    ];
    const answer = await send(edge.target(), to("public", headers, { path: "/slow?echo-delay-ms=100" }));
    const { headers: reached, path } = answer.json<Echo>();
    expect([answer.status, path]).toEqual([200, "/slow?echo-delay-ms=100"]);
    // The proxy's own word for the address that it saw is the only one there.
    expect(reached.filter(([name]) => name.toLowerCase().startsWith("x-envoy"))).toEqual([
      ["x-envoy-external-address", "127.0.0.1"],
    ]);
    const failing = await send(edge.target(), to("public", headers, { path: "/retried?echo-status=503" }));
    expect([failing.status, orders.received().filter((echo) => echo.path.startsWith("/retried")).length]).toEqual([
      503, 1,
    ]);
  });

  it("compares names as they are written, not as patterns", async () => {
    const meta = (path: string, headers: HeaderList = []) => send(edge.target(), to("meta", headers, { path }));
    const good = await meta("/?kxy=1&k.y=k-erp.eu", [["cookie", "kxy=keep; k.y=k-alice; k.yz=keep"]]);
    expect([
      good.status,
      upstreamValues(good, "x-user-id"),
      upstreamValues(good, "cookie"),
      good.json<Echo>().path,
    ]).toEqual([200, ["erp.eu"], ["kxy=keep; k.yz=keep"], "/?kxy=1"]);
    for (const path of ["/?kxy=k-erp.eu", "/?k.y=k-erpxeu", "/?k.y=k-erp.*", "/?k.y=.*", "/?k%2ey=k-erpxeu"]) {
      expect([path, (await meta(path)).status]).toEqual([path, 401]);
    }
  });

  it("counts a call for a limit by header where any of its values matches", async () => {
    const limits = [{ name: "free", requests: 1, per: "1h", match: { headers: { "x-plan": "free" } } }];
    const authentication = { mode: "Public", reason: "a test of limits" };
    await shop.enforce([
      ...guarded("plan", authentication).slice(0, 1),
      apiPolicy("plan", { kind: "HTTPRoute", name: "plan" }, { authentication, rateLimit: { limits } }),
    ]);
    const plan = async (...values: readonly string[]): Promise<number> =>
      (
        await send(
          edge.target(),
          to(
            "plan",
            values.map((value) => ["x-plan", value] as const),
          ),
        )
      ).status;
    await eventually("the route", async () => (await plan("paid")) === 200);
    expect([await plan("free"), await plan("free"), await plan("paid")]).toEqual([200, 429, 200]);
    for (const values of [
      ["paid", "free"],
      ["free", "paid"],
      ["paid, free"],
      ["paid,free"],
      ["free,paid"],
      ["a", "free", "b"],
    ]) {
      expect([values, await plan(...values)]).toEqual([values, 429]);
    }
    expect(await plan("freedom")).toBe(200);
  });

  it("writes one JSON object a line, with the right keys, whatever a client sends", async () => {
    const odd = [
      '"',
      "\\",
      '"}\n{"decision":"Allowed"}',
      "%0a%0d",
      "\x7f",
      "\x1b[31m",
      "\t",
      "é",
      "\xff\xfe",
      "%REQ(authorization)%",
      "</script>",
      "${jndi:ldap://x}",
      "\u2028",
      "a".repeat(4_000),
      '\\"',
      "{}",
      "'",
      "null",
    ];
    let sent = 0;
    const connection = { host: "public.test" };
    for (const [at, text] of odd.entries()) {
      const clean = text.replaceAll("\n", " ");
      const requests: readonly RequestSpec[] = [
        { ...connection, headers: [["user-agent", clean]], path: `/log/${String(at)}` },
        { ...connection, headers: [["x-odd", clean]], path: `/log/${String(at)}` },
        { ...connection, path: `/log/${encodeURIComponent(clean)}?a=${encodeURIComponent(clean)}` },
        { ...connection, path: `/log/${clean.replaceAll(/[\s]/g, "_")}` },
        { host: `public.test${clean}` },
        {
          ...connection,
          method: /^[a-z]+$/i.test(clean) ? clean.slice(0, 20) : "GET",
          headers: [["x-request-id", clean]],
          path: "/log/id",
        },
        {
          host: "jwt.test",
          path: "/log/claim",
          headers: bearer(signer.token(claimsFor(ISSUER, "shop", { sub: text }))),
        },
      ];
      for (const request of requests) {
        // A request that the codec itself refuses is no call: it may or may not be logged.
        await send(edge.target(), request).catch(() => undefined);
        sent++;
      }
    }
    await send(edge.target(), { host: "public.test", path: "/log/last" });
    const file = join(harness.logDirectory, LOG_FILE);
    const lines = await eventually("the last line", () => {
      const text = readFileSync(file, "utf8");
      return text.includes("/log/last") ? text.split("\n").filter((line) => line !== "") : undefined;
    });
    const known = new Set(
      "time requestId gateway route method host path protocol userAgent clientIP peerIP status decision policy reason flags policies wouldDeny consumer subject certificate limitOverflow durationMs bytesReceived bytesSent upstream tlsVersion serverName headers fields".split(
        " ",
      ),
    );
    for (const line of lines) {
      const record = JSON.parse(line) as Readonly<Record<string, unknown>>;
      expect(Object.keys(record).filter((name) => !known.has(name))).toEqual([]);
      expect([record["gateway"], typeof record["status"]]).toEqual([`${shop.namespace}/edge`, "number"]);
    }
    expect(lines.filter((line) => line.includes("/log/")).length).toBeGreaterThan(sent / 2);
    // A line is a call: a forged one would have no id of its own. What the codec refuses has none, and no route either.
    const records = lines.map((line) => JSON.parse(line) as Readonly<Record<string, string | number>>);
    const [calls, malformed] = [
      records.filter(({ requestId }) => requestId !== undefined),
      records.filter(({ requestId }) => requestId === undefined),
    ];
    expect(new Set(calls.map(({ requestId }) => requestId)).size).toBe(calls.length);
    expect(calls.every(({ requestId }) => /^[0-9a-f-]{36}$/.test(String(requestId)))).toBe(true);
    expect(malformed.filter(({ status, route }) => status !== 400 || route !== undefined)).toEqual([]);
    // Nobody is named who was not verified.
    const unverified = records.filter(({ host = "" }) => String(host).startsWith("public.test"));
    expect(unverified.filter(({ consumer, subject }) => consumer !== undefined || subject !== undefined)).toEqual([]);
  });
});

function lowerCased(headers: HeaderList): HeaderList {
  return headers.map(([name, value]) => [name.toLowerCase(), value]);
}
