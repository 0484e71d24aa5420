/** `Programmed`: what the proxies say about an object's part of the configuration (rules R16; api.md "Status"). */
import type { AncestorStatus, Condition, PerProxyLimit } from "@gatewarden/core/world.ts";
import type { RefusedProxy, ResourceStatus } from "@gatewarden/xds/types.ts";
import type { Owners, ResourceName } from "./owners.ts";

/** The part of the xDS server's book of acknowledgements that status reads. */
export interface Book {
  /** Connected proxies that have acknowledged a first complete configuration. */
  proxies(gateway: string): number;
  resource(gateway: string, resource: ResourceName): ResourceStatus;
  /** A proxy of the gateway that may not have its configuration, because it is too old to be safe. */
  turnedAway(gateway: string): RefusedProxy | undefined;
}

/** What the proxies of one gateway say about one object. */
export type Standing =
  | { readonly state: "programmed"; readonly proxies: number }
  | { readonly state: "noProxies"; readonly turnedAway: string | undefined }
  | { readonly state: "reconciling"; readonly done: number; readonly proxies: number }
  | { readonly state: "rejected"; readonly message: string };

export function standingOf(owner: string, gateway: string, owners: Owners, book: Book): Standing {
  const proxies = book.proxies(gateway);
  let lacking = 0;
  for (const resource of owners.resources(owner, gateway)) {
    const status = book.resource(gateway, resource);
    if (status.state === "refused") return { state: "rejected", message: status.refusal.message };
    if (status.state === "pending") lacking = Math.max(lacking, status.lacking);
  }
  for (const resource of owners.left(owner, gateway)) {
    const status = book.resource(gateway, resource);
    if (status.state === "pending") lacking = Math.max(lacking, status.lacking);
    // Somebody else's fault, but the version that this object was part of may be in force still.
    if (status.state === "refused") lacking = proxies;
  }
  if (proxies === 0) return { state: "noProxies", turnedAway: book.turnedAway(gateway)?.message };
  const done = Math.max(0, proxies - lacking);
  return lacking > 0 ? { state: "reconciling", done, proxies } : { state: "programmed", proxies };
}

/** The worst of several gateways' standings; undefined where there are none. */
export function worst(standings: readonly Standing[]): Standing | undefined {
  const order: Readonly<Record<Standing["state"], number>> = {
    rejected: 0,
    reconciling: 1,
    noProxies: 2,
    programmed: 3,
  };
  return standings.toSorted((a, b) => order[a.state] - order[b.state])[0];
}

export function programmedCondition(standing: Standing, generation: number): Condition {
  const base = { type: "Programmed", observedGeneration: generation } as const;
  switch (standing.state) {
    case "programmed":
      // No count here: it would make a write for each proxy that comes or goes. Only limits that depend on it say it (totalOf).
      return { ...base, status: "True", reason: "Programmed", message: "every connected proxy has acknowledged it" };
    case "noProxies":
      return { ...base, status: "False", reason: "NoProxies", message: "no proxy of this Gateway is connected" };
    case "reconciling":
      return {
        ...base,
        status: "False",
        reason: "Reconciling",
        message: `${standing.done}/${standing.proxies} proxies`,
      };
    case "rejected":
      return { ...base, status: "False", reason: "RejectedByProxy", message: standing.message };
  }
}

/** The Gateway's own, which says how many proxies there are. */
export function gatewayProgrammed(standing: Standing, generation: number): Condition {
  const condition = programmedCondition(standing, generation);
  if (standing.state === "noProxies" && standing.turnedAway !== undefined)
    return { ...condition, reason: "ProxyVulnerable", message: standing.turnedAway };
  if (standing.state !== "programmed") return condition;
  const count = standing.proxies === 1 ? "1 proxy has" : `${standing.proxies} proxies have`;
  return { ...condition, message: `${count} acknowledged everything` };
}

/** `Programmed` of one ancestor; undefined where the policy is not accepted there. */
export function ancestorProgrammed(
  ancestor: AncestorStatus,
  generation: number,
  standing: (gateway: string) => Standing,
): Condition | undefined {
  const accepted = ancestor.conditions.find((condition) => condition.type === "Accepted");
  if (accepted?.status !== "True" || ancestor.gateway === undefined) return undefined;
  const fixed = ancestor.programmed;
  const base = { type: "Programmed", observedGeneration: generation } as const;
  if (fixed?.status === "False") return { ...base, ...fixed };
  const now = standing(ancestor.gateway);
  const condition = programmedCondition(now, generation);
  if (now.state !== "programmed") return condition;
  const { status, reason, message } = fixed ?? condition;
  const limits = (ancestor.perProxy ?? []).map((limit) => `; ${perProxyText(limit)}`).join("");
  return { ...base, status, reason, message: `${message}${limits}` };
}

/** A limit that every proxy counts alone (rules R35). How many proxies there are stands on the Gateway: here each new one would be a write to every policy. */
function perProxyText({ name, requests, per }: PerProxyLimit): string {
  return `${name}: ${String(requests)}/${per} on each proxy`;
}
