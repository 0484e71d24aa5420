/** Who gains and who loses access between two worlds: every probe of either one, asked in both. */
import type { OpenEngine } from "@gatewarden/core/engine.ts";
import type { SimRequest } from "@gatewarden/core/simulate/request.ts";
import { simulate, type Simulation } from "@gatewarden/core/simulate/simulate.ts";
import type { Manifest } from "../offline/manifests.ts";
import { type Probe, probesOf } from "./probes.ts";

export interface World {
  readonly manifests: ReadonlyMap<string, Manifest>;
  readonly open: OpenEngine;
}

export interface Change {
  /** Gains: refused before, let through now. Differs: refused or let through as before, by another policy or with another status. */
  readonly change: "Gains" | "Loses" | "Differs";
  readonly who: string; // nobody, or consumer/namespace/name
  readonly from: string;
  readonly method: string;
  readonly url: string;
  readonly before: Side;
  readonly after: Side;
}

export interface Side {
  readonly verdict: Simulation["verdict"];
  readonly status: number;
  readonly policy: string;
  readonly route: string;
}

export interface Difference {
  readonly changes: readonly Change[];
  /** What was asked, so that "no difference" can be weighed. */
  readonly asked: number;
  readonly cut: readonly string[];
}

export function compare(before: World, after: World, atMs: number): Difference {
  const old = probesOf(before.manifests, before.open);
  const next = probesOf(after.manifests, after.open);
  const probes = new Map<string, Probe>();
  for (const probe of [...old.probes, ...next.probes]) probes.set(JSON.stringify(probe.request), probe);
  const consumers = new Set([...consumersOf(before), ...consumersOf(after)]);
  const changes: Change[] = [];
  let asked = 0;
  for (const { request, route } of probes.values()) {
    // A consumer of another namespace is nobody to this route, but where a Gateway's policy asks.
    const namespace = route.slice(0, route.indexOf("/"));
    const gateway = (request.gateway ?? "").split("/")[0];
    const callers = [...consumers].filter((id) => [namespace, gateway].includes(id.slice(0, id.indexOf("/"))));
    for (const as of [undefined, ...callers.sort()]) {
      const sent: SimRequest = { ...request, atMs, ...(as === undefined ? {} : { as }) };
      asked += 1;
      const change = changeOf(sent, as, simulate(before.open, sent), simulate(after.open, sent));
      if (change !== undefined) changes.push(change);
    }
  }
  return { changes, asked, cut: [...new Set([...old.cut, ...next.cut])].sort() };
}

function consumersOf({ manifests }: World): readonly string[] {
  return [...manifests.values()].flatMap(({ key }) =>
    key.kind === "ApiConsumer" ? [`${key.namespace}/${key.name}`] : [],
  );
}

function changeOf(
  request: SimRequest,
  as: string | undefined,
  before: Simulation,
  after: Simulation,
): Change | undefined {
  const same = before.verdict === after.verdict && before.status === after.status && before.policy === after.policy;
  if (same) return undefined;
  const change = before.verdict === after.verdict ? "Differs" : after.verdict === "Allow" ? "Gains" : "Loses";
  const port = request.port === undefined ? "" : `:${request.port}`;
  return {
    change,
    who: as === undefined ? "nobody" : `consumer/${as}`,
    from: request.from,
    method: request.method,
    url: `${request.scheme}://${request.host}${port}${request.path}`,
    before: sideOf(before),
    after: sideOf(after),
  };
}

function sideOf({ verdict, status, policy, route }: Simulation): Side {
  return { verdict, status, policy, route };
}
