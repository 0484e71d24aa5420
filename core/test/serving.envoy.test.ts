/** The thread from objects to answers: what the engine puts out, in a real Envoy, asked over HTTP. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { send } from "../../e2e/client/http1.ts";
import { freePorts } from "../../e2e/cluster/port.ts";
import { type EnvoyProcess, startEnvoy } from "../../e2e/envoy/process.ts";
import { type Echo, type EchoUpstream, startEcho } from "../../e2e/upstream/echo.ts";
import { createEngine } from "../src/engine.ts";
import { backend, gateway, gatewayClass, OPTIONS, route, service } from "./objects.ts";
import { resourcesAfter, staticBootstrap } from "./static-bootstrap.ts";

let envoy: EnvoyProcess;
let upstreams: readonly EchoUpstream[] = [];
let port = 0;

beforeAll(async () => {
  upstreams = await Promise.all(["blue", "green"].map((name) => startEcho({ name, address: "127.0.0.1" })));
  [port = 0] = await freePorts(1);
  const engine = createEngine(OPTIONS);
  const output = engine.apply(
    [
      gatewayClass,
      gateway("edge", [
        { name: "http", port: 80, protocol: "HTTP" },
        { name: "wild", port: 80, protocol: "HTTP", hostname: "*.wild.test" },
      ]),
      ...upstreams.flatMap(({ name, address, port: at }) => service(name, { address, port: at })),
      route("exact", {
        hostnames: ["shop.test"],
        rules: [
          { matches: [{ path: { type: "PathPrefix", value: "/a" } }], backendRefs: [backend("blue")] },
          { matches: [{ path: { type: "Exact", value: "/a/exact" } }], backendRefs: [backend("green")] },
          { matches: [{ path: { type: "RegularExpression", value: "/a/[0-9]+" } }], backendRefs: [backend("green")] },
          { matches: [{ path: { type: "PathPrefix", value: "/a" }, method: "POST" }], backendRefs: [backend("green")] },
          {
            matches: [
              {
                path: { type: "PathPrefix", value: "/a" },
                headers: [{ name: "x-color", value: "green" }],
                queryParams: [{ name: "q", value: "1" }],
              },
            ],
            backendRefs: [backend("green")],
          },
          {
            matches: [{ path: { type: "PathPrefix", value: "/rewrite" } }],
            filters: [
              {
                type: "URLRewrite",
                urlRewrite: { hostname: "inner.test", path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/" } },
              },
              {
                type: "RequestHeaderModifier",
                requestHeaderModifier: { set: [{ name: "x-set", value: "100%" }], remove: ["x-gone"] },
              },
              { type: "ResponseHeaderModifier", responseHeaderModifier: { add: [{ name: "x-answer", value: "yes" }] } },
            ],
            backendRefs: [backend("blue")],
          },
          {
            matches: [{ path: { type: "PathPrefix", value: "/moved" } }],
            filters: [
              { type: "RequestRedirect", requestRedirect: { scheme: "https", hostname: "new.test", statusCode: 301 } },
            ],
          },
          { matches: [{ path: { type: "PathPrefix", value: "/nowhere" } }], backendRefs: [backend("missing")] },
        ],
      }),
      route("wildcard", {
        parentRefs: [{ name: "edge", sectionName: "wild" }],
        rules: [{ backendRefs: [backend("green")] }],
      }),
      route("deep", {
        parentRefs: [{ name: "edge", sectionName: "wild" }],
        hostnames: ["deep.wild.test"],
        rules: [{ matches: [{ path: { type: "PathPrefix", value: "/only" } }], backendRefs: [backend("blue")] }],
      }),
    ],
    0,
  );
  envoy = await startEnvoy({
    bootstrap: staticBootstrap(resourcesAfter([output], "shop/edge"), { ports: new Map([[80, port]]) }),
    logLevel: "warning",
  });
});

afterAll(async () => {
  await envoy?.stop();
  await Promise.all(upstreams.map((upstream) => upstream.stop()));
});

async function ask(
  host: string,
  path: string,
  more: { readonly method?: string; readonly headers?: readonly (readonly [string, string])[] } = {},
): Promise<{
  readonly status: number;
  readonly echo: Echo | undefined;
  readonly header: (name: string) => string | undefined;
  readonly body: string;
}> {
  const answer = await send({ address: "127.0.0.1", port }, { path, host, ...more });
  const echo = answer.status === 200 ? (JSON.parse(answer.body) as Echo) : undefined;
  return {
    status: answer.status,
    echo,
    header: (name) => answer.headers.find(([key]) => key.toLowerCase() === name)?.[1],
    body: answer.body,
  };
}

test.each([
  ["shop.test", "/a/x", "blue"],
  ["shop.test", "/a", "blue"],
  ["shop.test:8080", "/a", "blue"],
  ["SHOP.test", "/a", "blue"],
  ["shop.test.", "/a", "blue"],
  ["Shop.Test.:80", "/a", "blue"],
  ["shop.test", "/a/exact", "green"],
  ["shop.test", "/a/17", "green"],
  ["x.wild.test", "/any", "green"],
  ["y.x.wild.test", "/any", "green"],
  ["X.WILD.test.", "/any", "green"],
  ["deep.wild.test", "/only", "blue"],
  ["DEEP.wild.test", "/only/x", "blue"],
])("%s%s is answered by %s", async (host, path, upstream) => {
  const { status, echo } = await ask(host, path);
  expect([status, echo?.upstream]).toEqual([200, upstream]);
});

test("method, headers and query choose", async () => {
  expect((await ask("shop.test", "/a", { method: "POST" })).echo?.upstream).toBe("green");
  expect((await ask("shop.test", "/a?q=1", { headers: [["x-color", "green"]] })).echo?.upstream).toBe("green");
  expect((await ask("shop.test", "/a?q=2", { headers: [["x-color", "green"]] })).echo?.upstream).toBe("blue");
});

test.each([
  ["other.test", "/a"],
  ["shop.test", "/ab"],
  ["deep.wild.test", "/else"], // a host that is known does not fall through to the wildcard
  ["wild.test", "/any"],
])("%s%s has no route", async (host, path) => {
  const { status, body, header } = await ask(host, path);
  expect([status, header("content-type")]).toEqual([404, "application/problem+json"]);
  expect(JSON.parse(body)).toMatchObject({ status: 404, code: "GW-ROUTE-001" });
});

test.each(["", "a..test", "user@shop.test"])("host '%s' is no host name and is refused", async (host) => {
  const { status, header } = await ask(host, "/a");
  expect([status, header("content-type")]).toEqual([400, "application/problem+json"]);
});

test("a forged scope header changes nothing, and no header of ours reaches the upstream", async () => {
  const { echo } = await ask("x.wild.test", "/any", {
    headers: [
      ["x-gatewarden-scope", "http-80|shop.test"],
      ["x-gatewarden-consumer", "a/b"],
      ["x-envoy-external-address", "1.2.3.4"],
    ],
  });
  expect(echo?.upstream).toBe("green");
  expect(echo?.headers.filter(([name]) => name.startsWith("x-gatewarden"))).toEqual([]);
  expect(new Map(echo?.headers).get("x-envoy-external-address")).toBe("127.0.0.1"); // Envoy's own word
});

test("rewrites and header edits", async () => {
  const { echo, header } = await ask("shop.test", "/rewrite/x", { headers: [["x-gone", "1"]] });
  expect(echo?.path).toBe("/x");
  const headers = new Map(echo?.headers);
  expect([headers.get("host"), headers.get("x-set"), headers.get("x-gone"), header("x-answer")]).toEqual([
    "inner.test",
    "100%",
    undefined,
    "yes",
  ]);
});

test("redirects keep their own shape", async () => {
  const { status, header, body } = await ask("shop.test", "/moved/x");
  expect([status, header("location"), body]).toEqual([301, "https://new.test/moved/x", ""]);
});

test("a backend that does not exist answers 500", async () => {
  const { status, body } = await ask("shop.test", "/nowhere");
  expect([status, (JSON.parse(body) as { code: string }).code]).toEqual([500, "GW-ROUTE-003"]);
});

test.each(["/a;x=1", "/a/%2e%2e;/b", "/a%3bx", "/a%2fb", "/a%5cb", "/a%00"])("%s is refused", async (path) => {
  expect((await ask("shop.test", path)).status).toBe(400);
});

test.each(["/x/../a", "//a", "/%61", "/x/%2e%2e/a"])("%s is read as /a", async (path) => {
  expect((await ask("shop.test", path)).echo?.upstream).toBe("blue");
});
