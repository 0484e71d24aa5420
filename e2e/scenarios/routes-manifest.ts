/** Short forms for the route scenarios: HTTPRoutes as objects, and tables of requests with what answers them. */
import { send, type RequestSpec } from "../client/http1.ts";
import type { Target } from "../client/target.ts";
import { eventually } from "../cluster/condition.ts";
import type { KubeObject } from "../harness/api.ts";
import type { Echo } from "../upstream/echo.ts";

export interface RouteParts {
  readonly hostnames?: readonly string[];
  /** Default: the Gateway `edge`. */
  readonly parentRefs?: readonly object[];
  readonly rules: readonly object[];
  readonly annotations?: Readonly<Record<string, string>>;
}

export function httpRoute(name: string, { hostnames, parentRefs, rules, annotations }: RouteParts): KubeObject {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { name, ...(annotations === undefined ? {} : { annotations }) },
    spec: { parentRefs: parentRefs ?? [{ name: "edge" }], ...(hostnames === undefined ? {} : { hostnames }), rules },
  };
}

/** A backendRef to a Service on port 80. */
export function service(name: string, more: object = {}): object {
  return { name, port: 80, ...more };
}

/** A rule that sends what matches to one Service. */
export function rule(backend: string, ...matches: readonly object[]): object {
  return { ...(matches.length === 0 ? {} : { matches }), backendRefs: [service(backend)] };
}

/** A request and what answers it: the name of an upstream, or a status. */
export type Case = readonly [request: RequestSpec, expected: string | number];

/** One line per request, for comparing a whole table at once. */
export function expectedLines(cases: readonly Case[]): readonly string[] {
  return cases.map(([request, expected]) => `${requestText(request)} → ${String(expected)}`);
}

export async function answeredLines(target: Target, host: string, cases: readonly Case[]): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const [request] of cases) {
    lines.push(`${requestText(request)} → ${String(await answering(target, { host, ...request }))}`);
  }
  return lines;
}

/** The upstream that answered with 200, else the status. */
export async function answering(target: Target, request: RequestSpec): Promise<string | number> {
  const answer = await send(target, request);
  return answer.status === 200 ? answer.json<Echo>().upstream : answer.status;
}

/** Waits until the proxy gives this answer: a route has no condition that tells when. */
export function untilAnswered(
  target: Target,
  request: RequestSpec,
  expected: string | number,
  limitMs?: number,
): Promise<true> {
  let last: string | number = "nothing";
  const what = `${requestText(request)} at ${request.host ?? ""} answered by ${String(expected)}`;
  const probe = async (): Promise<true> => {
    last = await answering(target, request);
    if (last !== expected) throw new Error(`last answer ${String(last)}`);
    return true;
  };
  return eventually(what, probe, limitMs === undefined ? {} : { limitMs });
}

function requestText({ method = "GET", path = "/", host, headers }: RequestSpec): string {
  const parts = [
    method,
    path,
    host === undefined ? "" : `host=${host}`,
    headers === undefined ? "" : JSON.stringify(headers),
  ];
  return parts.filter((part) => part !== "").join(" ");
}
