/**
 * Lua that sleeps: a filter of the chain whose script runs only where a route or its host asks for it by name. To run a script that finds
 * nothing to do costs 5 µs, and to be asleep almost nothing; switching the filter off in each host instead would be 75 bytes in each scope.
 */
import type { JsonObject } from "../world.ts";
import { LUA, LUA_PER_ROUTE } from "./type-url.ts";

/** Name of the one script of each such filter. */
const SCRIPT = "on";

/** The filter. */
export function sleepingLua(script: string): JsonObject {
  return { "@type": LUA, source_codes: { [SCRIPT]: { inline_string: script } }, clear_route_cache: false };
}

/** Per route or host: run it; `context` is what the script reads. */
export function awake(context?: JsonObject): JsonObject {
  return { "@type": LUA_PER_ROUTE, name: SCRIPT, ...(context === undefined ? {} : { filter_context: context }) };
}

/** Why Envoy would run nothing, without a word: a script that hides credentials must not be forgotten. */
export function sleepFault(slot: string, { "@type": type, name }: JsonObject): string | undefined {
  return type === LUA_PER_ROUTE && name !== SCRIPT ? `slot "${slot}" would run no script` : undefined;
}
