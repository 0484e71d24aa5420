/** Runs the expectations of one file against the world that they are about. */
import type { OpenEngine } from "@gatewarden/core/engine.ts";
import { type SimRequest, targetOf } from "@gatewarden/core/simulate/request.ts";
import { simulate, type Simulation } from "@gatewarden/core/simulate/simulate.ts";
import type { Expectation } from "./file.ts";

/** Who calls where nothing says it: an address that belongs to nobody (RFC 5737). */
export const DEFAULT_PEER = "192.0.2.1";

export interface Outcome {
  readonly name: string;
  /** Undefined: everything as expected. One sentence per member that is not. */
  readonly failure: string | undefined;
}

/** When the request of an expectation is made, epoch milliseconds. */
export function timeOf({ request }: Expectation, nowMs: number): number {
  return request.at === undefined ? nowMs : Date.parse(request.at);
}

/** @param open the world at `atMs`: what has ended by then is not in it any more */
export function runExpectation(open: OpenEngine, { name, request, expect }: Expectation, atMs: number): Outcome {
  const target = targetOf(request.url);
  if (target === undefined) return { name, failure: `request.url ${request.url} is no absolute http or https URL` };
  const consumer = request.as === undefined ? undefined : /^consumer\/([^/]+\/[^/]+)$/.exec(request.as)?.[1];
  if (request.as !== undefined && consumer === undefined)
    return { name, failure: `request.as ${request.as}: expected consumer/NAMESPACE/NAME` };
  const sent: SimRequest = {
    ...target,
    method: request.method ?? "GET",
    headers: Object.entries(request.headers ?? {}).flatMap(([header, value]) =>
      (typeof value === "string" ? [value] : value).map((one) => [header, one] as const),
    ),
    from: request.from ?? DEFAULT_PEER,
    ...(consumer === undefined ? {} : { as: consumer }),
    atMs,
  };
  const found = simulate(open, sent);
  const wrong = (["verdict", "status", "code", "policy", "route"] as const).flatMap((member) =>
    expect[member] === undefined || expect[member] === found[member]
      ? []
      : [`${member} is ${shown(found[member])}, expected ${shown(expect[member])}`],
  );
  return { name, failure: wrong.length === 0 ? undefined : `${wrong.join("; ")} (${because(found)})` };
}

function shown(value: string | number): string {
  return value === "" ? "nothing" : String(value);
}

/** What decided, in one sentence. */
function because({ stages, verdict }: Simulation): string {
  const decided = verdict === "Deny" ? stages.find(({ result }) => result === "Deny") : stages.at(-1);
  return decided === undefined ? "no check was reached" : `${decided.section}: ${decided.reason}`;
}
