/**
 * Host evasion: however a client writes a host, every section of that host's policy holds; what the upstream would take for the host never
 * arrives through a wildcard or the catch-all beside it.
 */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { HeaderList } from "../client/answer.ts";
import { connectHttp1, send } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { createSigner, keySet } from "../material/jwt.ts";
import type { EchoUpstream } from "../upstream/echo.ts";
import { addConsumer, apiPolicy } from "./policies-manifest.ts";
import { httpRoute, rule } from "./routes-manifest.ts";

const DENIED = "127.0.9.9";
const OPEN = { authentication: { mode: "Public", reason: "a test of hosts" } };

/** Host headers that some server takes for the host. */
const FORMS: readonly ((host: string) => string)[] = [
  (host) => host,
  (host) => host.toUpperCase(),
  (host) => `${host.charAt(0).toUpperCase()}${host.slice(1)}`,
  (host) => `${host}.`,
  (host) => `${host.toUpperCase()}.`,
  (host) => `${host}..`,
  (host) => `${host}:80`,
  (host) => `${host}:8080`,
  (host) => `${host}:443`,
  (host) => `${host}:0`,
  (host) => `${host}:65535`,
  (host) => `${host}:99999`,
  (host) => `${host}:`,
  (host) => `${host}:a`,
  (host) => `${host}:80:80`,
  (host) => `${host}.:8080`,
  (host) => `${host.toUpperCase()}.:8080`,
  (host) => `${host}..:8080`,
  (host) => ` ${host}`,
  (host) => `${host} `,
  (host) => `\t${host}\t`,
  (host) => `.${host}`,
  (host) => `user@${host}`,
  (host) => `user:pass@${host}:80`,
  (host) => `${host}/`,
  (host) => `${host}/open`,
  (host) => `${host}?`,
  (host) => `${host}#`,
  (host) => `${host}%00`,
  (host) => `${host}%2e`,
  (host) => `${host}%20`,
  (host) => host.replace(".", "%2e"),
  (host) => host.replace(".", "%2E").toUpperCase(),
  (host) => host.replace(".", "\u3002"),
  (host) => `${host},open.test`,
  (host) => `${host}, open.test`,
  (host) => `open.test,${host}`,
  (host) => `${host};open.test`,
  (host) => `[${host}]`,
  (host) => `http://${host}`,
  (host) => `//${host}`,
  (host) => `${host}|open.test`,
  (host) => `x|${host}`,
  (host) => `*.${host}`,
  (host) => `"${host}"`,
  (host) => `${host}\\`,
  (host) => `xn--${host}`,
];

