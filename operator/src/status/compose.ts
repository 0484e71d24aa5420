/**
 * The status that an object gets, from what the core says and what the proxies say. Entries of other controllers in shared lists stay as they
 * are; times of transition are kept by {@link withTimes}.
 */
import type { AncestorStatus, Condition, JsonObject, ObjectStatus, RouteParentStatus } from "@gatewarden/core/world.ts";
import { cutText, readyCondition, withTimes } from "./conditions.ts";
import { sameRef, type CurrentStatus, type ListEntry, type StatusJson } from "./own-part.ts";
import { ancestorProgrammed, gatewayProgrammed, programmedCondition, worst, type Standing } from "./programmed.ts";

export interface ComposeContext {
  readonly controllerName: string;
  /** Named by the entry that stands for ancestors which do not fit. */
  readonly gatewayClass: string;
  readonly now: string;
  /** What the proxies of a gateway say about this object. */
  readonly standing: (gateway: string) => Standing;
  /** "namespace/name" of the object itself. */
  readonly self: string;
}

/** The schema's bound (GEP-713: PolicyStatus), and ours below it, so that one entry can say what did not fit. */
const MOST_ANCESTORS = 16;
const MOST_PARENTS = 32;
const LONGEST_TARGET = 2_048;
/** A whole status stays below 32 KiB (rules R17): the more ancestors, the shorter what each may say. */
const LONGEST_MESSAGE_OF_MANY = 400;
const FEW = 4;

/**
 * How each kind's status is written. Lists with several writers that Kubernetes treats as one value are read, changed and replaced; where
 * each writer owns its entries, server-side apply leaves the others' alone.
 */
export const STATUS_METHOD: Readonly<Record<ObjectStatus["kind"], "apply" | "replace">> = {
  ApiPolicy: "replace",
  BackendTLSPolicy: "replace",
  HTTPRoute: "replace",
  ApiConsumer: "apply",
  ApiGrant: "apply",
  Gateway: "apply",
  GatewayClass: "apply",
};

/**
 * The `status` to write: the whole of it where it is replaced, our part where it is applied. Where we have no part in the object any more
 * (`wanted` undefined) our entries are taken out.
 */
export function composeStatus(current: unknown, wanted: ObjectStatus | undefined, context: ComposeContext): StatusJson {
  const old = (current ?? {}) as CurrentStatus;
  if (wanted === undefined) return withoutOurs(old, context.controllerName);
  switch (wanted.kind) {
    case "ApiPolicy":
      return policyStatus(old, wanted, context);
    case "BackendTLSPolicy":
      return { ...old, ancestors: ancestorList(old, wanted.ancestors, wanted.generation, context, false).list };
    case "ApiConsumer":
      return consumerStatus(old, wanted, context);
    case "ApiGrant":
      return grantStatus(old, wanted, context);
    case "HTTPRoute":
      return { ...old, parents: parentList(old, wanted.parents, context) };
    case "Gateway":
      return gatewayStatus(old, wanted, context);
    case "GatewayClass":
      return {
        conditions: withTimes(wanted.conditions, old.conditions, context.now),
        ...(wanted.supportedFeatures === undefined ? {} : { supportedFeatures: wanted.supportedFeatures }),
      };
  }
}

function policyStatus(
  old: CurrentStatus,
  wanted: Extract<ObjectStatus, { kind: "ApiPolicy" }>,
  context: ComposeContext,
): StatusJson {
  const { list, sets } = ancestorList(old, wanted.ancestors, wanted.generation, context, true);
  return {
    observedGeneration: wanted.generation,
    target: cutText(wanted.target, LONGEST_TARGET),
    conditions: withTimes([readyCondition(sets, wanted.generation)], old.conditions, context.now),
    ancestors: list,
  };
}

