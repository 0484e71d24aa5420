/** The stage of scopes: one effect per host pattern of an HCM. Everything that is per host, and what its routes need from later stages. */
import type { Closed } from "../attach/layer.ts";
import { effectiveSections } from "../attach/policies.ts";
import { type RouteFault, ruleFault, widened } from "../attach/route-faults.ts";
import type { ParsedApiPolicy } from "../kinds/api-policy.ts";
import type { HttpRoute } from "../kinds/gateway-api/http-route.ts";
import { byAge, compareText, idOf, ownerOf } from "../kinds/meta.ts";
import { joinKey } from "../key.ts";
import type { Failed, Give } from "../memo.ts";
import type { Resource } from "../outbox.ts";
import type { RouteContext, SectionKey } from "../slice.ts";
import type { AnySlice } from "../slices.ts";
import type { OwnGateway, Views } from "../views.ts";
import type { JsonObject, Owner } from "../world.ts";
import type { Listener } from "../attach/listeners.ts";
import { answerRoute, closedScope, configFault, type HostContent, hostScope } from "./host.ts";
import { byPrecedence, matchJson, type Ranked } from "./match.ts";
import { brokenAnswer, closedAnswer, MISDIRECTED } from "./refusal.ts";
import { type RuleInput, type RuleOutput, type TlsToBackend, translateRule } from "./rule.ts";
import { scopeName } from "./scope-picker.ts";
import { isOfConsumers, ownerText, policyOwner, SHARED } from "./owner.ts";
import type { Wiring } from "./wiring.ts";

export interface HostReads {
  readonly failed: Failed;
  readonly views: Views;
  readonly wiring: Wiring;
  readonly slices: readonly AnySlice[];
  readonly route: (id: string) => HttpRoute | undefined;
  readonly requirePolicy: (gateway: OwnGateway) => boolean;
  readonly clientCertificates: (gateway: OwnGateway, listener: Listener) => RouteContext["clientCertificates"];
  /** What closes every route behind a listener. */
  readonly closed: (gateway: OwnGateway, listener: Listener) => readonly Closed[];
  readonly backendTls: (service: string, port: number) => TlsToBackend | undefined;
  /** ApiGrants that name the policy, where it asks for any. */
  readonly grants: (policy: ParsedApiPolicy) => readonly Owner[];
}

interface RankedRoutes {
  readonly rank: Ranked;
  readonly json: readonly JsonObject[];
}

export function placeKey({ gateway, hcm, pattern }: HostPlace): string {
  return joinKey(gateway, hcm, pattern);
}

export interface HostPlace {
  readonly gateway: string;
  readonly hcm: string;
  readonly pattern: string;
}

