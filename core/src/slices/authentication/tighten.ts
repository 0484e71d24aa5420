/**
 * Under an Override its methods must succeed: with its keys, its consumers, in its places. A nearer policy may drop methods, issuers, audiences,
 * algorithms, places and consumers by naming those that it keeps; one that names others does not hold at all.
 */
import { contentHash } from "../../hash.ts";
import { sameJson } from "../../same.ts";
import type { Identity } from "../../schema/identity.ts";
import type { Tightened } from "../../slice.ts";
import type { ApiKey, Basic, Issuer, Keys, Model } from "./model.ts";
import { distinctPlaces, type Place, placesOf, samePlace } from "./place.ts";
import { DEFAULTS } from "./schema.ts";

/** What the nearer policy keeps of a part, or what it names that the floor does not. */
type Kept<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly other: string };

export function tighten(floor: Model, near: Model): Tightened<Model> {
  const forbid = [...new Set([...floor.forbid, ...near.forbid])];
  const over = (message: string): Tightened<Model> => ({
    model: permitted({ ...floor, forbid }, near.policy),
    overridden: { reason: "Overridden", path: "spec.authentication", message },
  });
  if (floor.forbid.some((mode) => mode === near.mode)) return over(`it forbids mode ${near.mode}`);
  // It names no method: whatever is nearer holds.
  if (floor.mode === "Undecided" || floor.mode === "Public") {
    const model = near.mode === "Undecided" && floor.mode === "Public" ? floor : near;
    return { model: permitted({ ...model, forbid }, model === near ? floor.policy : near.policy) };
  }
  if (near.mode === "Undecided") return { model: permitted({ ...floor, forbid }, near.policy) };
  if (near.mode === "Public" || (near.mode === "Optional" && floor.mode === "Required")) {
    return over(`mode ${near.mode} is less than its mode ${floor.mode}`);
  }
  const kept = keptMethods(floor, near);
  if (!kept.ok) return over(`it does not name ${kept.other}`);
  const model = { ...kept.value, mode: near.mode, forbid };
  const untouched = sameJson({ ...model, forbid: [] }, { ...floor, forbid: [] });
  return { model: untouched ? model : { ...model, policy: near.policy } };
}

/** A mode that some Override forbids becomes the next stricter one, in the name of `forbidding`. */
function permitted(model: Model, forbidding: string): Model {
  if (!model.forbid.some((mode) => mode === model.mode)) return model;
  return { ...model, policy: forbidding, mode: model.mode === "Optional" ? "Required" : "Undecided" };
}

function keptMethods(floor: Model, near: Model): Kept<Model> {
  const { apiKey: floorKey, basic: floorBasic, identities: floorIdentities, ...rest } = floor;
  const issuers: Issuer[] = [];
  for (const one of near.issuers) {
    const kept = keptIssuers(floor.issuers, one);
    if (!kept.ok) return kept;
    issuers.push(...kept.value);
  }
  const consumers = { own: floor.namespace === near.namespace, namespace: near.namespace };
  const apiKey = near.apiKey && keptKey(floorKey, near.apiKey, consumers);
  if (apiKey?.ok === false) return apiKey;
  const basic = near.basic && keptBasic(floorBasic, near.basic, consumers);
  if (basic?.ok === false) return basic;
  const identities = near.identities && keptIdentities(floorIdentities, near.identities);
  if (identities?.ok === false) return identities;
  const certificateHeader = floor.certificateHeader ?? near.certificateHeader;
  return {
    ok: true,
    value: {
      ...rest,
      issuers: issuers.filter((one, at) => issuers.findIndex((other) => sameJson(one, other)) === at),
      ...(apiKey === undefined ? {} : { apiKey: apiKey.value }),
      ...(basic === undefined ? {} : { basic: basic.value }),
      ...(identities === undefined ? {} : { identities: identities.value }),
      ...(certificateHeader === undefined ? {} : { certificateHeader }),
      ...droppedOf(floor, near, { issuers, apiKey: apiKey?.value }),
    },
  };
}

