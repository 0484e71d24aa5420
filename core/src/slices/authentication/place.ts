/** Where a credential can stand in a request: how Envoy sees that it is there, and how it is taken out before the upstream. */
import { quote, safeRegex } from "../../envoy/pattern.ts";
import type { Branch } from "../../slice.ts";
import type { JsonObject } from "../../world.ts";
import type { Model } from "./model.ts";

export type Place =
  | { readonly in: "header"; readonly name: string; readonly prefix: string }
  | { readonly in: "param"; readonly name: string }
  | { readonly in: "cookie"; readonly name: string };

/** Structure of `from` in jwt and apiKey. */
interface From {
  readonly headers?: readonly (string | { readonly name: string; readonly prefix?: string })[];
  readonly params?: readonly string[];
  readonly cookies?: readonly string[];
}

export const BASIC: Place = { in: "header", name: "authorization", prefix: "Basic " };

export function placesOf({ headers = [], params = [], cookies = [] }: From): readonly Place[] {
  return [
    ...headers.map((header): Place => {
      const { name, prefix = "" } = typeof header === "string" ? { name: header } : header;
      return { in: "header", name, prefix };
    }),
    ...params.map((name): Place => ({ in: "param", name })),
    ...cookies.map((name): Place => ({ in: "cookie", name })),
  ];
}

export function samePlace(a: Place, b: Place): boolean {
  return a.in === b.in && a.name === b.name && prefixOf(a) === prefixOf(b);
}

export function distinctPlaces(places: readonly Place[]): readonly Place[] {
  return places.filter((place, at) => places.findIndex((other) => samePlace(place, other)) === at);
}

/** Every place in which a credential can choose. */
export function placesOfAll({ issuers, apiKey, basic, dropped }: Model): readonly Place[] {
  return distinctPlaces([
    ...(dropped?.tokens ?? []),
    ...(dropped?.keys ?? []),
    ...(dropped?.basic === true ? [BASIC] : []),
    ...issuers.flatMap(({ places }) => places),
    ...(apiKey?.places ?? []),
    ...(basic === undefined ? [] : [BASIC]),
  ]);
}

/** Whether a credential is there, good or bad. A scheme is found in any spelling, so that `bearer x` is refused and not overlooked. */
export function present(place: Place): Branch["match"] {
  switch (place.in) {
    case "header":
      return { headers: [headerPresent(place.name, place.prefix)] };
    case "param":
      return { query_parameters: [{ name: place.name, present_match: true }] };
    case "cookie":
      return { cookies: [{ name: place.name, string_match: safeRegex("(?s).*") }] };
  }
}

function headerPresent(name: string, prefix: string): JsonObject {
  if (prefix === "") return { name, present_match: true };
  const scheme = prefix.trimEnd();
  const rest = scheme === prefix ? ".*" : "(?:\\s.*)?";
  return { name, string_match: safeRegex(`(?is)${quote(scheme)}${rest}`) };
}

/** Leaves the first of several copies, before anybody reads it: an upstream could read another than the filter did. */
export function firstCopy(place: Place): readonly JsonObject[] {
  if (place.in === "param") return [];
  // HTTP/2 may send cookies apart, which Envoy joins; in HTTP/1 a second line is no part of the protocol (RFC 6265 section 5.4).
  const name = place.in === "cookie" ? "cookie" : place.name;
  const header = { key: name, value: `%REQ(${name})%` };
  return [{ append: { header, append_action: "OVERWRITE_IF_EXISTS" } }];
}

/**
 * Whether a credential that is forwarded is there more than once, in whatever spelling: an upstream could read another copy than the filter
 * did, and take it for verified. Of headers, and of lines of cookies, one is left ({@link firstCopy}).
 */
export function several(place: Place): Branch["match"] | undefined {
  switch (place.in) {
    case "header":
      return undefined;
    case "param": {
      const one = `${place.name.replace(/./gs, escapable)}(?:[=&;].*)?`;
      return { headers: [{ name: ":path", string_match: safeRegex(`(?s)[^?]*\\?(?:.*[&;])?${one}[&;]${one}`) }] };
    }
    case "cookie": {
      const one = `\\s*${quote(place.name)}\\s*=.*`;
      return { headers: [{ name: "cookie", string_match: safeRegex(`(?s)(?:.*[;,])?${one}[;,]${one}`) }] };
    }
  }
}

/** A character as it is or percent-encoded. */
function escapable(character: string): string {
  const hex = (character.codePointAt(0) ?? 0).toString(16).padStart(2, "0");
  return `(?:${quote(character)}|%${hex.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`)})`;
}

/** What has to change so that an upstream sees none of these credentials. */
export interface Removal {
  readonly headers: readonly JsonObject[]; // HeaderMutation
  readonly parameters: readonly string[];
  readonly cookies: readonly string[];
}

export function removalOf(places: readonly Place[]): Removal {
  const names = (kind: Place["in"]): readonly string[] => [
    ...new Set(places.filter((place) => place.in === kind).map(({ name }) => name)),
  ];
  return {
    headers: names("header").map((remove) => ({ remove })),
    parameters: names("param"),
    cookies: names("cookie"),
  };
}

function prefixOf(place: Place): string {
  return place.in === "header" ? place.prefix : "";
}
