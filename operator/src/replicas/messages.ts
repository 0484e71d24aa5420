/** What replicas tell each other, checked where it comes in: a replica may be of another version. */
import type { JsonObject, JsonValue, ResourceKey, ResourceReport, ResourceType } from "@gatewarden/xds/types.ts";
import { RESOURCE_TYPES } from "@gatewarden/xds/types.ts";

export interface Counts {
  readonly complete: number;
  readonly joining: number;
}

/** To the leader: proxies by gateway, and where resources of a gateway stand. */
export type Report =
  | { readonly type: "counts"; readonly gateways: ReadonlyMap<string, Counts> }
  | {
      readonly type: "resources";
      readonly gateway: string;
      readonly reports: readonly (readonly [ResourceKey, ResourceReport])[];
    };

/** From the leader: how many proxies there are at all other replicas, by gateway. */
export type Elsewhere = ReadonlyMap<string, number>;

export function countsMessage(gateways: ReadonlyMap<string, Counts>): JsonObject {
  return {
    counts: Object.fromEntries([...gateways].map(([gateway, { complete, joining }]) => [gateway, [complete, joining]])),
  };
}

export function resourcesMessage(
  gateway: string,
  reports: readonly (readonly [ResourceKey, ResourceReport])[],
): JsonObject {
  return {
    gateway,
    resources: reports.map(([{ type, name }, { version, lacking, refusal }]) => [
      ...[type, name, version, lacking],
      ...(refusal === undefined ? [] : [refusal.by, refusal.message, refusal.node]),
    ]),
  };
}

export function elsewhereMessage(elsewhere: Elsewhere): JsonObject {
  return { elsewhere: Object.fromEntries(elsewhere) };
}

/** Undefined: nothing that this version knows. */
export function parseReport(message: JsonObject): Report | undefined {
  const { counts, gateway, resources } = message;
  if (isObject(counts)) {
    const parsed = Object.entries(counts).flatMap(([name, value]): readonly (readonly [string, Counts])[] => {
      const [complete, joining] = Array.isArray(value) ? (value as readonly JsonValue[]) : [];
      return isCount(complete) && isCount(joining) ? [[name, { complete, joining }]] : [];
    });
    return { type: "counts", gateways: new Map(parsed) };
  }
  if (typeof gateway !== "string" || !Array.isArray(resources)) return undefined;
  return { type: "resources", gateway, reports: (resources as readonly JsonValue[]).flatMap(parseResource) };
}

function parseResource(value: JsonValue): readonly (readonly [ResourceKey, ResourceReport])[] {
  if (!Array.isArray(value)) return [];
  const [type, name, version, lacking, by, message, node] = value as readonly JsonValue[];
  if (!isType(type) || typeof name !== "string" || typeof version !== "string" || !isCount(lacking)) return [];
  const refused = typeof message === "string" && typeof node === "string" && (by === "proxy" || by === "encoder");
  return [
    [
      { type, name },
      { version, lacking, ...(refused ? { refusal: { by, message, node } } : {}) },
    ],
  ];
}

export function parseElsewhere(message: JsonObject): Elsewhere | undefined {
  const { elsewhere } = message;
  if (!isObject(elsewhere)) return undefined;
  return new Map(
    Object.entries(elsewhere).flatMap(([gateway, count]) => (isCount(count) ? [[gateway, count] as const] : [])),
  );
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: JsonValue | undefined): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

function isType(value: JsonValue | undefined): value is ResourceType {
  return RESOURCE_TYPES.some((type) => type === value);
}
