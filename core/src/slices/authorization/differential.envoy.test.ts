/** Random sets of rules and random requests, through a real Envoy and through evaluate: the same verdict, status, policy and rule. */
import { expect, test } from "@jest/globals";
import { send } from "../../../../e2e/client/http1.ts";
import { type Policies, modelOf, startPolicies } from "../../../test/authorization.ts";
import { createKeys, jwk, keySet, token } from "../../../test/tokens.ts";
import { routeOf, sourceOf } from "../../../test/section.ts";
import type { Evaluating } from "../../simulate/contract.ts";
import type { JsonObject } from "../../world.ts";
import { evaluate } from "./evaluate.ts";

const SEED = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
const POLICIES = 60;
const REQUESTS = 25;

const CORP = "https://corp.test";
const PARTNER = "https://partner.test";
const keys = createKeys();
const inline = { type: "Inline", inline: keySet(jwk(keys.p256)) } as const;
const authentication = {
  apiKey: {},
  jwt: [
    { name: "corp", issuer: CORP, rolesClaim: ["roles"], jwks: inline },
    { name: "partner", issuer: PARTNER, rolesClaim: ["groups"], jwks: inline },
  ],
} as const;
const consumers = [
  { name: "erp", liveKeys: ["erp-key"], roles: ["user"], attributes: { team: "a" } },
  { name: "ann", liveKeys: ["ann-key"], roles: ["admin", "user"] },
  { name: "bob", liveKeys: ["bob-key"], attributes: { team: "b" } },
];

/** A generator of its own, so that a seed says everything. */
function random(seed: number) {
  let state = seed >>> 0;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const one = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  const some = <T>(list: readonly T[]): readonly T[] => {
    const found = list.filter(() => next() < 0.4);
    return found.length === 0 ? [one(list)] : found;
  };
  const maybe = (chance: number, make: () => object): object => (next() < chance ? make() : {});
  return { next, one, some, maybe };
}
type Random = ReturnType<typeof random>;

const EXPRESSIONS = [
  "request.method == 'GET'",
  "claims.level > 3",
  "request.headers['x-t'] == 'a'",
  "'x-t' in request.headers && request.headers['x-t'] in ['a', 'b']",
  "request.headers['x-t'] != 'a'",
  "!(request.headers['x-t'].startsWith('a'))",
  "request.headers['x-t'].matches('^(a|b)$') || request.url_path.endsWith('/x')",
  "consumer.attributes.team == 'a'",
  "has(claims.level) ? claims.level < 5 : request.query == 'q=1'",
];

function ruleOf(at: number, r: Random): object {
  const action = r.one(["Allow", "Deny"]);
  return {
    name: `r${String(at)}`,
    action,
    ...r.maybe(0.3, () => ({ methods: r.some(["GET", "POST", "DELETE"]) })),
    ...r.maybe(0.3, () => ({ paths: r.some(["/*/x/**", "/{p}/x", "/*/y/*", "/**"]) })),
    ...r.maybe(0.25, () => ({ roles: r.some(["user", "admin", "guest"]) })),
    ...r.maybe(0.15, () => ({ consumers: r.some(["erp", "bob"]) })),
    ...r.maybe(0.15, () => ({ scopes: r.some(["s1", "s2"]) })),
    ...r.maybe(0.15, () => ({
      claims: [{ provider: r.one(["corp", "partner"]), path: ["o", "d"], values: r.some(["v", "7"]) }],
    })),
    ...r.maybe(0.15, () => ({ sources: r.some(["127.0.0.1/32", "127.0.0.8/30", "10.0.0.0/8"]) })),
    ...r.maybe(0.25, () => ({ when: r.one(EXPRESSIONS) })),
    ...(action === "Deny"
      ? {}
      : r.maybe(0.2, () => ({ mfa: r.one([{ acr: ["m"] }, { amr: ["otp"] }, { maxAge: "10m" }]) }))),
    ...(action === "Deny" ? {} : r.maybe(0.1, () => ({ grant: "Required" }))),
  };
}

function setOf(r: Random): object {
  const count = 1 + Math.floor(r.next() * 6);
  return { defaultAction: r.one(["Allow", "Deny"]), rules: Array.from({ length: count }, (_, at) => ruleOf(at, r)) };
}