/**
 * The first credential that is present decides, also where it is one that only the floor takes: a bad one must not be passed over for a good one
 * of another kind, nor for none.
 */
function droppedOf(
  floor: Model,
  near: Model,
  kept: { readonly issuers: readonly Issuer[]; readonly apiKey: ApiKey | undefined },
): Pick<Model, "dropped"> {
  const left = (before: readonly Place[], now: readonly Place[]): readonly Place[] =>
    distinctPlaces(before.filter((place) => !now.some((one) => samePlace(one, place))));
  const tokens = kept.issuers.flatMap(({ places }) => places);
  const keys = kept.apiKey?.places ?? [];
  const dropped = {
    tokens: left([...floor.issuers.flatMap(({ places }) => places), ...(near.dropped?.tokens ?? [])], tokens),
    keys: left([...(floor.apiKey?.places ?? []), ...(near.dropped?.keys ?? [])], keys),
    basic: near.basic === undefined && (floor.basic !== undefined || near.dropped?.basic === true),
    certificate:
      near.identities === undefined && (floor.identities !== undefined || near.dropped?.certificate === true),
  };
  const { basic, certificate } = dropped;
  return dropped.tokens.length + dropped.keys.length > 0 || basic || certificate ? { dropped } : {};
}

/** Several entries of the floor may be about one issuer: all that allow what is named stay. */
function keptIssuers(floor: readonly Issuer[], near: Issuer): Kept<readonly Issuer[]> {
  const entries = floor.filter(({ issuer }) => issuer === near.issuer).map((one) => keptIssuer(one, near));
  const value = entries.flatMap((entry) => (entry.ok ? [entry.value] : []));
  if (value.length > 0) return { ok: true, value };
  const refused = entries.find((entry) => !entry.ok);
  return { ok: false, other: refused === undefined ? `issuer ${near.issuer}` : refused.other };
}

function keptIssuer(floor: Issuer, near: Issuer): Kept<Issuer> {
  const of = `of issuer ${near.issuer}`;
  const audience =
    floor.audiences.length === 0 ? undefined : near.audiences.find((one) => !floor.audiences.includes(one));
  if (audience !== undefined) return { ok: false, other: `audience ${audience} ${of}` };
  const allowed: readonly string[] = floor.algorithms ?? DEFAULTS.algorithms;
  const algorithm = near.algorithms?.find((one) => !allowed.includes(one));
  if (algorithm !== undefined) return { ok: false, other: `algorithm ${algorithm} ${of}` };
  const places = keptPlaces(floor.places, near.places, placesOf(DEFAULTS.jwtFrom));
  if (!places.ok) return { ok: false, other: `${places.other} for tokens ${of}` };
  const headers = new Set(floor.claims.map(({ header }) => header));
  const consumerHeader = floor.consumerHeader ?? near.consumerHeader;
  return {
    ok: true,
    value: {
      ...floor, // also its keys and its rolesClaim: a nearer policy must not bring its own for the same issuer
      audiences: near.audiences.length === 0 ? floor.audiences : near.audiences,
      ...(near.algorithms === undefined
        ? {}
        : { algorithms: near.algorithms, keys: keysFor(floor.keys, near.algorithms, allowed) }),
      places: places.value,
      claims: [...floor.claims, ...near.claims.filter(({ header }) => !headers.has(header))],
      ...(consumerHeader === undefined ? {} : { consumerHeader }),
      forwardToken: floor.forwardToken && near.forwardToken,
      clockSkewSeconds: Math.min(floor.clockSkewSeconds, near.clockSkewSeconds),
    },
  };
}

