/** Policies with an authorization section, and mostly an authentication section, on a real Envoy: each stands on a path of its own. */
import type { KeyPart, Level, RouteContext, RoutePiece } from "../src/slice.ts";
import { authentication } from "../src/slices/authentication/slice.ts";
import type { Spec as AuthenticationSpec } from "../src/slices/authentication/schema.ts";
import type { Model } from "../src/slices/authorization/model.ts";
import { type Spec, schema } from "../src/slices/authorization/schema.ts";
import { authorization } from "../src/slices/authorization/slice.ts";
import { keyPartOf } from "../src/translate/chain.ts";
import type { JsonObject } from "../src/world.ts";
import { type Fetched, lookup, resolved } from "./authentication.ts";
import { type Chain, type ChainOptions, startChain } from "./chain.ts";
import { gatewayEntries, routesAt } from "./compose.ts";
import { atOf, routeOf, sourceOf, type World } from "./section.ts";

export interface Policy {
  /** Several: floors first, the last is the route's own. Each is a policy of the namespace, named after its place (`orders`, `orders-1`, …). */
  readonly rules: unknown;
  readonly floors?: readonly unknown[];
  readonly authentication?: AuthenticationSpec;
  readonly level?: Level;
  readonly clientCertificates?: RouteContext["clientCertificates"];
  readonly audit?: boolean;
}

export type Policies = Readonly<Record<string, Policy>>;

/** What resolves, or the problems as text. */
export function modelOf(spec: unknown, world: World = {}, name = "orders"): Model {
  const at = atOf(sourceOf("authorization", "Route", name));
  const parsed = schema().parse(spec) as Spec;
  const problems = authorization.validate(parsed, at);
  if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join("; "));
  const resolution = authorization.resolve(parsed, at, lookup(world));
  if (!resolution.ok) throw new Error(resolution.problems.map(({ message }) => message).join("; "));
  return resolution.model;
}

export function translate(policies: Policies, world: World & Fetched = {}) {
  const reads = lookup(world);
  const routes: JsonObject[] = [];
  const all: RoutePiece[] = [];
  for (const [path, policy] of Object.entries(policies)) {
    const name = path.slice(1);
    const { audit = false, clientCertificates = "Off" } = policy;
    const source = sourceOf("authentication", policy.level, name);
    const who = policy.authentication && resolved(policy.authentication, atOf(source), reads);
    const callers = who && authentication.callers?.(who);
    const context = { clientCertificates, ...(callers === undefined ? {} : { callers }) };
    const piece = (who && authentication.route?.(who, routeOf(source, context))) ?? {};
    const floors = (policy.floors ?? []).map((spec, at) => modelOf(spec, world, `floor-${String(at)}`));
    const model = { sets: [...floors, modelOf(policy.rules, world, name)].flatMap(({ sets }) => sets) };
    const route = routeOf(sourceOf("authorization", policy.level, name), { ...context, audit });
    const problems = authorization.unsupported?.(model, route) ?? [];
    if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join("; "));
    all.push(piece);
    routes.push(...routesAt({ path, piece, further: [authorization.route?.(model, route) ?? {}] }));
  }
  const extension = (name: "jwt" | KeyPart): JsonObject =>
    authentication.extension?.(name, gatewayEntries(name, all), reads) ?? {};
  const keys = keyPartOf("shop");
  return { routes, extensions: { jwt: extension("jwt"), [keys]: extension(keys) } };
}

export async function startPolicies(
  policies: Policies,
  world: World & Fetched = {},
  options: Partial<ChainOptions> = {},
): Promise<Chain> {
  return startChain({ ...options, ...translate(policies, world) });
}
