/**
 * The evasion corpus (rules.md A6) through every kind of rule about paths, with several methods: what the upstream gets is what the rule was
 * asked about, whatever the form, and no reading of what it gets lies behind a rule that was passed.
 */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { connectHttp1 } from "../../../../e2e/client/http1.ts";
import { pathForms, readings } from "../../../../e2e/material/path-forms.ts";
import type { Echo } from "../../../../e2e/upstream/echo.ts";
import { translate } from "../../../test/authorization.ts";
import { type Chain, startChain } from "../../../test/chain.ts";
import type { JsonObject } from "../../world.ts";

const CLOSED = ["/admin/**", "/secret", "/{version}/users/*"];
const OPEN = ["/open/**", "/health"];
const isClosed = (path: string): boolean => /^\/admin(\/.*)?$|^\/secret$|^\/[^/]+\/users\/[^/]+$/s.test(path);
const isOpen = (path: string): boolean => /^\/open(\/.*)?$|^\/health$/s.test(path);

interface Kind {
  readonly rules: object;
  /** Whether the rules mean to let a request for exactly this path pass. */
  readonly lets: (path: string, method: string) => boolean;
}

const rule = (name: string, action: string, more: object): object => ({ name, action, ...more });
const kinds: Readonly<Record<string, Kind>> = {
  deny: {
    rules: { defaultAction: "Allow", rules: [rule("closed", "Deny", { paths: CLOSED })] },
    lets: (path) => !isClosed(path),
  },
  "deny a method": {
    rules: { defaultAction: "Allow", rules: [rule("closed", "Deny", { paths: CLOSED, methods: ["POST", "DELETE"] })] },
    lets: (path, method) => method === "GET" || !isClosed(path),
  },
  allow: { rules: { rules: [rule("open", "Allow", { paths: OPEN })] }, lets: isOpen },
  "allow a method": {
    rules: { rules: [rule("open", "Allow", { paths: OPEN, methods: ["GET"] })] },
    lets: (path, method) => method === "GET" && isOpen(path),
  },
  "allow behind deny": {
    rules: {
      rules: [
        rule("closed", "Deny", { paths: [...CLOSED, "/open/admin/**"] }),
        rule("open", "Allow", { paths: OPEN }),
        rule("read", "Allow", { methods: ["GET"] }),
      ],
    },
    lets: (path, method) =>
      !isClosed(path) && !/^\/open\/admin(\/.*)?$/s.test(path) && (isOpen(path) || method === "GET"),
  },
  when: {
    rules: {
      defaultAction: "Allow",
      rules: [
        rule("closed", "Deny", {
          when: "request.url_path == '/secret' || request.url_path == '/admin' || request.url_path.startsWith('/admin/') || request.url_path.matches('^/[^/]+/users/[^/]+$')",
        }),
      ],
    },
    lets: (path) => !isClosed(path),
  },
};

let chain: Chain;
beforeAll(async () => {
  const all = { "/any": { rules: { defaultAction: "Allow" } } };
  const policies = {
    ...all,
    ...Object.fromEntries(Object.entries(kinds).map(([name, { rules }]) => [`/${name}`, { rules }])),
  };
  const { routes } = translate(policies);
  // Each kind of rule has all paths; a header says which is asked.
  const chosen = routes.map((route): JsonObject => {
    const name = ((route["match"] as JsonObject)["path_separated_prefix"] as string).slice(1);
    return { ...route, match: { prefix: "/", headers: [{ name: "x-kind", string_match: { exact: name } }] } };
  });
  chain = await startChain({ routes: chosen });
}, 60_000);
afterAll(() => chain.stop());

interface Verdict {
  readonly status: number;
  /** What the upstream got. */
  readonly path?: string;
}

/** Asks on one connection for as long as the proxy keeps it. */
async function asker() {
  const target = { address: "127.0.0.1", port: chain.port };
  let connection = await connectHttp1(target);
  return {
    async ask(kind: string, method: string, path: string): Promise<Verdict> {
      const answer = await connection.request({ method, path, host: "shop.test", headers: { "x-kind": kind } });
      if (answer.status === 200) return { status: 200, path: answer.json<Echo>().path };
      if (answer.status === 400 || connection.closed()) {
        connection.close();
        connection = await connectHttp1(target);
      }
      return { status: answer.status };
    },
    close: () => connection.close(),
  };
}

const pathOf = (target: string): string => target.split(/[?#]/)[0] ?? "";
const shown = (text: string): string => JSON.stringify(text);

describe.each(Object.entries(kinds))("rules that %s", (kind, { lets }) => {
  test.each(["GET", "POST", "DELETE"])(
    "%s: no form has another verdict than what the upstream gets",
    async (method) => {
      const { ask, close } = await asker();
      const tally: Record<number, number> = {};
      const faults: string[] = [];
      for (const form of pathForms()) {
        const free = await ask("any", method, form);
        const { status, path } = await ask(kind, method, form);
        tally[status] = (tally[status] ?? 0) + 1;
        const what = `${method} ${shown(form)} → ${String(status)}`;
        if (free.path === undefined) {
          // What no server can read alike is refused whatever the rules say.
          if (status !== 400 || free.status !== 400) faults.push(`${what}, and ${String(free.status)} without rules`);
          continue;
        }
        const meant = lets(pathOf(free.path), method) ? 200 : 403;
        if (status !== meant) faults.push(`${what}, and the upstream would get ${shown(free.path)}`);
        if (path !== undefined && !readings(path).every((reading) => lets(reading, method)))
          faults.push(`${what}, and some server reads ${shown(path)} as another path`);
      }
      close();
      expect(faults).toEqual([]);
      expect(pathForms().length).toBeGreaterThan(200);
      // The corpus reaches the verdicts that the kind has for the method, many times.
      const some = (status: number): boolean => (tally[status] ?? 0) > 20;
      const letsAny = ["/", "/open", "/health"].some((path) => lets(path, method));
      const refusesAny = ["/admin", "/secret"].some((path) => !lets(path, method));
      expect([some(400), some(200), some(403)]).toEqual([true, letsAny, refusesAny]);
    },
    120_000,
  );
});
