/** `WWW-Authenticate` (RFC 9110 §11.6.1) for every method that a policy takes. Schemes without a registration are named after our fields. */
import type { Model } from "./model.ts";
import type { Place } from "./place.ts";

/** `certificates`: whether the listener asks for them; else none can come. */
export function challengeOf(model: Model, realm: string, certificates: boolean): string {
  const tokens = model.issuers.length === 0 ? [] : [`Bearer realm="${realm}"`];
  const keys = (model.apiKey?.places ?? []).map((place) => `ApiKey realm="${realm}", ${where(place)}`);
  const basic = model.basic === undefined ? [] : [`Basic realm="${realm}", charset="UTF-8"`];
  const certificate = model.identities === undefined || !certificates ? [] : [`ClientCertificate realm="${realm}"`];
  return [...tokens, ...keys, ...basic, ...certificate].join(", ");
}

function where(place: Place): string {
  return `${place.in === "param" ? "query" : place.in}="${place.name}"`;
}
