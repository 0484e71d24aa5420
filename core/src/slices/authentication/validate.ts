/** What one section can say wrong that its schema cannot see. Works offline. */
import { invalid } from "../../schema/parse.ts";
import type { At } from "../../slice.ts";
import type { Problem } from "../../problems.ts";
import { pinKeys } from "./key-set.ts";
import { BASIC, placesOf } from "./place.ts";
import { regexFault } from "../../envoy/re2.ts";
import { DEFAULTS, type JwtSpec, type Spec } from "./schema.ts";

export function validate(spec: Spec, at: At): readonly Problem[] {
  return [
    ...(spec.jwt ?? []).flatMap((jwt, index) => keyProblems(jwt, `${at.path}.jwt[${index}]`)),
    ...headerProblems(spec, at.path),
    ...(spec.forbid === undefined || at.source.precedence === "Override"
      ? []
      : [
          invalid(
            `${at.path}.forbid`,
            "forbids nothing, since nearer policies may replace the section",
            "write precedence: Override, or remove forbid",
          ),
        ]),
    ...(spec.clientCertificate?.identities ?? []).flatMap(({ type, value }, index) => {
      const fault = type === "Regex" ? regexFault(value) : undefined;
      const path = `${at.path}.clientCertificate.identities[${index}].value`;
      return fault === undefined ? [] : [invalid(path, fault, "write RE2 (https://github.com/google/re2/wiki/Syntax)")];
    }),
  ];
}

function keyProblems({ algorithms = DEFAULTS.algorithms, jwks }: JwtSpec, path: string): readonly Problem[] {
  const symmetric = algorithms.some((algorithm) => algorithm.startsWith("HS"));
  if (symmetric && !(jwks?.type === "Ref" && jwks.ref?.kind === "Secret")) {
    return [
      invalid(
        `${path}.algorithms`,
        "allows HS* with keys that are no secret",
        "take the key from a Secret with jwks.type Ref",
      ),
    ];
  }
  if (jwks?.inline === undefined) return [];
  const keys = pinKeys(jwks.inline, algorithms, false);
  return keys.ok
    ? []
    : [invalid(`${path}.jwks.inline`, keys.message, "write a JWKS with a key for one of the algorithms")];
}

/** A header that we set would be taken away from the client that shows its credential in it. */
function headerProblems(spec: Spec, path: string): readonly Problem[] {
  const places = [
    ...(spec.jwt ?? []).flatMap(({ from = DEFAULTS.jwtFrom }) => placesOf(from)),
    ...(spec.apiKey === undefined ? [] : placesOf(spec.apiKey.from ?? DEFAULTS.apiKeyFrom)),
    ...(spec.basic === undefined ? [] : [BASIC]),
  ];
  const sources = new Set(places.filter((place) => place.in === "header").map(({ name }) => name));
  const written = [
    ...(spec.jwt ?? []).flatMap(({ claimsToHeaders = [] }, jwt) =>
      claimsToHeaders.map(({ header }, at) => ({ header, field: `${path}.jwt[${jwt}].claimsToHeaders[${at}].header` })),
    ),
    ...(spec.jwt ?? []).map(({ consumerHeader }, at) => ({
      header: consumerHeader,
      field: `${path}.jwt[${at}].consumerHeader`,
    })),
    { header: spec.clientCertificate?.consumerHeader, field: `${path}.clientCertificate.consumerHeader` },
    { header: spec.apiKey?.consumerHeader, field: `${path}.apiKey.consumerHeader` },
    { header: spec.basic?.consumerHeader, field: `${path}.basic.consumerHeader` },
  ];
  return written.flatMap(({ header, field }) =>
    header === undefined || !sources.has(header)
      ? []
      : [invalid(field, "names a header that carries a credential of this policy", "choose another header")],
  );
}
