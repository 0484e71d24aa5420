/** The rule of an HTTPRoute that a request falls to: the first that fits in Gateway API's order, as the host's scope lists them. */
import { ruleFault, widened } from "../attach/route-faults.ts";
import type { OpenEngine } from "../engine.ts";
import type { HttpRoute, RouteMatch } from "../kinds/gateway-api/http-route.ts";
import { joinKey } from "../key.ts";
import { idOf } from "../kinds/meta.ts";
import { claimsOf, ruleInput } from "../translate/host-stage.ts";
import { byPrecedence, type Ranked } from "../translate/match.ts";
import { type Answer, brokenAnswer } from "../translate/refusal.ts";
import type { RuleInput } from "../translate/rule.ts";
import type { Call } from "./contract.ts";
import { fitsMatch } from "./match.ts";
import type { Arrival } from "./place.ts";

export type Found =
  | { readonly type: "None" | "Misdirected" }
  | { readonly type: "Broken"; readonly route: string; readonly answer: Answer }
  | {
      readonly type: "Rule";
      /** `namespace/name/rule`. */
      readonly route: string;
      readonly listener: string;
      readonly match: RouteMatch;
      readonly input: RuleInput;
    };

interface Candidate extends Ranked {
  readonly owner: HttpRoute;
  readonly fault: string | undefined;
}

export function findRule(open: OpenEngine, { own, entry, pattern }: Arrival, call: Call): Found {
  if (pattern === undefined) return { type: "None" };
  const { hosts } = open.reads;
  const cell = open.wiring.hosts.get(joinKey(idOf(own.gateway), entry.hcm, pattern));
  const listener = own.listeners.find(({ name }) => name === [...cell.values()][0]);
  if (listener === undefined || listener.hcm !== entry.hcm) return { type: "Misdirected" };
  const claims = claimsOf([...cell.keys()].flatMap((id) => (id === "" ? [] : (hosts.route(id) ?? []))));
  const found = claims.own
    .flatMap(candidatesOf)
    .sort(byPrecedence)
    .find(({ match, fault }) => fitsMatch(fault === undefined ? match : widened(match), call));
  if (found === undefined) return { type: "None" };
  const { owner, rule, fault, match } = found;
  const route = `${idOf(owner)}/${owner.rules[rule]?.name ?? String(rule)}`;
  if (fault !== undefined) return { type: "Broken", route, answer: brokenAnswer(fault) };
  return { type: "Rule", route, listener: listener.name, match, input: ruleInput(hosts, own, listener, owner, rule) };
}

function candidatesOf(owner: HttpRoute): readonly Candidate[] {
  return owner.rules.flatMap((rule, at) => {
    const fault = ruleFault(rule, at)?.message;
    return rule.matches.map((match, index) => ({ route: owner, owner, match, rule: at, at: index, fault }));
  });
}