/** Undefined when the Gateway is not ours any more. */
export function hostResource(place: HostPlace, reads: HostReads, give: Give): Resource | undefined {
  const { gateway: gatewayId, hcm, pattern } = place;
  const { views, wiring } = reads;
  const own = views.gateways.get(gatewayId);
  if (own === undefined) return undefined;
  const found = wiring.hosts.get(joinKey(gatewayId, hcm, pattern));
  const listener = own.listeners.find(({ name }) => name === [...found.values()][0]);
  const base = { gateway: gatewayId, type: "scope", name: scopeName(hcm, pattern) } as const;
  if (listener === undefined || listener.hcm !== hcm) {
    return {
      ...base,
      json: hostScope(hcm, pattern, { routes: [], collects: false, shared: {} }, MISDIRECTED),
      owners: [],
    };
  }
  const { own: routes, foreign } = claimsOf(
    [...found.keys()].flatMap((id) => (id === "" ? [] : (reads.route(id) ?? []))),
  );
  for (const route of foreign) give(wiring.lostHosts, idOf(route), placeKey(place), routes[0]?.namespace ?? "");
  const ranked: RankedRoutes[] = [];
  const outputs: RuleOutput[] = [];
  const owners = new Map<string, Owner>();
  for (const route of routes) {
    owners.set(`HTTPRoute/${idOf(route)}`, ownerOf("HTTPRoute", route));
    for (const [at, rule] of route.rules.entries()) {
      const fault = ruleFault(rule, at);
      if (fault !== undefined) {
        ranked.push(...brokenRule(route, at, fault));
        continue;
      }
      const output = contained(() => {
        const input = ruleInput(reads, own, listener, route, at);
        for (const { key, uid, generation } of input.verdict.policies) {
          owners.set(`ApiPolicy/${key.namespace}/${key.name}`, { key, uid, generation });
        }
        for (const owner of input.verdict.policies.flatMap((policy) => reads.grants(policy)))
          owners.set(ownerText(owner), owner);
        return translateRule(input);
      });
      if (output instanceof Error) {
        reads.failed("rules", `${idOf(route)}/${at}`, output);
        ranked.push(...brokenRule(route, at, { reason: "UnsupportedValue", message: "a fault of the gateway" }));
        continue;
      }
      outputs.push(output);
      giveClosures(gatewayId, route, output, wiring, give);
      rule.matches.forEach((match, index) => {
        ranked.push({ rank: { route, match, rule: at, at: index }, json: output.matches[index] ?? [] });
      });
    }
  }
  ranked.sort((a, b) => byPrecedence(a.rank, b.rank));
  const content: HostContent = {
    routes: ranked.flatMap(({ json }) => json),
    collects: outputs.some(({ collects }) => collects),
    shared: sharedSlots(outputs, reads.slices),
  };
  const fault = configFault(content.shared);
  if (fault !== undefined) throw new Error(`${base.name}: ${fault}`); // the last good scope stays
  giveNeeds(place, outputs, [...owners.values()], reads, give);
  const sorted = [...owners.values()].sort((a, b) => compareText(ownerText(a), ownerText(b)));
  return {
    ...base,
    json: hostScope(hcm, pattern, content),
    owners: sorted,
    ...(routes.length === 0 ? {} : { fallback: closedScope(hcm, pattern, rejectedAnswer(sorted)) }),
  };
}

function giveClosures(gateway: string, route: HttpRoute, { closures }: RuleOutput, wiring: Wiring, give: Give): void {
  for (const { listener, text, told } of closures) {
    const place = joinKey(gateway, listener, "closed", text);
    give(wiring.closedBy, idOf(route), place, text);
    const problem = { reason: "Overridden", path: "spec", message: text, severity: "warning" } as const;
    for (const id of told) give(wiring.placeProblems, id, place, problem);
  }
}

