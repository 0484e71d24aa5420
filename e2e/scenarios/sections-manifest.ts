/** Short forms for the scenarios about limits, lists, TLS, logs and levels: a route with its sections, and tables of calls with their answers. */
import { type RequestSpec, send } from "../client/http1.ts";
import type { Target } from "../client/target.ts";
import { eventually } from "../cluster/condition.ts";
import type { KubeObject } from "../harness/api.ts";
import type { Tenant } from "../harness/tenant.ts";
import { verdictOf } from "./authentication-manifest.ts";
import { apiPolicy, OPEN_TO_ALL } from "./policies-manifest.ts";
import { httpRoute, rule } from "./routes-manifest.ts";

/** An HTTPRoute `name` for the host `name.test` to Service `orders`; `more` are further fields of its spec. */
export function hostRoute(name: string, more: object = {}): KubeObject {
  const route = httpRoute(name, { hostnames: [`${name}.test`], rules: [{ name: "only", ...rule("orders") }] });
  return { ...route, spec: { ...(route["spec"] as object), ...more } };
}

/** That route and an ApiPolicy of the same name, Public unless `sections` say otherwise. */
export function withSections(name: string, sections: object): readonly KubeObject[] {
  return [hostRoute(name), apiPolicy(name, { kind: "HTTPRoute", name }, { ...OPEN_TO_ALL, ...sections })];
}

/** The same, in force. */
export async function enforceSections(tenant: Tenant, name: string, sections: object): Promise<void> {
  await tenant.enforce(withSections(name, sections));
}

/** A call and its verdict: `200`, or status and code. */
export type Call = readonly [request: RequestSpec, verdict: string];

/** Sends the calls one after the other, each on a new connection, and returns them with the verdicts that came. */
export async function called(target: Target, host: string, calls: readonly Call[]): Promise<readonly Call[]> {
  const answered: Call[] = [];
  for (const [request] of calls) answered.push([request, verdictOf(await send(target, { host, ...request }))]);
  return answered;
}

export async function verdict(target: Target, request: RequestSpec): Promise<string> {
  return verdictOf(await send(target, request));
}

/** Waits for a verdict, where no condition tells when it holds. */
export function untilVerdict(
  target: Target,
  request: RequestSpec,
  expected: string,
  limitMs = 10_000,
): Promise<boolean> {
  const probe = async (): Promise<boolean> => {
    const found = await verdict(target, request);
    if (found !== expected) throw new Error(`last was ${found}`);
    return true;
  };
  return eventually(`${request.host ?? ""}${request.path ?? "/"} answers ${expected}`, probe, { limitMs });
}
