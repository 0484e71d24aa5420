/**
 * Path evasion (rules.md A6): whatever a backend could make of the path that reached it, the proxy decided about the same. Each form is
 * sent byte for byte without a credential; an answer of 200 must mean that no reading of what arrived lies behind the key.
 */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { connectHttp1, type RequestSpec, send } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { pathForms, readings } from "../material/path-forms.ts";
import type { Echo, EchoUpstream } from "../upstream/echo.ts";
import { addConsumer, apiPolicy } from "./policies-manifest.ts";
import { httpRoute, rule } from "./routes-manifest.ts";

const PREFIX = "/admin";
const EXACT = "/secret";
const PATTERN = "/v[0-9]/users/[^/]+";
const OPEN_PREFIX = "/open";
const OPEN_EXACT = "/health";
const KEY = { "x-api-key": "k-paths" };

/** Request targets that are no plain path. */
const TARGETS = [
  "http://{host}/admin",
  "HTTP://{host}/admin",
  "http://{host}:8080/admin",
  "http://{host}//admin",
  "http://{host}/open/../admin",
  "http://{host}",
  "http://{host}?/admin",
  "http://{host}/open#/../admin",
  "http://user@{host}/admin",
  "https://{host}/admin",
  "http:///admin",
  "http:/admin",
  "ftp://{host}/admin",
  "//{host}/admin",
  "/http://{host}/admin",
  "admin",
  "./admin",
  "../admin",
  "?/admin",
  "#/admin",
  "*",
  "{host}",
  "{host}:8080/admin",
  "/admin HTTP/1.1 ",
  "/open /admin",
  "/open\t/admin",
] as const;

