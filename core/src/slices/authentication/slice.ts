/** The slice `authentication`: who is calling (README.md in this folder). */
import type { Slice } from "../../slice.ts";
import { apiKeyExtension } from "./consumers.ts";
import { evaluate } from "./evaluate.ts";
import { shown } from "./shown.ts";
import { jwtExtension } from "./jwt.ts";
import type { Model } from "./model.ts";
import { recogniseExtension } from "./recognise.ts";
import { resolve } from "./resolve.ts";
import { routePiece } from "./route.ts";
import { schema, type Spec } from "./schema.ts";
import { tighten } from "./tighten.ts";
import { unsupported } from "./unsupported.ts";
import { validate } from "./validate.ts";

export const authentication: Slice<"authentication", Spec, Model> = {
  key: "authentication",
  schema,
  levels: ["Gateway", "Listener", "Namespace", "Route", "Rule"],
  listenerSettings: [],
  mayOpen: false,
  closes: true,
  audit: ({ jwt, apiKey, basic }) =>
    (jwt === undefined && apiKey === undefined && basic === undefined) ||
    "Envoy's filters for tokens, keys and passwords refuse what they do not accept; only clientCertificate can be evaluated beside",
  validate,
  resolve,
  tighten,
  inherits: ({ mode }) => mode === "Undecided",
  route: routePiece,
  evaluate,
  shown,
  unsupported,
  wantsCertificates: ({ identities }) => identities !== undefined,
  identityHeaders: ({ issuers, apiKey, basic, certificateHeader }) => [
    ...new Set(
      [
        ...issuers.flatMap(({ claims }) => claims.map(({ header }) => header)),
        apiKey?.consumerHeader,
        basic?.consumerHeader,
        certificateHeader,
        ...issuers.map(({ consumerHeader }) => consumerHeader),
      ].filter((header) => header !== undefined),
    ),
  ],
  credentialHeaders: ({ issuers, apiKey, dropped }) =>
    [
      ...issuers.flatMap(({ places }) => places),
      ...(apiKey?.places ?? []),
      ...(dropped?.tokens ?? []),
      ...(dropped?.keys ?? []),
    ].flatMap((place) => (place.in === "header" ? [place.name.toLowerCase()] : [])),
  callers: ({ mode, namespace, issuers }) =>
    mode === "Public"
      ? undefined
      : {
          consumers: namespace,
          issuers: issuers.map(({ name, issuer, rolesClaim }) => ({
            name,
            issuer,
            ...(rolesClaim === undefined ? {} : { rolesClaim }),
          })),
        },
  extension: (slot, entries, lookup) => {
    if (slot === "jwt") return jwtExtension(entries);
    return slot === "names" || slot === "recognise"
      ? recogniseExtension(slot, entries, lookup)
      : apiKeyExtension(entries, lookup);
  },
};
