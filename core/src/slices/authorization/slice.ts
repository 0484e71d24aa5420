/** The slice `authorization`: who may do what (README.md in this folder). */
import type { Slice } from "../../slice.ts";
import { evaluate } from "./evaluate.ts";
import type { Model } from "./model.ts";
import { resolve } from "./resolve.ts";
import { schema, type Spec } from "./schema.ts";
import { shown } from "./shown.ts";
import { route } from "./translate.ts";
import { unsupported } from "./unsupported.ts";
import { validate } from "./validate.ts";

export const authorization: Slice<"authorization", Spec, Model> = {
  key: "authorization",
  schema,
  levels: ["Gateway", "Listener", "Namespace", "Route", "Rule"],
  listenerSettings: [],
  mayOpen: false,
  closes: true,
  audit: true,
  validate,
  resolve,
  tighten: (floor, near) => ({ model: { sets: [...floor.sets, ...near.sets] } }),
  route,
  unsupported,
  wantsCertificates: ({ sets }) => sets.some(({ rules }) => rules.some(({ identities }) => identities !== undefined)),
  evaluate,
  shown,
};
