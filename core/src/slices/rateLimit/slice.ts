/** Section `rateLimit` (README.md beside this file). */
import type { Slice } from "../../slice.ts";
import type { Model } from "./model.ts";
import { merge, resolve, validate } from "./resolve.ts";
import { cel, schema, type Spec } from "./schema.ts";
import { extension, host, route } from "./translate.ts";

export const rateLimit: Slice<"rateLimit", Spec, Model> = {
  key: "rateLimit",
  schema,
  cel,
  levels: ["Gateway", "Listener", "Namespace", "Route", "Rule"],
  listenerSettings: [],
  mayOpen: true,
  closes: true,
  audit: true,
  validate,
  resolve,
  merge,
  route,
  host,
  extension,
  perProxy: ({ limits }) =>
    limits.flatMap(({ name, requests, per, shared }) => (shared ? [] : [{ name, requests, per }])),
};