describe("hosts", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  let guarded: EchoUpstream;
  let openUpstream: EchoUpstream;

  /** Each section on a host of its own, and what it answers to a call that it is there to refuse. */
  const sections: Readonly<Record<string, { readonly spec?: object; readonly refuses: number }>> = {
    key: { spec: { authentication: { apiKey: {} } }, refuses: 401 },
    basic: { spec: { authentication: { basic: {} } }, refuses: 401 },
    jwt: {
      spec: {
        authentication: {
          jwt: [
            { name: "a", issuer: "https://a.test", jwks: { type: "Inline", inline: keySet(createSigner("ES256")) } },
          ],
        },
      },
      refuses: 401,
    },
    several: { spec: { authentication: { apiKey: {}, basic: {} } }, refuses: 401 },
    deny: { spec: { ...OPEN, denylist: { entries: [{ cidr: `${DENIED}/32` }] } }, refuses: 403 },
    allow: { spec: { ...OPEN, allowlist: { entries: [{ cidr: "203.0.113.0/24" }] } }, refuses: 403 },
    limit: { spec: { ...OPEN, rateLimit: { limits: [{ name: "one", requests: 1, per: "24h" }] } }, refuses: 429 },
    "limit-by": {
      spec: { ...OPEN, rateLimit: { limits: [{ name: "one", requests: 1, per: "24h", by: [{ type: "ClientIP" }] }] } },
      refuses: 429,
    },
    none: { refuses: 403 },
    broken: {
      spec: {
        authentication: {
          jwt: [
            {
              name: "a",
              issuer: "https://a.test",
              jwks: { type: "Ref", ref: { kind: "ConfigMap", name: "absent", key: "a" } },
            },
          ],
        },
      },
      refuses: 503,
    },
  };
  const hostOf = (section: string): string => `${section}.guarded.test`;

  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("hosts");
    guarded = await shop.upstream("guarded");
    openUpstream = await shop.upstream("open");
    edge = await shop.gateway();
    await addConsumer(shop, "erp", "k-hosts");
    for (const [name, { spec }] of Object.entries(sections)) {
      await shop.apply(httpRoute(name, { hostnames: [hostOf(name)], rules: [rule("guarded")] }));
      if (spec !== undefined) await shop.apply(apiPolicy(name, { kind: "HTTPRoute", name }, spec));
    }
    await shop.enforce([
      httpRoute("wild-closed", { hostnames: ["*.wild.test"], rules: [rule("guarded")] }),
      apiPolicy("wild-closed", { kind: "HTTPRoute", name: "wild-closed" }, { authentication: { apiKey: {} } }),
      httpRoute("exact-open", { hostnames: ["open.wild.test", "open.test"], rules: [rule("open")] }),
      apiPolicy("exact-open", { kind: "HTTPRoute", name: "exact-open" }, OPEN),
      // Open neighbours that would take a host that is not recognised.
      httpRoute("wild-open", { hostnames: ["*.guarded.test"], rules: [rule("open")] }),
      apiPolicy("wild-open", { kind: "HTTPRoute", name: "wild-open" }, OPEN),
      httpRoute("any-open", { rules: [rule("open")] }),
      apiPolicy("any-open", { kind: "HTTPRoute", name: "any-open" }, OPEN),
    ]);
    for (const [name, { refuses }] of Object.entries(sections)) {
      await eventually(`${name} in force`, async () => (await status(hostOf(name))) === refuses);
    }
    await eventually("the wildcard", async () => (await status("a.wild.test")) === 401);
    await eventually("the catch-all", async () => (await status("elsewhere.test")) === 200);
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const status = async (host: string): Promise<number> => (await send(edge.target({ from: DENIED }), { host })).status;
  /** What a server makes of the Host that reached it. */
  const canonical = (host: string): string =>
    decodeURIComponentOr(host)
      .trim()
      .toLowerCase()
      .replace(/^[a-z]*:?\/\//, "")
      .replace(/^.*@/, "")
      .replace(/[/?#\\\0].*$/s, "")
      .replace(/:[^:\]]*$/, "")
      .replace(/\.+$/, "");

  interface Outcome {
    readonly status: number;
    /** The hosts that reached an upstream. */
    readonly reached: readonly string[];
  }
  const observed = async (call: () => Promise<number>): Promise<Outcome> => {
    const before = [guarded.received().length, openUpstream.received().length] as const;
    const answered = await call().catch(() => 0);
    const arrived = [...guarded.received().slice(before[0]), ...openUpstream.received().slice(before[1])];
    return {
      status: answered,
      reached: arrived.map(({ headers }) => headers.find(([name]) => /^(host|:authority)$/i.test(name))?.[1] ?? ""),
    };
  };
  const raw = async (bytes: string): Promise<number> => {
    const connection = await connectHttp1(edge.target({ from: DENIED }));
    try {
      return (await connection.raw(bytes)).status;
    } finally {
      connection.close();
    }
  };

  /** 0 where the codec closes the connection. */
  const statusOverHttp2 = async (host: string): Promise<number> => {
    const connection = await connectHttp2(edge.target({ from: DENIED }));
    try {
      return (await connection.request({ host })).status;
    } catch {
      return 0;
    } finally {
      connection.close();
    }
  };

  describe.each(Object.keys(sections))("section %s", (section) => {
    const host = hostOf(section);
    const isGuarded = (reached: readonly string[]): boolean => reached.some((each) => canonical(each) === host);
    const { refuses = 0 } = sections[section] ?? {};

    it("holds for every form of its host, over HTTP/1 and HTTP/2", async () => {
      const faults: string[] = [];
      const tally: Record<number, number> = {};
      for (const form of FORMS) {
        const written = form(host);
        const { status: answered, reached } = await observed(() =>
          raw(`GET / HTTP/1.1\r\nhost: ${written}\r\nconnection: close\r\n\r\n`),
        );
        tally[answered] = (tally[answered] ?? 0) + 1;
        if (isGuarded(reached)) faults.push(`${JSON.stringify(written)} → reached an upstream as ${reached.join()}`);
      }
      const http2 = FORMS.map((form) => form(host)).filter((written) => /^[\x21-\x7e]+$/.test(written));
      const { reached } = await observed(async () => {
        for (const answered of await Promise.all(http2.map(statusOverHttp2)))
          tally[answered] = (tally[answered] ?? 0) + 1;
        return 0;
      });
      if (isGuarded(reached)) faults.push(`over HTTP/2 → reached an upstream as ${reached.join()}`);
      expect(faults).toEqual([]);
      // Most forms are recognised: capitals, dots and ports are refused by the section itself, not by accident.
      expect([tally, (tally[refuses] ?? 0) >= 16]).toEqual([tally, true]);
    });

    it("holds for request targets with a host of their own, for two hosts, and for none", async () => {
      const other = "open.test";
      const lines: readonly string[] = [
        `GET http://${host}/ HTTP/1.1\r\nhost: ${other}`,
        `GET http://${host}/ HTTP/1.1\r\nhost: ${host}`,
        `GET http://${host.toUpperCase()}./ HTTP/1.1\r\nhost: ${other}`,
        `GET http://${host}:8080/ HTTP/1.1\r\nhost: ${other}`,
        `GET http://user@${host}/ HTTP/1.1\r\nhost: ${other}`,
        `GET http://${other}@${host}/ HTTP/1.1\r\nhost: ${other}`,
        `GET http://${other}/ HTTP/1.1\r\nhost: ${host}`,
        `GET http://${host} HTTP/1.1\r\nhost: ${other}`,
        `GET http://${host}/ HTTP/1.0`,
        `GET / HTTP/1.0\r\nhost: ${host}`,
        `GET / HTTP/1.1\r\nhost: ${other}\r\nhost: ${host}`,
        `GET / HTTP/1.1\r\nhost: ${host}\r\nhost: ${other}`,
        `GET / HTTP/1.1\r\nhost: ${host}\r\nHost: ${host}`,
        `GET / HTTP/1.1\r\nhost:\r\nhost: ${host}`,
        `GET / HTTP/1.1\r\nhost: ${other}\r\n host: ${host}`,
        `GET / HTTP/1.1\r\nhost : ${host}`,
        `GET / HTTP/1.1\r\nhost: ${host}\r\nx-forwarded-host: ${other}`,
        `GET / HTTP/1.1\r\nhost: ${host}\r\n:authority: ${other}`,
        `GET / HTTP/1.1\r\n:authority: ${host}\r\nhost: ${other}`,
        `GET / HTTP/1.1\r\nhost: ${host}\r\nx-gatewarden-scope: ${other}`,
        `GET //${host}/ HTTP/1.1\r\nhost: ${other}`,
        `GET / HTTP/1.1\r\nhost:`,
        `GET / HTTP/1.1`,
      ];
      for (const line of lines) {
        const { reached } = await observed(() => raw(`${line}\r\nconnection: close\r\n\r\n`));
        expect([line, reached.filter((each) => canonical(each) === host)]).toEqual([line, []]);
      }
      const connection = await connectHttp2(edge.target({ from: DENIED }));
      const pairs: readonly (readonly [authority: string, headers: HeaderList])[] = [
        [host, [["host", other]]],
        [other, [["host", host]]],
        [host, [["x-gatewarden-scope", other]]],
      ];
      for (const [authority, headers] of pairs) {
        const { reached } = await observed(async () => (await connection.request({ host: authority, headers })).status);
        expect([authority, headers, reached.filter((each) => canonical(each) === host)]).toEqual([
          authority,
          headers,
          [],
        ]);
      }
      connection.close();
    });
  });

  it("under a wildcard are all guarded, but those that have a route of their own", async () => {
    const closed = [
      "a.wild.test",
      "A.WILD.test",
      "a.wild.test.",
      "a.wild.test:80",
      "a.b.wild.test",
      "a.b.WILD.test.:8080",
      "-.wild.test",
      "*.wild.test",
      "xopen.wild.test",
      "open.open.wild.test",
    ];
    for (const host of closed) expect([host, await status(host)]).toEqual([host, 401]);
    for (const host of ["open.wild.test", "OPEN.wild.test", "open.wild.test.", "open.wild.test:80"]) {
      expect([host, await status(host)]).toEqual([host, 200]);
    }
    for (const host of ["..wild.test", ".wild.test", "a..wild.test"])
      expect([host, await status(host)]).toEqual([host, 400]);
    for (const form of FORMS) {
      const written = form("a.wild.test");
      const { reached } = await observed(() => raw(`GET / HTTP/1.1\r\nhost: ${written}\r\nconnection: close\r\n\r\n`));
      expect([written, reached.filter((each) => canonical(each) === "a.wild.test")]).toEqual([written, []]);
    }
  });

  it("that no policy guards stay what they are", async () => {
    for (const host of [
      "open.test",
      "OPEN.test.",
      "elsewhere.test",
      "wild.test",
      "guarded.test",
      "x.guarded.test",
      "key.guarded.test.other.test",
      "127.0.0.1",
      "[::1]:8080",
    ]) {
      expect([host, await status(host)]).toEqual([host, 200]);
    }
  });
});

function decodeURIComponentOr(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