function consumerStatus(
  old: CurrentStatus,
  wanted: Extract<ObjectStatus, { kind: "ApiConsumer" }>,
  context: ComposeContext,
): StatusJson {
  const { generation } = wanted;
  const own = withProgrammed(wanted, "no policy in force selects this consumer", context);
  return {
    observedGeneration: generation,
    ...(wanted.credentials.length === 0 ? {} : { credentials: wanted.credentials }),
    conditions: withTimes([...own, readyCondition([own], generation)], old.conditions, context.now),
  };
}

/** An expired or revoked grant is ready once proxies know it, whatever became of the things that it names. */
function grantStatus(
  old: CurrentStatus,
  wanted: Extract<ObjectStatus, { kind: "ApiGrant" }>,
  context: ComposeContext,
): StatusJson {
  const { generation, ended, gateways, timeLeft } = wanted;
  const own =
    ended && gateways.length === 0
      ? wanted.conditions
      : withProgrammed(wanted, "no policy in force asks for this grant", context);
  const over = ended && own.every(({ type, status }) => type === "Active" || status === "True");
  const active = wanted.conditions.find(({ type }) => type === "Active");
  const ready: Condition =
    over && active !== undefined ? { ...active, type: "Ready", status: "True" } : readyCondition([own], generation);
  return {
    observedGeneration: generation,
    ...(timeLeft === undefined ? {} : { timeLeft }),
    conditions: withTimes([...own, ready], old.conditions, context.now),
  };
}

/** With what the proxies of its gateways say; `detached` where there is none. */
function withProgrammed(
  wanted: Extract<ObjectStatus, { kind: "ApiConsumer" | "ApiGrant" }>,
  detached: string,
  context: ComposeContext,
): readonly Condition[] {
  const { generation, conditions, gateways } = wanted;
  const accepted = conditions.find((condition) => condition.type === "Accepted")?.status === "True";
  if (!accepted || conditions.some((condition) => condition.type === "Programmed")) return conditions;
  const standing = worst(gateways.map((gateway) => context.standing(gateway)));
  const base = { type: "Programmed", status: "False", observedGeneration: generation } as const;
  return [
    ...conditions,
    standing === undefined
      ? { ...base, reason: "NotAttached", message: detached }
      : programmedCondition(standing, generation),
  ];
}

function gatewayStatus(
  old: CurrentStatus,
  wanted: Extract<ObjectStatus, { kind: "Gateway" }>,
  context: ComposeContext,
): StatusJson {
  const given = wanted.conditions.find((condition) => condition.type === "Programmed");
  const accepted = wanted.conditions.find((condition) => condition.type === "Accepted")?.status === "True";
  // What the core already knows to be impossible is not for the proxies to say.
  const programmed =
    given?.status === "False" || !accepted
      ? given
      : gatewayProgrammed(context.standing(context.self), wanted.generation);
  const conditions = [
    ...wanted.conditions.filter((condition) => condition.type !== "Programmed"),
    ...(programmed === undefined ? [] : [programmed]),
  ];
  return {
    addresses: wanted.addresses,
    conditions: withTimes(conditions, old.conditions, context.now),
    listeners: wanted.listeners.map((listener) => ({
      ...listener,
      conditions: withTimes(
        listener.conditions.map((condition) => listenerProgrammed(condition, programmed)),
        old.listeners?.find((entry) => entry.name === listener.name)?.conditions,
        context.now,
      ),
    })),
  };
}

/** A listener that the core has nothing against is as programmed as its Gateway. */
function listenerProgrammed(condition: Condition, gateway: Condition | undefined): Condition {
  if (condition.type !== "Programmed" || condition.status === "False" || gateway === undefined) return condition;
  const { status, reason, message } = gateway;
  return { ...condition, status, reason, message: status === "True" ? "" : message };
}

