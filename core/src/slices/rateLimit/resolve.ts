/** From the section as written to {@link Model}: defaults, consumers, and what this version cannot do yet. */
import type { KeyPart } from "../../envoy/collect.ts";
import { MAX_PROGRAM_SIZE } from "../../envoy/re2.ts";
import type { Problem } from "../../problems.ts";
import { durationMs } from "../../schema/duration.ts";
import type { At, Lookup, Resolution } from "../../slice.ts";
import { isIdentity, type Keys, type Limit, type Match, type Model } from "./model.ts";
import { DEFAULTS, type LimitSpec, type Spec } from "./schema.ts";

export function validate(spec: Spec, at: At): readonly Problem[] {
  return spec.limits.flatMap((limit, index) =>
    limit.scope === "Global"
      ? [
          {
            reason: "Invalid" as const,
            path: `${at.path}.limits[${String(index)}].scope`,
            message: "scope Global needs a store that all proxies share, which this version does not have",
            fix: "write PerProxy, or PerGateway to divide the limit among the proxies of the Gateway",
          },
        ]
      : [],
  );
}

export function resolve(spec: Spec, at: At, lookup: Lookup): Resolution<Model> {
  const limits = spec.limits.map((limit) => resolveLimit(limit, at, lookup));
  const [problem, ...others] = [...validate(spec, at), ...limits.flatMap((limit, index) => tooMany(limit, index, at))];
  if (problem !== undefined) return { ok: false, problems: [problem, ...others] };
  return { ok: true, model: { limits, headers: spec.headers ?? DEFAULTS.headers } };
}

/** All names stand in one pattern, whose size Envoy bounds (envoy/re2.ts). */
function tooMany({ match }: Limit, index: number, { path }: At): readonly Problem[] {
  const size = match?.consumers?.reduce((sum, name) => sum + name.length, 0) ?? 0;
  if (size <= MAX_NAMES) return [];
  return [
    {
      reason: "Invalid",
      path: `${path}.limits[${String(index)}].match.consumerSelector`,
      message: `chooses ${String(match?.consumers?.length)} consumers, more than fit into one limit`,
      fix: "choose fewer, or write by: [{type: Consumer}] without a selector",
    },
  ];
}

const MAX_NAMES = MAX_PROGRAM_SIZE / 2;

function resolveLimit(spec: LimitSpec, { source }: At, lookup: Lookup): Limit {
  const { name, requests } = spec;
  const by: readonly KeyPart[] = spec.by ?? [];
  const burst = spec.burst ?? requests;
  const perMs = durationMs(spec.per);
  const idleMs = Math.ceil((perMs * burst) / requests);
  const match = spec.match === undefined ? undefined : resolveMatch(spec.match, source.namespace, lookup);
  return {
    id: `${source.namespace}/${source.name}#${name}`,
    name,
    source,
    requests,
    per: spec.per,
    perMs,
    burst,
    shared: spec.scope === "PerGateway",
    identified: by.some(isIdentity) || match?.consumers !== undefined,
    keys: keysOf(by, spec.maxKeys ?? DEFAULTS.maxKeys, idleMs, source.namespace, lookup),
    match,
  };
}

function keysOf(by: readonly KeyPart[], maxKeys: number, idleMs: number, namespace: string, lookup: Lookup): Keys {
  const [first, second] = by;
  if (first === undefined) return { type: "Together" };
  const onlyConsumer = first.type === "Consumer" && second === undefined;
  if (onlyConsumer && lookup.consumers(namespace, undefined).length <= maxKeys) return { type: "Consumer", maxKeys };
  if (first.type === "ClientIP" && second === undefined) return { type: "Address", maxKeys, idleMs };
  return { type: "Collected", by, maxKeys, idleMs };
}

function resolveMatch(spec: NonNullable<LimitSpec["match"]>, namespace: string, lookup: Lookup): Match {
  const { methods = [], paths = [], headers = {}, consumerSelector } = spec;
  const consumers =
    consumerSelector === undefined
      ? undefined
      : lookup
          .consumers(namespace, consumerSelector)
          .filter(({ suspended }) => !suspended)
          .map((consumer) => `${consumer.namespace}/${consumer.name}`);
  return { methods, paths, headers, consumers };
}

/** Limits of both, by name; the nearer policy's replaces the farther one's of the same name, and its `headers` counts. */
export function merge(far: Model, near: Model): Model {
  const names = new Set(near.limits.map(({ name }) => name));
  return { limits: [...far.limits.filter(({ name }) => !names.has(name)), ...near.limits], headers: near.headers };
}
