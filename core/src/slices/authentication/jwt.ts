/**
 * Tokens: jwt_authn has one provider per issuer and place, and one requirement per list of them, all in one ECDS resource of the Gateway;
 * a route only names its requirement. Names are hashes of what they stand for, so equal policies share them; keys are not part of a name,
 * so their rotation changes no route. An unknown name is refused by Envoy (403): a route that arrives before its requirement is closed.
 */
import { HTTP_FILTER } from "../../envoy/type-url.ts";
import { contentHash } from "../../hash.ts";
import type { SharedEntry } from "../../slice.ts";
import type { JsonObject } from "../../world.ts";
import { isWholeName } from "../../schema/claim.ts";
import { claimHeader } from "./identity.ts";
import type { Issuer } from "./model.ts";
import type { Place } from "./place.ts";

/** Key of a verified token's claims in Envoy's dynamic metadata `envoy.filters.http.jwt_authn`. */
const CLAIMS_KEY = "jwt";
/** From a filter's metadata to the claims of the one token that was verified. */
export const CLAIMS_AT = ["envoy.filters.http.jwt_authn", CLAIMS_KEY] as const;
const CACHED_TOKENS = 500;
/**
 * A cluster that never exists: a provider that has no key yet refuses its tokens with a reason of its own (local replies make it a 503).
 * Envoy takes no empty key set, and a placeholder key is a key that somebody could have.
 */
const NO_KEYS = { http_uri: { uri: "https://no-keys.invalid/", cluster: "gatewarden-no-keys", timeout: "1s" } };

export interface Requirement {
  readonly route: JsonObject; // per-route configuration of slot jwt
  readonly shared: SharedEntry;
}

/** A token of any of these issuers, at one of these places. */
export function requirement(issuers: readonly Issuer[], places: readonly Place[]): Requirement {
  const providers = issuers.map((issuer) => {
    const fixed = providerWithoutKeys(issuer, places);
    const name = contentHash([issuer.keys.id, fixed]);
    const { jwks } = issuer.keys;
    const keys = jwks === undefined ? { remote_jwks: NO_KEYS } : { local_jwks: { inline_string: jwks } };
    return { name, config: { ...fixed, ...keys } };
  });
  const names = [...new Set(providers.map(({ name }) => name))];
  const key = contentHash(names);
  const alternatives = names.map((provider_name) => ({ provider_name }));
  return {
    route: { "@type": `${HTTP_FILTER}.jwt_authn.v3.PerRouteConfig`, requirement_name: key },
    shared: {
      key,
      value: {
        providers: Object.fromEntries(providers.map(({ name, config }) => [name, config])),
        requirement:
          alternatives.length === 1 ? { ...alternatives[0] } : { requires_any: { requirements: alternatives } },
      },
    },
  };
}

/** The ECDS resource of slot jwt from the requirements of all routes. Of two entries with one provider the later has its newest keys. */
export function jwtExtension(entries: ReadonlyMap<string, JsonObject>): JsonObject {
  const byName = <T>([a]: readonly [string, T], [b]: readonly [string, T]): number => (a < b ? -1 : a > b ? 1 : 0);
  const providers = new Map([...entries.values()].flatMap(({ providers: some }) => Object.entries(some as JsonObject)));
  return {
    "@type": `${HTTP_FILTER}.jwt_authn.v3.JwtAuthentication`,
    providers: Object.fromEntries([...providers].sort(byName)),
    requirement_map: Object.fromEntries(
      [...entries].sort(byName).map(([key, { requirement: one }]) => [key, one as JsonObject]),
    ),
  };
}

function providerWithoutKeys(issuer: Issuer, places: readonly Place[]): JsonObject {
  const named = (kind: "param" | "cookie"): readonly string[] =>
    places.filter((place) => place.in === kind).map(({ name }) => name);
  const [params, cookies] = [named("param"), named("cookie")];
  // Envoy reads every dot as a step into an object.
  const claims = issuer.claims.filter(({ claim }) => !isWholeName(claim));
  const headers = places.flatMap((place) => (place.in === "header" ? spellings(place.name, place.prefix) : []));
  return {
    issuer: issuer.issuer,
    ...(issuer.audiences.length === 0 ? {} : { audiences: issuer.audiences }),
    ...(headers.length === 0 ? {} : { from_headers: headers }),
    ...(params.length === 0 ? {} : { from_params: params }),
    ...(cookies.length === 0 ? {} : { from_cookies: cookies }),
    forward: true, // slot identity hides credentials, also those that another filter would leave (cookies, escaped parameter names)
    payload_in_metadata: CLAIMS_KEY,
    require_expiration: true,
    clock_skew_seconds: issuer.clockSkewSeconds,
    jwt_cache_config: { jwt_cache_size: CACHED_TOKENS },
    ...(claims.length === 0
      ? {}
      : {
          claim_to_headers: claims.map(({ claim, header }) => ({
            claim_name: claim,
            header_name: claimHeader(header),
          })),
        }),
  };
}

/** Schemes have no case (RFC 9110), Envoy's prefixes do. */
function spellings(name: string, prefix: string): readonly JsonObject[] {
  return [...new Set([prefix, prefix.toLowerCase(), prefix.toUpperCase()])].map((value_prefix) => ({
    name,
    ...(value_prefix === "" ? {} : { value_prefix }),
  }));
}
