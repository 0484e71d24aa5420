/** What statuses say where a broken policy closes a rule: to the route, and to the policies that hold nothing there because of it. */
import type { Closed } from "../attach/layer.ts";
import type { Effective } from "../attach/policies.ts";
import { idOf } from "../kinds/meta.ts";
import type { Level } from "../slice.ts";

export interface Closure {
  readonly listener: string;
  readonly text: string;
  /** Policies (`namespace/name`) to which it is told. */
  readonly told: readonly string[];
}

const LEVELS: readonly Level[] = ["Gateway", "Listener", "Namespace", "Route", "Rule"];

export function closuresOf(
  closed: readonly Closed[],
  listener: string,
  sections: readonly Effective[],
): readonly Closure[] {
  const sources = sections.flatMap(({ enforced }) => enforced?.sources ?? []);
  return closed.map(({ policy, level, detail }) => ({
    listener,
    text: `calls by listener ${listener} are answered 503 where ${policy} holds, which cannot be enforced: ${detail}`,
    told: [
      ...new Set(
        // A broken policy of one route is no news for the Gateway's; what is broken at a listener is for everybody behind it.
        sources.filter((one) => bindsListener(level) || LEVELS.indexOf(one.level) >= LEVELS.indexOf(level)).map(idOf),
      ),
    ].filter((one) => one !== policy && !policy.startsWith(`${one}#`)),
  }));
}

/** What a listener asks for cannot be told while its own policy is broken. */
export function knowsListener(closed: readonly Closed[]): boolean {
  return !closed.some(({ level }) => bindsListener(level));
}

function bindsListener(level: Level): boolean {
  return level === "Gateway" || level === "Listener";
}
