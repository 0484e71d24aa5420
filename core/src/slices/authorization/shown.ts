/** The effective rules for people, set by set: all of them have to allow. Expressions as they were written. */
import type { JsonObject, JsonValue } from "../../world.ts";
import type { Model, Rule } from "./model.ts";

export function shown({ sets }: Model): JsonValue {
  return sets.map(({ source, defaultAction, rules }) => ({ from: source, defaultAction, rules: rules.map(ruleOf) }));
}

function ruleOf({ when, roles, granted, ...rest }: Rule): JsonObject {
  return {
    ...(JSON.parse(JSON.stringify(rest)) as JsonObject),
    ...(roles === undefined ? {} : { roles: roles.names, consumersWithThem: roles.consumers }),
    ...(when === undefined ? {} : { when: when.text }),
    ...(granted === undefined ? {} : { grantedTo: granted }),
  };
}