/** A bug of ours closes the rule that it is about, and nothing else. */
function contained<T>(compute: () => T): T | Error {
  try {
    return compute();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function rejectedAnswer(owners: readonly Owner[]): ReturnType<typeof closedAnswer> {
  const culprit = owners.find(({ key }) => key.kind === "ApiPolicy") ?? owners[0];
  const name = culprit === undefined ? "" : `${culprit.key.namespace}/${culprit.key.name}`;
  return closedAnswer(name, "the proxy refused its configuration");
}

/** Not left out: its requests would be served by a rule that asks for less. */
function brokenRule(route: HttpRoute, at: number, { message }: RouteFault): readonly RankedRoutes[] {
  return (route.rules[at]?.matches ?? []).map((match, index) => {
    const name = `${idOf(route)}/${at}/${index}/broken`;
    const json = [answerRoute(name, brokenAnswer(message), matchJson(widened(match)))];
    return { rank: { route, match, rule: at, at: index }, json };
  });
}

/** Whose host it is. */
export interface Claims {
  readonly own: readonly HttpRoute[]; // older first
  /** Routes that do not get in. */
  readonly foreign: readonly HttpRoute[];
}

/** A host belongs to the namespace of the oldest route that claims it on this listener (rules.md R41). */
export function claimsOf(routes: readonly HttpRoute[]): Claims {
  const sorted = routes.toSorted(byAge);
  const { own = [], foreign = [] } = Object.groupBy(sorted, ({ namespace }) =>
    namespace === sorted[0]?.namespace ? "own" : "foreign",
  );
  return { own, foreign };
}

/** Everything that decides what becomes of one rule behind a listener. */
export function ruleInput(
  reads: HostReads,
  own: OwnGateway,
  listener: Listener,
  route: HttpRoute,
  at: number,
): RuleInput {
  const { views, wiring } = reads;
  const rule = route.rules[at];
  if (rule === undefined) throw new Error("no such rule");
  const effective = effectiveSections(
    views.layers(own.gateway, listener.name, route, rule.name),
    reads.slices,
    views.state,
  );
  const verdict = { ...effective, closed: [...reads.closed(own, listener), ...effective.closed] };
  const gateway = idOf(own.gateway);
  const ownHeaders = new Set([
    ...wiring.ownHeaders.get(route.namespace).keys(),
    ...wiring.ownHeaders.get(gateway).keys(),
  ]);
  return {
    gateway,
    listener,
    route,
    rule,
    at,
    verdict,
    clientCertificates: reads.clientCertificates(own, listener),
    requirePolicy: reads.requirePolicy(own),
    ownHeaders: [...ownHeaders].sort(compareText),
    backend: (ref) => views.backend(ref, { kind: "HTTPRoute", namespace: route.namespace }),
    backendTls: reads.backendTls,
  };
}

function sharedSlots(
  outputs: readonly RuleOutput[],
  slices: readonly AnySlice[],
): Readonly<Record<string, JsonObject>> {
  const bySection = new Map<SectionKey, Map<string, JsonObject>>();
  for (const { section, entry } of outputs.flatMap(({ host }) => host)) {
    const entries = bySection.get(section) ?? new Map<string, JsonObject>();
    bySection.set(section, entries.set(entry.key, entry.value));
  }
  return Object.assign(
    {},
    ...slices.map((slice) => slice.host?.(bySection.get(slice.key) ?? new Map()) ?? {}),
  ) as Record<string, JsonObject>;
}

function giveNeeds(
  { gateway, hcm, pattern }: HostPlace,
  outputs: readonly RuleOutput[],
  owners: readonly Owner[],
  { wiring }: HostReads,
  give: Give,
): void {
  for (const { key } of owners) {
    if (key.kind === "ApiGrant") give(wiring.grantsOn, `${key.namespace}/${key.name}`, gateway, true);
  }
  for (const [at, output] of outputs.entries()) {
    for (const use of output.clusters) give(wiring.clusters, joinKey(gateway, use.name), "", use);
    for (const service of output.services) give(wiring.gatewaysByService, service, gateway, true);
    for (const namespace of output.consumers) give(wiring.consumersOn, namespace, gateway, true);
    for (const { slot, key, value, section, sources } of output.gateway) {
      give(wiring.entries, joinKey(gateway, slot), key, { section, json: value });
      if (isOfConsumers(slot))
        give(wiring.consumersOn, key, gateway, true); // the entry's key is the consumers' namespace
      else
        for (const owner of sources.map(policyOwner))
          give(wiring.entryOwners, joinKey(gateway, slot), ownerText(owner), owner);
    }
    for (const { type, name, json } of output.resources) {
      give(wiring.named, joinKey(gateway, type, name), "", json);
      for (const owner of owners)
        if (owner.key.kind === "ApiPolicy")
          give(wiring.resourceOwners, joinKey(gateway, type, name), ownerText(owner), { ...owner, generation: SHARED });
    }
    for (const change of output.certificates)
      give(wiring.certificates, `${change.namespace}/${change.name}`, "", change);
    for (const policy of output.certified) give(wiring.certifiedOn, policy, gateway, true);
    for (const { policy, problem } of output.problems) {
      give(wiring.placeProblems, policy, joinKey(gateway, hcm, pattern, String(at)), problem);
    }
  }
}
