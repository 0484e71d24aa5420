/** Section `mtls` (README.md beside this file). */
import type { Slice } from "../../slice.ts";
import { evaluate } from "./evaluate.ts";
import { shown } from "./shown.ts";
import type { Model } from "./model.ts";
import { merge, resolve, validate } from "./resolve.ts";
import { schema, type Spec } from "./schema.ts";
import { tighten } from "./tighten.ts";
import { listener, route, unsupported } from "./translate.ts";

export const mtls: Slice<"mtls", Spec, Model> = {
  key: "mtls",
  schema,
  levels: ["Gateway", "Listener", "Namespace", "Route", "Rule"],
  listenerSettings: ["client"],
  mayOpen: false,
  closes: true,
  audit: "a TLS handshake cannot be tried beside the one that takes place",
  validate,
  resolve,
  merge,
  tighten,
  // `client` of a farther policy belongs to the listener, where a fault of it closes every route anyway.
  replaces: ({ backend }) => backend !== undefined,
  route,
  evaluate,
  shown,
  unsupported,
  listener,
  clientCertificates: ({ client }) => client?.mode,
};
