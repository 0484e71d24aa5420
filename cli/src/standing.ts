/** How an object stands, as one line: the condition that says it, the worst first. */
import type { ObjectStatus } from "@gatewarden/core/world.ts";

export interface Standing {
  readonly object: string; // Kind/namespace/name
  readonly condition: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
}

interface ConditionLike {
  readonly type?: unknown;
  readonly status?: unknown;
  readonly reason?: unknown;
  readonly message?: unknown;
}

/** Which condition sums up a kind in a cluster; the others say what the core says of them. */
const SUMMARY: Readonly<Record<string, string>> = {
  ApiPolicy: "Ready",
  ApiConsumer: "Ready",
  ApiGrant: "Ready",
  Gateway: "Programmed",
  GatewayClass: "Accepted",
  HTTPRoute: "Accepted",
  BackendTLSPolicy: "Accepted",
};

/** From an object of a cluster. An object without conditions has not been looked at by any operator. */
export function standingInCluster(object: string, status: unknown): Standing {
  const all = conditionsIn(status);
  const kind = object.slice(0, object.indexOf("/"));
  const summary = SUMMARY[kind] ?? "Ready";
  // The API server fills Gateways with conditions that say "Pending" until a controller comes.
  return (
    standing(
      object,
      all.find(({ type, status: value }) => type === "ResolvedRefs" && value === "False"),
    ) ??
    standing(
      object,
      all.find(({ type, status: value }) => type === summary && value !== "True"),
    ) ??
    standing(
      object,
      all.find(({ type }) => type === summary),
    ) ?? {
      object,
      condition: summary,
      status: "Unknown",
      reason: "NotReconciled",
      message: "no operator has written a status",
    }
  );
}

/** From what the core says of an object in files, where no proxy can acknowledge anything. */
export function standingInFiles(object: string, status: ObjectStatus): Standing {
  const all = conditionsIn(status);
  const known = all.filter(({ type }) => type === "Accepted" || type === "ResolvedRefs" || type === "Conflicted");
  const bad = known.find(({ type, status: value }) => value === (type === "Conflicted" ? "True" : "False"));
  const good = known.find(({ type }) => type === "Accepted");
  return (
    standing(object, bad ?? good) ?? {
      object,
      condition: "Accepted",
      status: "False",
      reason: "NotAttached",
      message: "no Gateway of ours serves its target",
    }
  );
}

export function isFine({ condition, status }: Standing): boolean {
  return condition === "Conflicted" ? status === "False" : status === "True";
}

function conditionsIn(status: unknown): readonly ConditionLike[] {
  const {
    conditions = [],
    parents = [],
    ancestors = [],
    listeners = [],
  } = (status ?? {}) as Readonly<Record<string, readonly unknown[] | undefined>>;
  const nested = [...parents, ...ancestors, ...listeners].flatMap(
    (entry) => (entry as { readonly conditions?: readonly ConditionLike[] }).conditions ?? [],
  );
  return [...(conditions as readonly ConditionLike[]), ...nested];
}

function standing(object: string, condition: ConditionLike | undefined): Standing | undefined {
  if (condition === undefined) return undefined;
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  const { status } = condition;
  return {
    object,
    condition: text(condition.type),
    status: status === "True" || status === "False" ? status : "Unknown",
    reason: text(condition.reason),
    message: text(condition.message),
  };
}