describe("paths", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  let orders: EchoUpstream;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("paths");
    orders = await shop.upstream("orders");
    edge = await shop.gateway();
    await addConsumer(shop, "erp", "k-paths");
    const paths = (...list: readonly (readonly [type: string, value: string])[]) =>
      rule("orders", ...list.map(([type, value]) => ({ path: { type, value } })));
    const open = { authentication: { mode: "Public", reason: "a test of paths" } };
    const closed = { authentication: { apiKey: {} } };
    const on = (name: string, host: string, rules: object, section: object) => [
      httpRoute(name, { hostnames: [host], rules: [rules] }),
      apiPolicy(name, { kind: "HTTPRoute", name }, section),
    ];
    await shop.enforce([
      ...on(
        "few-closed",
        "closed.test",
        paths(["PathPrefix", PREFIX], ["Exact", EXACT], ["RegularExpression", PATTERN]),
        closed,
      ),
      ...on("most-open", "closed.test", paths(["PathPrefix", "/"]), open),
      ...on("few-open", "open.test", paths(["PathPrefix", OPEN_PREFIX], ["Exact", OPEN_EXACT]), open),
      ...on("most-closed", "open.test", paths(["PathPrefix", "/"]), closed),
    ]);
    for (const [host, path, status] of [
      ["closed.test", "/", 200],
      ["closed.test", "/admin", 401],
      ["open.test", "/open", 200],
      ["open.test", "/", 401],
    ] as const) {
      await eventually(`${host}${path}`, async () => (await ask({ host, path })).status === status);
    }
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  interface Verdict {
    readonly status: number;
    /** What reached the upstream. */
    readonly path?: string;
  }
  const ask = async (request: RequestSpec): Promise<Verdict> => {
    const answer = await send(edge.target(), request);
    return answer.status === 200 ? { status: 200, path: answer.json<Echo>().path } : { status: answer.status };
  };

  /** Whether some reading of the path lies behind the key on that host. */
  const isClosed: Readonly<Record<string, (path: string) => boolean>> = {
    "closed.test": (path) =>
      path === PREFIX || path.startsWith(`${PREFIX}/`) || path === EXACT || new RegExp(`^${PATTERN}$`).test(path),
    "open.test": (path) => !(path === OPEN_PREFIX || path.startsWith(`${OPEN_PREFIX}/`) || path === OPEN_EXACT),
  };

  describe.each(["closed.test", "open.test"])("of %s", (host) => {
    const closed = (path: string): boolean => readings(path).some((reading) => isClosed[host]?.(reading) === true);

    it("mean the same to the proxy and to any upstream, or are refused", async () => {
      const tally: Record<string, number> = {};
      const faults: string[] = [];
      for (const form of pathForms()) {
        const bare = await ask({ host, path: form });
        tally[bare.status] = (tally[bare.status] ?? 0) + 1;
        if (![200, 400, 401].includes(bare.status)) faults.push(`${shown(form)} → ${String(bare.status)}`);
        if (bare.path !== undefined && closed(bare.path))
          faults.push(`${shown(form)} → 200 without a key, as ${bare.path}`);
        if (bare.status !== 401) continue;
        const keyed = await ask({ host, path: form, headers: KEY });
        // What the proxy asked a key for must be what the upstream then sees: else the key was asked for something else.
        const own = keyed.path?.split(/[?#]/)[0] ?? "";
        if (keyed.status !== 200 || isClosed[host]?.(own) !== true)
          faults.push(`${shown(form)} → with a key ${String(keyed.status)} ${own}`);
      }
      expect(faults).toEqual([]);
      expect(pathForms().length).toBeGreaterThan(200);
      // The corpus reaches all three verdicts, many times.
      for (const status of [200, 400, 401]) expect([status, (tally[status] ?? 0) > 20]).toEqual([status, true]);
    });

    it("mean the same over HTTP/2", async () => {
      const forms = pathForms().filter((form) => /^[\x21-\x7e]+$/.test(form));
      const before = orders.received().length;
      const answered = (await inParallel(forms, statusOverHttp2)).filter((status) => status !== 0);
      const reached = orders
        .received()
        .slice(before)
        .map(({ path }) => path);
      expect([...new Set(answered)].sort()).toEqual([200, 400, 401]);
      expect(reached.filter(closed)).toEqual([]);
      // What is no path at all, the codec answers by closing the connection.
      expect([answered.length, answered.length > 200]).toEqual([answered.length, true]);
      async function statusOverHttp2(path: string): Promise<number> {
        const connection = await connectHttp2(edge.target());
        const status = await connection.request({ host, path }).then(
          (answer) => answer.status,
          () => 0,
        );
        connection.close();
        return status;
      }
    });

    it("in other forms of request targets open nothing", async () => {
      const faults: string[] = [];
      for (const method of ["GET", "POST", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PRI", "get", "PROPFIND"]) {
        for (const form of TARGETS) {
          const target = form.replaceAll("{host}", host);
          const before = orders.received().length;
          const status = await statusOf(`${method} ${target} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
          const reached = orders
            .received()
            .slice(before)
            .map(({ path }) => path);
          if (reached.some(closed)) faults.push(`${method} ${shown(target)} → reached ${reached.join()}`);
          if (status >= 500) faults.push(`${method} ${shown(target)} → ${String(status)}`);
        }
      }
      expect(faults).toEqual([]);
    });

    it("with a method or protocol of another kind open nothing", async () => {
      const closedPath = host === "closed.test" ? "/admin" : "/";
      const first = `GET ${closedPath}`;
      const forms = [
        `${first} HTTP/1.0\r\nhost: ${host}\r\n\r\n`,
        `${first} HTTP/1.1\r\nhost: ${host}\r\nx-http-method-override: OPTIONS\r\nx-original-url: /open\r\nx-rewrite-url: /open\r\n\r\n`,
        `GET /open HTTP/1.1\r\nhost: ${host}\r\nx-original-url: ${closedPath}\r\nx-rewrite-url: ${closedPath}\r\nx-envoy-original-path: ${closedPath}\r\n\r\n`,
        `${first} HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
        `${first} HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n`,
        `${first} HTTP/1.1\r\nhost: ${host}\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
        `POST /open HTTP/1.1\r\nhost: ${host}\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${first} HTTP/1.1\r\nhost: ${host}\r\n\r\n`,
        `POST /open HTTP/1.1\r\nhost: ${host}\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n${first} HTTP/1.1\r\nhost: ${host}\r\n\r\n`,
        `POST /open HTTP/1.1\r\nhost: ${host}\r\ncontent-length: 0\r\ncontent-length: 60\r\n\r\n${first} HTTP/1.1\r\nhost: ${host}\r\n\r\n`,
        `GET /open HTTP/1.1\r\nhost: ${host}\r\n\r\n${first} HTTP/1.1\r\nhost: ${host}\r\n\r\n`,
        `\r\n\r\n${first} HTTP/1.1\r\nhost: ${host}\r\n\r\n`,
        `${first}\r\n\r\n`,
      ];
      for (const [at, form] of forms.entries()) {
        const before = orders.received().length;
        const status = await statusOf(form);
        await new Promise((resolve) => setTimeout(resolve, 20));
        const reached = orders
          .received()
          .slice(before)
          .map(({ path }) => path);
        // 501: a transfer coding that nobody knows.
        expect([at, status < 500 || status === 501, reached.filter(closed)]).toEqual([at, true, []]);
      }
    });
  });

  /** The first answer to these bytes; 0 where the connection ends without one. */
  async function statusOf(bytes: string): Promise<number> {
    const connection = await connectHttp1(edge.target());
    try {
      const withoutBody = bytes.startsWith("HEAD") || bytes.startsWith("CONNECT");
      if (!withoutBody) return (await connection.raw(bytes)).status;
      connection.socket.write(bytes, "latin1");
      const [first] = await new Promise<readonly Buffer[]>((resolve) => {
        connection.socket.once("data", (data: Buffer) => resolve([data])).once("close", () => resolve([]));
      });
      return Number(/^HTTP\/1\.[01] (\d{3})/.exec(first?.toString("latin1") ?? "")?.[1] ?? 0);
    } catch {
      return 0;
    } finally {
      connection.close();
    }
  }
});

/** Some at a time: a connection that the codec closes takes a second of it. */
async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  const rest = [...items.entries()];
  const worker = async (): Promise<void> => {
    for (let next = rest.pop(); next !== undefined; next = rest.pop()) results[next[0]] = await work(next[1]);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return results;
}

function shown(text: string): string {
  return JSON.stringify(text);
}
