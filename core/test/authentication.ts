/** Policies with an authentication section on a real Envoy: each stands on a path of its own. */
import type { Answer } from "../../e2e/client/answer.ts";
import { type RequestSpec, send } from "../../e2e/client/http1.ts";
import type { Target } from "../../e2e/client/target.ts";
import type { Echo } from "../../e2e/upstream/echo.ts";
import type { At, KeyPart, Level, Lookup, RouteContext, RoutePiece } from "../src/slice.ts";
import type { Spec } from "../src/slices/authentication/schema.ts";
import { authentication } from "../src/slices/authentication/slice.ts";
import { keyPartOf } from "../src/translate/chain.ts";
import type { JsonObject, JwksState } from "../src/world.ts";
import { type Chain, type ChainOptions, startChain } from "./chain.ts";
import { gatewayEntries, routesAt } from "./compose.ts";
import { atOf, lookupOf, routeOf, sourceOf, type World } from "./section.ts";

export interface Policy {
  readonly spec: Spec;
  readonly level?: Level;
  readonly namespace?: string;
  readonly clientCertificates?: RouteContext["clientCertificates"];
  readonly audit?: boolean;
}

/** By path, such as `/orders`. */
export type Policies = Readonly<Record<string, Policy>>;

export interface Fetched {
  /** What was fetched, by URI (discovery: the issuer). */
  readonly jwks?: Readonly<Record<string, JwksState>>;
}

type AuthenticationExtension = "jwt" | "names" | "recognise" | KeyPart;

export interface Translated {
  readonly routes: readonly JsonObject[];
  readonly extensions: Readonly<Record<AuthenticationExtension, JsonObject>>;
}

export function lookup(world: World & Fetched): Lookup {
  return { ...lookupOf(world), jwks: ({ uri }) => world.jwks?.[uri] };
}

/** Throws where a section does not resolve. */
export function translate(policies: Policies, world: World & Fetched = {}): Translated {
  const reads = lookup(world);
  const own = new Set<string>();
  const pieces = Object.entries(policies).map(([path, policy]): readonly [string, RoutePiece] => {
    const source = sourceOf("authentication", policy.level, path.slice(1), policy.namespace);
    const model = resolved(policy.spec, atOf(source), reads);
    for (const header of authentication.identityHeaders?.(model) ?? []) own.add(header);
    const { clientCertificates = "Off", audit = false } = policy;
    return [path, authentication.route?.(model, routeOf(source, { clientCertificates, audit })) ?? {}];
  });
  const all = pieces.map(([, piece]) => piece);
  const extension = (name: AuthenticationExtension): JsonObject =>
    authentication.extension?.(name, gatewayEntries(name, all), reads) ?? {};
  const namespaces = ["shop", ...Object.values(policies).map(({ namespace = "shop" }) => namespace)];
  const parts = Object.fromEntries(namespaces.map(keyPartOf).map((part) => [part, extension(part)]));
  return {
    routes: pieces.flatMap(([path, piece]) => routesAt({ path, piece, own: [...own] })),
    extensions: { ...parts, jwt: extension("jwt"), names: extension("names"), recognise: extension("recognise") },
  };
}

export function resolved(spec: Spec, at: At, reads: Lookup): Parameters<NonNullable<typeof authentication.route>>[0] {
  const problems = authentication.validate(spec, at);
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  const resolution = authentication.resolve(spec, at, reads);
  if (!resolution.ok) throw new Error(JSON.stringify(resolution.problems));
  return resolution.model;
}

export async function startPolicies(
  policies: Policies,
  world: World & Fetched = {},
  options: Partial<ChainOptions> = {},
): Promise<Chain> {
  return startChain({ ...options, ...translate(policies, world) });
}

/** One call and what the upstream saw of it. */
export interface Call {
  readonly status: number;
  readonly answer: Answer;
  /** The refusal's code; empty for others. */
  readonly code: string;
  readonly seen: Echo | undefined;
  /** Values of a header that the upstream got, in order. */
  readonly upstream: (name: string) => readonly string[];
}

export async function call(
  target: Omit<Target, "address">,
  path: string,
  headers: RequestSpec["headers"] = {},
): Promise<Call> {
  const { port, tls } = target;
  return callOf(
    await send(
      { address: "127.0.0.1", port, ...(tls === undefined ? {} : { tls }) },
      { path, host: "shop.test", headers },
    ),
  );
}

export function callOf(answer: Answer): Call {
  const body = parsed(answer.body);
  const seen = body !== undefined && "upstream" in body ? (body as unknown as Echo) : undefined;
  return {
    status: answer.status,
    answer,
    code: typeof body?.["code"] === "string" ? body["code"] : "",
    seen,
    upstream: (name) => (seen?.headers ?? []).filter(([key]) => key.toLowerCase() === name).map(([, value]) => value),
  };
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}

export function basic(name: string, password: string): { readonly authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}` };
}

export function bearer(token: string): { readonly authorization: string } {
  return { authorization: `Bearer ${token}` };
}
