/** The effective section for people: which credentials, where, of whom. No keys, passwords or hashes. */
import type { JsonObject, JsonValue } from "../../world.ts";
import type { Model } from "./model.ts";
import type { Place } from "./place.ts";

export function shown({ mode, issuers, apiKey, basic, identities, forbid, dropped }: Model): JsonValue {
  return {
    mode,
    ...(forbid.length === 0 ? {} : { forbid }),
    ...(issuers.length === 0
      ? {}
      : {
          jwt: issuers.map(({ name, issuer, audiences, places, keys, clockSkewSeconds, rolesClaim }): JsonObject => ({
            name,
            issuer,
            audiences,
            from: places.map(placeText),
            keys: keys.jwks === undefined ? "none were ever obtained" : keyCount(keys.jwks),
            clockSkew: `${String(clockSkewSeconds)}s`,
            ...(rolesClaim === undefined ? {} : { rolesClaim }),
          })),
        }),
    ...(apiKey === undefined
      ? {}
      : { apiKey: { from: apiKey.places.map(placeText), consumers: apiKey.clients ?? "all of the namespace" } }),
    ...(basic === undefined
      ? {}
      : { basic: { consumers: (basic.users ?? "").split("\n").flatMap((line) => line.split(":")[0] || []) } }),
    ...(identities === undefined ? {} : { clientCertificate: { identities } }),
    ...(dropped === undefined ? {} : { refused: [...dropped.tokens, ...dropped.keys].map(placeText) }),
  };
}

function keyCount(jwks: string): string {
  const count = (JSON.parse(jwks) as { readonly keys: readonly unknown[] }).keys.length;
  return `${String(count)} for verifying`;
}

function placeText(place: Place): string {
  switch (place.in) {
    case "header":
      return place.prefix === "" ? `header ${place.name}` : `header ${place.name}: ${place.prefix.trim()} …`;
    case "param":
      return `query ${place.name}`;
    case "cookie":
      return `cookie ${place.name}`;
  }
}
