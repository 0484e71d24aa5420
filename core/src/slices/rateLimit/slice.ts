/** Section `rateLimit` (README.md beside this file). */
import type { Slice } from "../../slice.ts";
import { evaluate } from "./evaluate.ts";
import { shown } from "./shown.ts";
import type { Model } from "./model.ts";
import { merge, resolve, validate } from "./resolve.ts";
import { schema, type Spec } from "./schema.ts";
import { tighten } from "./tighten.ts";
import { extension, host, route } from "./translate.ts";

export const rateLimit: Slice<"rateLimit", Spec, Model> = {
  key: "rateLimit",
  schema,
  levels: ["Gateway", "Listener", "Namespace", "Route", "Rule"],
  listenerSettings: [],
  mayOpen: true,
  closes: true,
  audit: true,
  // They share Envoy's filters with limits that are enforced, in shadow mode, which only counts.
  auditShows: ({ limits }) => {
    const names = limits.flatMap(({ name, scope }) => (scope === "PerGateway" ? [name] : []));
    if (names.length === 0) return undefined;
    return `what ${names.join(", ")} of scope PerGateway would refuse is counted in each proxy's statistics (rl-*.http_local_rate_limit.shadow_mode), the records of calls do not name it`;
  },
  validate,
  resolve,
  merge,
  tighten,
  route,
  evaluate,
  shown,
  host,
  extension,
  perProxy: ({ limits }) =>
    limits.flatMap(({ name, requests, per, shared }) => (shared ? [] : [{ name, requests, per }])),
};
