/** What of a status is ours, in a form that can be compared: by it the writer knows whether anything is left to write. */
import type { JsonObject, ObjectStatus } from "@gatewarden/core/world.ts";
import type { WrittenCondition } from "./conditions.ts";

export type StatusJson = Readonly<Record<string, unknown>>;

/** An entry of a list that several controllers or listeners share. */
export interface ListEntry {
  readonly controllerName?: string;
  readonly conditions?: readonly Partial<WrittenCondition>[];
  readonly ancestorRef?: JsonObject;
  readonly parentRef?: JsonObject;
  readonly name?: string;
}

/** What we read of a status that the server has: written by anybody. */
export interface CurrentStatus {
  readonly conditions?: readonly Partial<WrittenCondition>[];
  readonly ancestors?: readonly ListEntry[];
  readonly parents?: readonly ListEntry[];
  readonly listeners?: readonly ListEntry[];
}

/** Condition types that are ours in lists with several writers. */
const OURS = /^(Accepted|Programmed|ResolvedRefs|SupportedVersion|Ready|gatewarden\.io\/.*)$/;

/** What of a status is ours, for comparing what is there with what is wanted; in one order, with the defaults that the server fills in. */
export function ownPart(kind: ObjectStatus["kind"], status: unknown, controllerName: string): StatusJson {
  const { conditions, ancestors, parents, listeners, ...rest } = (status ?? {}) as CurrentStatus & StatusJson;
  const own = (entry: ListEntry): boolean => entry.controllerName === controllerName;
  const ownAncestors = ancestors
    ?.filter(own)
    .map((entry) => ({
      ...entry,
      ancestorRef: fullRef(entry.ancestorRef ?? {}),
      conditions: byType(entry.conditions),
    }));
  switch (kind) {
    case "ApiPolicy":
      return { ...rest, conditions, ancestors: ownAncestors };
    case "BackendTLSPolicy":
      return { ancestors: ownAncestors };
    case "HTTPRoute":
      return {
        parents: parents
          ?.filter(own)
          .map((entry) => ({
            ...entry,
            parentRef: fullRef(entry.parentRef ?? {}),
            conditions: byType(entry.conditions),
          })),
      };
    case "ApiGrant":
    case "ApiConsumer":
      return { ...rest, conditions: byType(conditions) };
    case "Gateway":
      return {
        addresses: rest["addresses"],
        conditions: byType(conditions?.filter(({ type }) => OURS.test(type ?? ""))),
        listeners: listeners
          ?.toSorted((a, b) => order(a.name, b.name))
          .map((entry) => ({ ...entry, conditions: byType(entry.conditions) })),
      };
    case "GatewayClass":
      return {
        conditions: byType(conditions?.filter(({ type }) => OURS.test(type ?? ""))),
        supportedFeatures: rest["supportedFeatures"],
      };
  }
}

/** Server-side apply keeps entries in the order in which they first came. */
function byType(conditions: CurrentStatus["conditions"]): CurrentStatus["conditions"] {
  return conditions?.toSorted((a, b) => order(a.type, b.type));
}

function order(a = "", b = ""): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Equality of references; the API server fills in group and kind where a parentRef leaves them out. */
export function sameRef(a: JsonObject | undefined, b: JsonObject): boolean {
  return a !== undefined && canonicalJson(fullRef(a)) === canonicalJson(fullRef(b));
}

function fullRef(ref: JsonObject): JsonObject {
  return { group: "gateway.networking.k8s.io", kind: "Gateway", ...ref };
}

/** JSON text with sorted members, without `lastTransitionTime`: equal for statuses that say the same. */
export function canonicalJson(value: unknown): string {
  return (
    JSON.stringify(value, (key, member: unknown) => {
      if (key === "lastTransitionTime") return undefined;
      if (typeof member !== "object" || member === null || Array.isArray(member)) return member;
      return Object.fromEntries(Object.entries(member).sort(([x], [y]) => (x < y ? -1 : x > y ? 1 : 0)));
    }) ?? ""
  );
}
