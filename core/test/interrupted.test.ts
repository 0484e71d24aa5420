/** An evaluation that is interrupted: nothing of it is put out before its end, but what cannot wait and needs nothing else does not wait. */
import { beforeEach, expect, test } from "@jest/globals";
import { createEngine } from "../src/engine.ts";
import { keyPartOf } from "../src/translate/chain.ts";
import type { Change, Engine, Output } from "../src/world.ts";
import { backend, gateway, gatewayClass, gone, OPTIONS, policy, put, route, service } from "./objects.ts";

const ROUTES = 50;
const NOW = Date.parse("2026-06-01T00:00:00Z");
const GRACE_MS = 5_000;
const KEYS = keyPartOf("shop");

let engine: Engine;
let now: number;

const consumer = (name: string): Change =>
  put("ApiConsumer", name, { spec: { apiKeys: [{ name: "k", secretRef: { name, key: "key" } }] } });
const secretOf = (name: string): Change =>
  put("Secret", name, { data: { key: Buffer.from(`key-of-${name}`).toString("base64") } });
const platform = (generation: number, sections: Readonly<Record<string, unknown>>): Change =>
  policy("platform", [{ kind: "Gateway", name: "edge" }], sections, { generation });
const denying = (generation: number, ...cidrs: readonly string[]): Change =>
  platform(generation, { denylist: { entries: cidrs.map((cidr) => ({ cidr })) } });

beforeEach(() => {
  engine = createEngine(OPTIONS);
  now = NOW;
  engine.apply(
    [
      gatewayClass,
      gateway("edge", [{ name: "http", port: 80, protocol: "HTTP" }]),
      ...service("app", { address: "10.0.0.1", port: 8080 }),
      ...["erp", "crm"].flatMap((name) => [consumer(name), secretOf(name)]),
      denying(1, "192.0.2.1/32"),
      ...Array.from({ length: ROUTES }, (_, at) => [
        route(`r${at}`, { hostnames: [`h${at}.test`], rules: [{ backendRefs: [backend("app")] }] }),
        policy(`p${at}`, [{ kind: "HTTPRoute", name: `r${at}` }], { authentication: { apiKey: {} } }),
      ]).flat(),
    ],
    now,
  );
});

/** Interrupted after `units` units of work each time, 100 ms apart; `between` are changes of further steps. */
function inSteps(
  units: number,
  changes: readonly Change[],
  between: ReadonlyMap<number, readonly Change[]> = new Map(),
) {
  const outputs: Output[] = [];
  for (;;) {
    let done = 0;
    const step = outputs.length === 0 ? changes : (between.get(outputs.length) ?? []);
    const output = engine.apply(step, now, () => (done += 1) >= units);
    expect(done).toBeLessThanOrEqual(units);
    outputs.push(output);
    if (output.unfinished !== true) return outputs;
    now += 100;
  }
}
const named = ({ resources }: Output): readonly string[] => resources.map(({ type, name }) => `${type} ${name}`);
const scopes = (output: Output): number => named(output).filter((text) => text.startsWith("scope")).length;

test("is put out as a whole at its end", () => {
  const edit = denying(2, "192.0.2.1/32", "192.0.2.2/32");
  const outputs = inSteps(7, [edit]);
  expect(outputs.length).toBeGreaterThan(ROUTES / 7);
  for (const output of outputs.slice(0, -1)) {
    expect(output).toMatchObject({ resources: [], statuses: [], certificates: [], nextEvaluationMs: undefined });
  }
  const last = outputs.at(-1) as Output;
  expect(scopes(last)).toBe(ROUTES);
  expect(last.recomputed["scopes"]).toBe(ROUTES);
  expect(last.statuses.map(({ key }) => key.name)).toContain("platform");
  expect(engine.apply([], now).resources).toEqual([]);
});

test("a key that is revoked meanwhile does not wait for it", () => {
  const outputs = inSteps(5, [denying(2, "192.0.2.9/32")], new Map([[3, [gone(secretOf("erp"))]]]));
  expect(outputs.length).toBeGreaterThan(6);
  const at = outputs.findIndex(({ resources }) => resources.length > 0);
  expect(at).toBe(3);
  expect(named(outputs[at] as Output)).toEqual([`extension ${KEYS}`]);
  const text = JSON.stringify(outputs[at]?.resources);
  expect(text).toContain("key-of-crm");
  expect(text).not.toContain("key-of-erp");
  expect(scopes(outputs.at(-1) as Output)).toBe(ROUTES);
  expect(named(outputs.at(-1) as Output)).not.toContain(`extension ${KEYS}`);
});

test("endpoints that change meanwhile do not wait for it, a route does", () => {
  const [, moved] = service("app", { address: "10.0.0.2", port: 8080 });
  const edit = route("r0", { hostnames: ["new.test"], rules: [{ backendRefs: [backend("app")] }] }, { generation: 2 });
  const outputs = inSteps(5, [denying(2, "192.0.2.9/32")], new Map([[2, [moved as Change, edit]]]));
  const early = outputs.slice(0, -1).flatMap(named);
  expect(early).toEqual([expect.stringMatching(/^endpoint shop\/app/)]);
  expect(named(outputs.at(-1) as Output)).toContain("scope http-80|new.test");
});

test("what left an extension in its course stays for its time from the end on, when proxies hear of it", () => {
  const issuer = (generation: number, clockSkew: string): Change =>
    platform(generation, {
      authentication: {
        jwt: [
          {
            name: "corp",
            issuer: "https://sso.test",
            audiences: ["shop"],
            clockSkew,
            jwks: { type: "Ref", ref: { kind: "ConfigMap", name: "jwks", key: "jwks.json" } },
          },
        ],
      },
    });
  const openRoutes = Array.from({ length: ROUTES }, (_, at) =>
    gone(policy(`p${at}`, [{ kind: "HTTPRoute", name: `r${at}` }], {})),
  );
  const jwks = JSON.stringify({ keys: [{ kty: "EC", crv: "P-256", alg: "ES256", kid: "1", x: X, y: Y }] });
  engine.apply([issuer(2, "1s"), put("ConfigMap", "jwks", { data: { "jwks.json": jwks } }), ...openRoutes], now);
  const requirements = ({ resources }: Output): number | undefined => {
    const jwt = resources.find(({ name }) => name === "jwt")?.json as
      { readonly typed_config: { readonly requirement_map: object } } | undefined;
    return jwt && Object.keys(jwt.typed_config.requirement_map).length;
  };
  const outputs = inSteps(1, [issuer(3, "2s")]);
  const took = now - NOW;
  expect(took).toBeGreaterThan(GRACE_MS);
  expect(requirements(outputs.at(-1) as Output)).toBe(2);
  // Its clock stood still while it ran: the first look is early, and nothing goes then.
  const early = engine.apply([], now + 1);
  expect(requirements(early)).toBeUndefined();
  expect(early.nextEvaluationMs).toBeGreaterThanOrEqual(now + GRACE_MS);
  expect(requirements(engine.apply([], early.nextEvaluationMs as number))).toBe(1);
});

// The point of RFC 7517 appendix A.1.
const X = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
const Y = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";
