/** What an HTTPRoute matches, and which match wins. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1 } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import type { Echo } from "../upstream/echo.ts";
import { answeredLines, type Case, expectedLines, httpRoute, rule, untilAnswered } from "./routes-manifest.ts";

const OPEN = { "gatewarden.io/require-policy": "false" };
const exact = (value: string): object => ({ path: { type: "Exact", value } });
const prefix = (value: string): object => ({ path: { type: "PathPrefix", value } });
const regex = (value: string): object => ({ path: { type: "RegularExpression", value } });

describe("HTTPRoute matches", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("match");
    for (const name of ["alpha", "beta", "gamma"]) await shop.upstream(name);
    await shop.upstream("grpcish", { appProtocol: "kubernetes.io/h2c" });
    edge = await shop.gateway({ annotations: OPEN });
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const check = async (host: string, cases: readonly Case[]): Promise<void> => {
    expect(await answeredLines(edge.target(), host, cases)).toEqual(expectedLines(cases));
  };

  it("tells exact paths, prefixes of whole segments and expressions apart", async () => {
    const rules = [
      rule("alpha", exact("/exact")),
      rule("beta", prefix("/prefix")),
      rule("gamma", prefix("/prefix/deeper/"), regex("/users/[0-9]+")),
    ];
    await shop.enforce(httpRoute("paths", { hostnames: ["paths.test"], rules }));
    await untilAnswered(edge.target(), { host: "paths.test", path: "/exact" }, "alpha");
    await check("paths.test", [
      [{ path: "/exact" }, "alpha"],
      [{ path: "/exact?q=1" }, "alpha"],
      [{ path: "/exact/" }, 404],
      [{ path: "/exactly" }, 404],
      [{ path: "/EXACT" }, 404],
      [{ path: "/prefix" }, "beta"],
      [{ path: "/prefix/" }, "beta"],
      [{ path: "/prefix/x/y" }, "beta"],
      [{ path: "/prefix?q=/x" }, "beta"],
      [{ path: "/prefixed" }, 404],
      [{ path: "/prefix/deeper" }, "gamma"],
      [{ path: "/prefix/deeper/x" }, "gamma"],
      [{ path: "/prefix/deeperer" }, "beta"],
      [{ path: "/users/42" }, "gamma"],
      [{ path: "/users/42?full=1" }, "gamma"],
      [{ path: "/users/42/orders" }, 404],
      [{ path: "/users/x" }, 404],
      [{ path: "/" }, 404],
    ]);
  });

  it("matches headers by name in any case, by value and by expression, all of them", async () => {
    const header = (name: string, value: string, type?: string): object => ({ name, value, ...(type && { type }) });
    const rules = [
      rule("alpha", { headers: [header("X-Env", "prod")] }),
      rule("beta", { headers: [header("x-version", "v[0-9]+", "RegularExpression")] }),
      // Of two entries for one name only the first counts.
      rule("gamma", { headers: [header("x-a", "1"), header("X-A", "2"), header("x-b", "2")] }),
    ];
    await shop.enforce(httpRoute("headers", { hostnames: ["headers.test"], rules }));
    await untilAnswered(edge.target(), { host: "headers.test", headers: { "x-env": "prod" } }, "alpha");
    await check("headers.test", [
      [{ headers: { "X-ENV": "prod" } }, "alpha"],
      [{ headers: { "x-env": "Prod" } }, 404],
      [{ headers: { "x-env": "production" } }, 404],
      [{ headers: { "x-version": "v12" } }, "beta"],
      [{ headers: { "x-version": "xv12" } }, 404],
      [{ headers: { "x-version": "v12x" } }, 404],
      [{ headers: { "x-a": "1", "x-b": "2" } }, "gamma"],
      [{ headers: { "x-a": "2", "x-b": "2" } }, 404],
      [{ headers: { "x-a": "1" } }, 404],
      [{}, 404],
    ]);
  });

  it("matches query parameters and methods", async () => {
    const rules = [
      rule("alpha", { queryParams: [{ name: "colour", value: "blue" }] }),
      rule("beta", { queryParams: [{ name: "size", value: "[0-9]+", type: "RegularExpression" }] }),
      rule("gamma", { method: "POST" }, { method: "DELETE", ...exact("/gone") }),
    ];
    await shop.enforce(httpRoute("queries", { hostnames: ["queries.test"], rules }));
    await untilAnswered(edge.target(), { host: "queries.test", path: "/?colour=blue" }, "alpha");
    await check("queries.test", [
      [{ path: "/any?x=1&colour=blue" }, "alpha"],
      [{ path: "/?colour=Blue" }, 404],
      [{ path: "/?Colour=blue" }, 404],
      [{ path: "/?colour=bluegreen" }, 404],
      [{ path: "/?size=42" }, "beta"],
      [{ path: "/?size=42m" }, 404],
      [{ path: "/?size=" }, 404],
      [{ method: "POST", path: "/x", body: "" }, "gamma"],
      [{ method: "DELETE", path: "/gone" }, "gamma"],
      [{ method: "DELETE", path: "/other" }, 404],
      [{ path: "/x" }, 404],
    ]);
  });

  it("prefers exact paths, then longer prefixes, then a method, more headers, more query parameters", async () => {
    const header = { headers: [{ name: "x-a", value: "1" }] };
    const twoHeaders = {
      headers: [
        { name: "x-a", value: "1" },
        { name: "x-b", value: "1" },
      ],
    };
    const query = { queryParams: [{ name: "q", value: "1" }] };
    const rules = [
      rule("alpha", prefix("/")),
      rule("beta", { ...prefix("/a"), ...query }, { ...prefix("/a/b"), ...header }, { ...prefix("/c"), ...header }),
      rule("gamma", exact("/a/b"), { ...prefix("/a"), method: "GET", ...header }, { ...prefix("/c"), ...twoHeaders }),
    ];
    await shop.enforce(httpRoute("order", { hostnames: ["order.test"], rules }));
    await untilAnswered(edge.target(), { host: "order.test" }, "alpha");
    const [one, two] = [{ "x-a": "1" }, { "x-a": "1", "x-b": "1" }];
    await check("order.test", [
      [{ path: "/a/b", headers: one }, "gamma"],
      [{ path: "/a/b/c", headers: one }, "beta"],
      [{ path: "/a?q=1", headers: one }, "gamma"],
      [{ path: "/a?q=1", headers: one, method: "PUT", body: "" }, "beta"],
      [{ path: "/a?q=1" }, "beta"],
      [{ path: "/a" }, "alpha"],
      [{ path: "/c", headers: two }, "gamma"],
      [{ path: "/c", headers: one }, "beta"],
      [{ path: "/c" }, "alpha"],
    ]);
  });

  it("lets the older of two equal routes win, then the first by name, and the next one when it goes", async () => {
    const route = (name: string, backend: string) =>
      httpRoute(name, {
        hostnames: ["age.test"],
        rules: [rule(backend, exact("/same")), rule(backend, exact(`/${name}`))],
      });
    const [oldest] = await shop.apply(route("z-oldest", "alpha"));
    await untilAnswered(edge.target(), { host: "age.test", path: "/z-oldest" }, "alpha");
    // The API server keeps whole seconds.
    const created = (oldest?.metadata as { readonly creationTimestamp?: string }).creationTimestamp ?? "";
    await eventually("a younger second", () => Date.now() >= Date.parse(created) + 2_000);
    const both = await Promise.all([shop.apply(route("b-young", "gamma")), shop.apply(route("a-young", "beta"))]);
    await untilAnswered(edge.target(), { host: "age.test", path: "/a-young" }, "beta");
    await untilAnswered(edge.target(), { host: "age.test", path: "/b-young" }, "gamma");
    await check("age.test", [[{ path: "/same" }, "alpha"]]);
    await shop.remove("HTTPRoute", "z-oldest");
    const [[b], [a]] = both;
    const older = timeOf(b) < timeOf(a) ? "gamma" : "beta";
    await untilAnswered(edge.target(), { host: "age.test", path: "/same" }, older);
  });

  it("follows an edit of a route on connections that are open, and forgets a route that is gone", async () => {
    const route = (backend: string) => httpRoute("moving", { hostnames: ["moving.test"], rules: [rule(backend)] });
    await shop.enforce(route("alpha"));
    await untilAnswered(edge.target(), { host: "moving.test" }, "alpha");
    const [http1, http2] = [await connectHttp1(edge.target()), await connectHttp2(edge.target())];
    const both = async (): Promise<readonly (string | number)[]> => {
      const answers = await Promise.all(
        [http1, http2].map((connection) => connection.request({ host: "moving.test" })),
      );
      return answers.map((answer) => (answer.status === 200 ? answer.json<Echo>().upstream : answer.status));
    };
    expect(await both()).toEqual(["alpha", "alpha"]);
    await shop.enforce(route("beta"));
    await eventually("both see the edit", async () => (await both()).every((upstream) => upstream === "beta"));
    await shop.remove("HTTPRoute", "moving");
    await eventually("both see the removal", async () => (await both()).every((status) => status === 404));
    expect([http1.closed(), http2.closed()]).toEqual([false, false]);
    http1.close();
    http2.close();
    expect(await edge.envoy.admin.stat("listener_manager.listener_modified")).toBe(0);
  });

  it("speaks HTTP/2 to a Service that says h2c, and passes WebSockets", async () => {
    const rules = [rule("grpcish", prefix("/h2")), rule("alpha", prefix("/ws"))];
    await shop.enforce(httpRoute("protocols", { hostnames: ["protocols.test"], rules }));
    await untilAnswered(edge.target(), { host: "protocols.test", path: "/h2" }, "grpcish");
    const h2 = await connectHttp2(edge.target());
    expect((await h2.request({ host: "protocols.test", path: "/h2" })).json<Echo>().httpVersion).toBe("2.0");
    h2.close();
    const socket = await connectHttp1(edge.target());
    const headers = { connection: "Upgrade", upgrade: "websocket" };
    expect((await socket.request({ host: "protocols.test", path: "/ws", headers })).status).toBe(101);
    const echoed = new Promise((resolve) => socket.socket.once("data", (chunk: Buffer) => resolve(String(chunk))));
    socket.socket.write("ping");
    expect(await echoed).toBe("ping");
    socket.close();
  });
});

function timeOf(object: { readonly metadata: object } | undefined): string {
  return (object?.metadata as { readonly creationTimestamp?: string } | undefined)?.creationTimestamp ?? "";
}