function claimsOf(r: Random): JsonObject {
  const now = Math.floor(Date.now() / 1_000);
  return {
    iss: r.one([CORP, PARTNER]),
    exp: now + 600,
    ...r.maybe(0.5, () => ({ roles: r.one<object | string>([["user"], "admin", ["guest", "user"], {}]) })),
    ...r.maybe(0.5, () => ({ groups: r.one<object | string>([["user"], "admin"]) })),
    ...r.maybe(0.5, () => ({ scope: r.one(["s1", "s1 s2", "s12"]) })),
    ...r.maybe(0.3, () => ({ scp: r.one<object | string>([["s2"], "s1 s2"]) })),
    ...r.maybe(0.5, () => ({ o: { d: r.one<unknown>(["v", 7, ["x", "v"], true]) } })),
    ...r.maybe(0.5, () => ({ level: r.one([1, 4, 7]) })),
    ...r.maybe(0.4, () => ({ acr: r.one(["m", "n"]) })),
    ...r.maybe(0.4, () => ({ amr: r.one<object | string>([["pwd", "otp"], "otp", ["pwd"]]) })),
    ...r.maybe(0.4, () => ({ auth_time: now - r.one([10, 3_000]) })),
  };
}

test(`evaluate says what Envoy does (SEED=${String(SEED)})`, async () => {
  const r = random(SEED);
  const policies: Policies = Object.fromEntries(
    Array.from({ length: POLICIES }, (_, at) => {
      const floors = Array.from({ length: r.one([0, 0, 1, 2]) }, () => setOf(r));
      return [`/p${String(at)}`, { rules: setOf(r), floors, authentication }];
    }),
  );
  const grants = Object.fromEntries(Object.keys(policies).map((path) => [`shop${path}/r1`, ["erp"]]));
  const world = { consumers, grants };
  const callers = {
    consumers: "shop",
    issuers: authentication.jwt.map(({ name, issuer, rolesClaim }) => ({ name, issuer, rolesClaim })),
  };
  const chain = await startPolicies(policies, world);
  const tally = new Map<number, number>();
  try {
    for (const [path, { rules, floors = [] }] of Object.entries(policies)) {
      const name = path.slice(1);
      const parts = [
        ...floors.map((floor, at) => modelOf(floor, world, `floor-${String(at)}`)),
        modelOf(rules, world, name),
      ];
      const model = { sets: parts.flatMap(({ sets }) => sets) };
      const route = routeOf(sourceOf("authorization", "Route", name), { callers });
      for (let at = 0; at < REQUESTS; at += 1) {
        const method = r.one(["GET", "POST", "DELETE"]);
        const asked = `${path}${r.one(["", "/x", "/x/z", "/y/1", "/y", "/x?q=1", "/z?q=1"])}`;
        const from = r.one(["127.0.0.1", "127.0.0.9", "127.0.0.20"]);
        const sent = r.one<readonly string[]>([[], [], ["a"], ["b"], ["c", "a"], ["a", "c"]]);
        const consumer = r.one(["erp", "ann", "bob", undefined, undefined]);
        const claims = consumer === undefined ? claimsOf(r) : undefined;
        const credential: [string, string] =
          claims === undefined
            ? ["x-api-key", `${consumer ?? ""}-key`]
            : ["authorization", `Bearer ${token({ alg: "ES256" }, claims, keys.p256.privateKey)}`];
        const headers: [string, string][] = [...sent.map((value): [string, string] => ["x-t", value]), credential];
        const answer = await send(
          { address: "127.0.0.1", port: chain.port, from },
          { method, path: asked, host: "shop.test", headers },
        );
        const evaluating: Evaluating = {
          call: {
            ...{
              method,
              path: asked,
              host: "shop.test",
              scheme: "http",
              address: from,
              certificate: undefined,
              as: undefined,
            },
            headers: {
              all: (one) => (one === "x-t" ? sent : []),
              joined: (one) => (one === "x-t" && sent.length > 0 ? sent.join(",") : undefined),
              names: () => (sent.length > 0 ? ["x-t"] : []),
            },
            nowMs: Date.now(),
          },
          caller: { ...(claims === undefined ? { consumer: `shop/${consumer ?? ""}` } : { claims }) },
          route,
          consumers: () => [],
          keyHolder: () => undefined,
        };
        const found = evaluate.authorization?.(model, evaluating);
        const expected =
          found?.result === "Deny"
            ? { status: found.status, code: found.code, policy: found.policy, rule: found.rule }
            : { status: 200 };
        const problem: JsonObject = answer.status === 200 ? {} : (answer.problem() as unknown as JsonObject);
        const actual =
          answer.status === 200
            ? { status: 200 }
            : { status: answer.status, code: problem["code"], policy: problem["policy"], rule: problem["rule"] };
        tally.set(answer.status, (tally.get(answer.status) ?? 0) + 1);
        expect({ ...actual, asked, method, from, sent, consumer, claims, rules, floors }).toEqual({
          ...expected,
          ...{ asked, method, from, sent, consumer, claims, rules, floors },
        });
      }
    }
  } finally {
    await chain.stop();
  }
  // Every kind of verdict, many times.
  for (const status of [200, 401, 403]) expect([status, (tally.get(status) ?? 0) > 20]).toEqual([status, true]);
}, 120_000);