/** Without keys the tokens are refused, as before any was fetched. */
function keysFor(keys: Keys, algorithms: readonly string[], allowed: readonly string[]): Keys {
  if (allowed.every((algorithm) => algorithms.includes(algorithm))) return keys;
  const id = contentHash([keys.id, algorithms]);
  if (keys.jwks === undefined) return { id };
  const set = JSON.parse(keys.jwks) as { readonly keys: readonly { readonly alg?: string }[] }; // made by pinKeys
  const kept = set.keys.filter(({ alg = "" }) => algorithms.includes(alg));
  return kept.length === 0 ? { id } : { id, jwks: JSON.stringify({ ...set, keys: kept }) };
}

interface Consumers {
  readonly own: boolean; // both policies speak of the consumers of one namespace
  readonly namespace: string; // of the nearer policy
}

function keptKey(floor: ApiKey | undefined, near: ApiKey, { own, namespace }: Consumers): Kept<ApiKey> {
  if (floor === undefined) return { ok: false, other: "apiKey" };
  if (!own && near.clients !== undefined)
    return { ok: false, other: `API keys of consumers of namespace ${namespace}` };
  const places = keptPlaces(floor.places, near.places, placesOf(DEFAULTS.apiKeyFrom));
  if (!places.ok) return { ok: false, other: `${places.other} for API keys` };
  const clients = near.clients === undefined ? floor.clients : both(floor.clients, near.clients);
  const consumerHeader = floor.consumerHeader ?? near.consumerHeader;
  return {
    ok: true,
    value: {
      places: places.value,
      ...(clients === undefined ? {} : { clients }),
      ...(consumerHeader === undefined ? {} : { consumerHeader }),
      forwardKey: floor.forwardKey && near.forwardKey,
    },
  };
}

function both(floor: readonly string[] | undefined, near: readonly string[]): readonly string[] {
  return floor === undefined ? near : near.filter((one) => floor.includes(one));
}

function keptBasic(floor: Basic | undefined, near: Basic, { own, namespace }: Consumers): Kept<Basic> {
  if (floor === undefined) return { ok: false, other: "basic" };
  if (!own && near.selected) return { ok: false, other: `passwords of consumers of namespace ${namespace}` };
  const lines = (users: string | undefined): readonly string[] => users?.split("\n") ?? [];
  const users = own ? both(lines(floor.users), lines(near.users)).join("\n") : (floor.users ?? "");
  const consumerHeader = floor.consumerHeader ?? near.consumerHeader;
  return {
    ok: true,
    value: {
      selected: floor.selected || near.selected,
      ...(users === "" ? {} : { users }),
      ...(consumerHeader === undefined ? {} : { consumerHeader }),
    },
  };
}

function keptIdentities(floor: readonly Identity[] | undefined, near: readonly Identity[]): Kept<readonly Identity[]> {
  if (floor === undefined) return { ok: false, other: "clientCertificate" };
  const other = near.find((one) => !floor.some((wider) => covers(wider, one)));
  return other === undefined
    ? { ok: true, value: near }
    : { ok: false, other: `identity ${other.type} ${other.san} ${other.value}` };
}

/** Whether every name that fits `narrow` fits `wide`. */
function covers(wide: Identity, narrow: Identity): boolean {
  if (wide.san !== narrow.san) return false;
  if (wide.type === narrow.type && wide.value === narrow.value) return true;
  if (wide.type === "Prefix" && (narrow.type === "Exact" || narrow.type === "Prefix"))
    return narrow.value.startsWith(wide.value);
  return (
    wide.type === "Suffix" && (narrow.type === "Exact" || narrow.type === "Suffix") && narrow.value.endsWith(wide.value)
  );
}

/** A section that does not write `from` keeps the floor's places; the usual one stands for that. */
function keptPlaces(floor: readonly Place[], near: readonly Place[], usual: readonly Place[]): Kept<readonly Place[]> {
  const other = near.find((place) => !floor.some((one) => samePlace(one, place)));
  if (other === undefined) return { ok: true, value: near };
  return sameJson(near, usual) ? { ok: true, value: floor } : { ok: false, other: `${other.in} ${other.name}` };
}
