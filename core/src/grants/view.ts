/** ApiGrants as a view of the graph: who has the right to a rule now. */
import { compareText } from "../kinds/meta.ts";
import type { Graph } from "../memo.ts";
import { type Objects, ruleKey } from "../objects.ts";
import type { Lookup } from "../slice.ts";
import { stateOf } from "./window.ts";

export interface Grants {
  /** Names of the consumers, sorted (`Lookup.grants`). */
  readonly holders: (namespace: string, policy: string, rule: string) => readonly string[];
}

export function createGrants(graph: Graph, objects: Objects, clock: Pick<Lookup, "nowMs" | "until">): Grants {
  const holders = graph.derived<readonly string[]>(
    "grant-holders",
    (key) => {
      const names = [...objects.apiGrantsByRule.get(key).keys()].flatMap((id) => {
        const right = objects.apiGrants.get(id)?.right;
        return right !== undefined && stateOf(right, clock) === "Live" ? [right.consumer] : [];
      });
      return [...new Set(names)].sort(compareText);
    },
    [],
  );
  return { holders: (namespace, policy, rule) => holders.get(ruleKey(namespace, policy, rule)) };
}