function parentList(
  old: CurrentStatus,
  parents: readonly RouteParentStatus[],
  context: ComposeContext,
): readonly unknown[] {
  const others = (old.parents ?? []).filter((entry) => entry.controllerName !== context.controllerName);
  const ours = (old.parents ?? []).filter((entry) => entry.controllerName === context.controllerName);
  const room = Math.max(0, MOST_PARENTS - others.length);
  return [
    ...others,
    ...parents
      .slice(0, room)
      .map(({ parentRef, conditions }) => ({
        parentRef,
        controllerName: context.controllerName,
        conditions: withTimes(
          conditions,
          ours.find((entry) => sameRef(entry.parentRef, parentRef))?.conditions,
          context.now,
        ),
      })),
  ];
}

/** Our ancestors, worst first, within what others leave of the list; and the conditions of all of them, for Ready. */
function ancestorList(
  old: CurrentStatus,
  ancestors: readonly AncestorStatus[],
  generation: number,
  context: ComposeContext,
  programmed: boolean,
): { readonly list: readonly unknown[]; readonly sets: readonly (readonly Condition[])[] } {
  const others = (old.ancestors ?? []).filter((entry) => entry.controllerName !== context.controllerName);
  const ours = (old.ancestors ?? []).filter((entry) => entry.controllerName === context.controllerName);
  const all = ancestors
    .map((ancestor) => {
      const own = programmed ? ancestorProgrammed(ancestor, generation, context.standing) : undefined;
      return {
        ancestorRef: ancestor.ancestorRef,
        conditions: [...ancestor.conditions, ...(own === undefined ? [] : [own])],
      };
    })
    .toSorted((a, b) => rank(a.conditions) - rank(b.conditions));
  const room = Math.max(0, MOST_ANCESTORS - others.length);
  const shown = all.length > Math.min(room, MOST_ANCESTORS - 1) ? all.slice(0, Math.max(0, room - 1)) : all;
  const hidden = all.slice(shown.length);
  const entries: Entry[] = shown.map(({ ancestorRef, conditions }) => ({ ancestorRef, conditions }));
  if (hidden.length > 0 && room > 0) entries.push(aggregated(hidden, generation, context.gatewayClass));
  return {
    list: [
      ...others,
      ...entries.map(({ ancestorRef, conditions }) => ({
        ancestorRef,
        controllerName: context.controllerName,
        conditions: withTimes(
          conditions,
          ours.find((entry) => sameRef(entry.ancestorRef, ancestorRef))?.conditions,
          context.now,
          entries.length > FEW ? LONGEST_MESSAGE_OF_MANY : undefined,
        ),
      })),
    ],
    sets: all.map(({ conditions }) => conditions),
  };
}

interface Entry {
  readonly ancestorRef: JsonObject;
  readonly conditions: readonly Condition[];
}

function aggregated(hidden: readonly Entry[], generation: number, gatewayClass: string): Entry {
  const count = (type: string): number =>
    hidden.filter(({ conditions }) => conditions.some((entry) => entry.type === type && entry.status === "True"))
      .length;
  const condition: Condition = {
    type: "Aggregated",
    status: "True",
    reason: "Aggregated",
    message: `${hidden.length} more: ${count("Accepted")} accepted, ${count("Programmed")} programmed`,
    observedGeneration: generation,
  };
  const ancestorRef = { group: "gateway.networking.k8s.io", kind: "GatewayClass", name: gatewayClass };
  return { ancestorRef, conditions: [condition] };
}

/** Worst first: what was not accepted, then what is not resolved, then what is not programmed. */
function rank(conditions: readonly Condition[]): number {
  const order = ["Accepted", "ResolvedRefs", "Programmed"];
  const bad = order.findIndex((type) => conditions.some((entry) => entry.type === type && entry.status !== "True"));
  return bad < 0 ? order.length : bad;
}

function withoutOurs(old: CurrentStatus, controllerName: string): StatusJson {
  const keep = (entry: ListEntry): boolean => entry.controllerName !== controllerName;
  return {
    ...old,
    ...(old.ancestors === undefined ? {} : { ancestors: old.ancestors.filter(keep) }),
    ...(old.parents === undefined ? {} : { parents: old.parents.filter(keep) }),
  };
}
