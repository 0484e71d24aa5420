/**
 * What becomes of one request, without sending it: the answer that Envoy would give with the configuration that the same engine makes. Reads
 * the engine's views, changes nothing. The world has to be applied at the request's time (`Engine.apply`).
 */
import type { Effective } from "../attach/policies.ts";
import type { OpenEngine } from "../engine.ts";
import { joinKey } from "../key.ts";
import { compareText, idOf } from "../kinds/meta.ts";
import { keyPartOf } from "../translate/chain.ts";
import { type ContextOf, decideRule } from "../translate/rule.ts";
import { answerOf } from "./backend.ts";
import type { Call, Caller, CountedLimit, Evaluating, Finding, Phase } from "./contract.ts";
import { PHASES } from "./contract.ts";
import { withHeaders } from "./headers.ts";
import { answered, locate, type Located, type Refused } from "./locate.ts";
import { percentDecoded } from "./parameters.ts";
import type { SimRequest } from "./request.ts";

/**
 * `listener`, `request`, `route` and `backend` are no sections of a policy, `policy` is a policy as a whole or that there is none. A section has one
 * stage, and a second one where a policy in mode Audit has a part in it.
 */
export interface Stage {
  readonly section: string;
  readonly result: "Pass" | "Deny" | "NotReached";
  /** `namespace/name`; empty: no policy has to do with it. */
  readonly policy: string;
  readonly reason: string;
  /** Name of the authorization rule that decided. */
  readonly rule?: string;
  readonly limits?: readonly CountedLimit[];
  /** From a policy in mode Audit: what it says changes nothing. */
  readonly audit?: true;
}

export interface Simulation {
  readonly verdict: "Allow" | "Deny";
  /** What the caller gets; of a call that reaches its service 200. 0: there is no connection. */
  readonly status: number;
  readonly code: string; // GW-…; empty where nothing was refused
  readonly policy: string; // namespace/name#section; empty where no policy refused
  readonly gateway: string; // namespace/name/listener; empty: none
  readonly route: string; // namespace/name/rule; empty: none
  readonly stages: readonly Stage[];
  /** What is not certain, or not looked at. */
  readonly notes: readonly string[];
}

export function simulate(open: OpenEngine, request: SimRequest): Simulation {
  const place = locate(open, request);
  const run = startRun(place);
  if (place.others.length > 0) run.note(`${place.others.join(", ")} would take this call as well`);
  if (!place.ok) return run.deny(place.at, place.refused);
  const { found, call, address } = place;
  run.pass({ section: "request", reason: readAs(request, call, address.reason) });
  run.pass({ section: "route", reason: `${call.host}${call.path} is for rule ${place.route}` });
  const decision = decideRule(found.input);
  if (decision.answer !== undefined) {
    const { policy = "" } = decision.answer;
    const section = policy.includes("#") ? policy.slice(policy.indexOf("#") + 1) : "policy";
    return run.deny(section, answered(decision.answer));
  }
  return follow(open, run, place, decision.usable, decision.contextOf);
}

function readAs(request: SimRequest, { path, address }: Call, reason: string): string {
  const read = path === request.path ? "well formed" : `the path is read as ${path}`;
  return `${read}; the client is ${address}${address === request.from ? "" : `: ${reason}`}`;
}

type Told = Omit<Evaluating, "route">;

function follow(
  open: OpenEngine,
  run: Run,
  { found: { input }, call }: Extract<Located, { ok: true }>,
  usable: readonly Effective[],
  contextOf: ContextOf,
): Simulation {
  const own = Object.fromEntries(input.ownHeaders.map((name) => [name, undefined]));
  let told: Told = {
    call: { ...call, headers: withHeaders(call.headers, own) },
    caller: {},
    consumers: (namespace) => open.consumers.inNamespace(namespace, undefined),
    keyHolder: (key, namespace) => keyHolder(open, input.gateway, key, namespace),
  };
  for (const phase of PHASES) {
    for (const effective of usable) {
      const { slice, enforced } = effective;
      const evaluate = slice.evaluate?.[phase];
      if (evaluate === undefined) continue;
      audit(run, effective, phase, told, contextOf);
      if (enforced === undefined) continue;
      const route = contextOf(effective, false);
      const finding = evaluate(enforced.model, { ...told, route });
      if (finding?.result === "Deny") return run.deny(slice.key, finding, sectionsBehind(usable, phase, slice.key));
      if (finding === undefined) continue;
      run.pass({
        section: slice.key,
        policy: finding.policy ?? route.source.text,
        reason: finding.reason,
        ...(finding.rule === undefined ? {} : { rule: finding.rule }),
        ...(finding.counts === undefined ? {} : { limits: finding.counts }),
        ...(finding.later === undefined ? {} : { later: finding.later }),
      });
      told = { ...told, ...afterwards(told, finding) };
    }
  }
  const end = answerOf(input, usable, contextOf, told.call);
  for (const note of end.notes) run.note(note);
  if (end.refused !== undefined) return run.deny("backend", end.refused);
  run.pass({ section: "backend", reason: end.reason });
  return run.allow(end.status);
}

/** Says what an audited section would do. */
function audit(run: Run, effective: Effective, phase: Phase, told: Told, contextOf: ContextOf): void {
  const { slice, audited } = effective;
  if (audited === undefined || slice.key === "authentication") return;
  const route = contextOf(effective, true);
  const finding = slice.evaluate?.[phase]?.(audited.model, { ...told, route });
  if (finding === undefined) return;
  run.pass({
    section: slice.key,
    policy: finding.policy ?? route.source.text,
    reason: finding.result === "Deny" ? `would deny: ${finding.reason}` : finding.reason,
    audit: true,
  });
}

function afterwards(
  { call }: Told,
  { caller, headers, hiddenParameters = [] }: Extract<Finding, { result: "Pass" }>,
): { readonly caller?: Caller; readonly call?: Call } {
  return {
    ...(caller === undefined ? {} : { caller }),
    call: {
      ...call,
      headers: headers === undefined ? call.headers : withHeaders(call.headers, headers),
      path: withoutParameters(call.path, hiddenParameters),
    },
  };
}

/** As envoy/hide-parameters.ts takes them out. */
function withoutParameters(path: string, names: readonly string[]): string {
  const query = path.indexOf("?");
  if (query < 0 || names.length === 0) return path;
  const pairs = path.slice(query + 1).split("&");
  const kept = pairs.filter((pair) => !names.includes(percentDecoded(pair.split("=")[0] ?? "")));
  return kept.length === 0 ? path.slice(0, query) : `${path.slice(0, query)}?${kept.join("&")}`;
}

function sectionsBehind(usable: readonly Effective[], phase: Phase, section: string): readonly string[] {
  const later = PHASES.slice(PHASES.indexOf(phase) + 1);
  const asks = ({ slice, enforced }: Effective): boolean =>
    enforced !== undefined && slice.key !== section && later.some((one) => slice.evaluate?.[one] !== undefined);
  return usable.filter(asks).map(({ slice }) => slice.key);
}

/** Keys of all namespaces that fall into one part (translate/chain.ts), and may call by this Gateway, stand in one filter. */
function keyHolder(open: OpenEngine, gateway: string, key: string, asking: string): string | undefined {
  const namespaces = [...open.wiring.entries.get(joinKey(gateway, keyPartOf(asking))).keys()].sort(compareText);
  for (const namespace of namespaces) {
    const holder = open.consumers
      .inNamespace(namespace, undefined)
      .find(({ suspended, liveKeys }) => !suspended && liveKeys.includes(key));
    if (holder !== undefined) return idOf(holder);
  }
  return undefined;
}

interface Run {
  /** `policy`: its text, with or without the section. `later`: see {@link Pass}. */
  pass(stage: Omit<Stage, "result" | "policy"> & { readonly policy?: string; readonly later?: string }): void;
  note(text: string): void;
  deny(section: string, refused: Refused, behind?: readonly string[]): Simulation;
  allow(status: number): Simulation;
}

function startRun({ gateway, route }: Located): Run {
  const stages: Stage[] = [];
  const notes: string[] = [];
  const end = (more: Pick<Simulation, "verdict" | "status" | "code" | "policy">): Simulation => ({
    ...more,
    gateway,
    route,
    stages,
    notes,
  });
  /** What sections that have passed would have looked at later. */
  const pending = new Map<string, string>();
  const place = (section: string, audit: boolean): number =>
    stages.findIndex((stage) => stage.section === section && (stage.audit ?? false) === audit);
  return {
    pass({ section, policy = "", later, ...stage }) {
      const at = place(section, stage.audit ?? false);
      const passed: Stage = { section, result: "Pass", policy: policyName(policy), ...stage };
      const before = stages[at];
      if (before === undefined) stages.push(passed);
      else stages[at] = joined(before, passed);
      if (stage.audit === true) return;
      pending.delete(section);
      if (later !== undefined) pending.set(section, later);
    },
    note: (text) => void notes.push(text),
    deny(section, { status, code, reason, policy = "", rule }, behind = []) {
      // A section that has passed an earlier check is refused by its last one.
      const before = place(section, false);
      if (before >= 0) stages.splice(before, 1);
      pending.delete(section);
      for (const [one, later] of pending) {
        const at = place(one, false);
        const passed = stages[at];
        if (passed !== undefined) stages[at] = { ...passed, reason: `${passed.reason}; ${later}` };
      }
      const own = rule === undefined ? {} : { rule };
      stages.push({ section, result: "Deny", policy: policyName(policy), reason, ...own });
      for (const one of behind.filter((one) => place(one, false) < 0))
        stages.push({ section: one, result: "NotReached", policy: "", reason: "" });
      return end({ verdict: "Deny", status, code, policy });
    },
    allow: (status) => end({ verdict: "Allow", status, code: "", policy: "" }),
  };
}

/** Of a section that looks twice, before and behind the question who calls. */
function joined(before: Stage, stage: Stage): Stage {
  const limits = [...(before.limits ?? []), ...(stage.limits ?? [])];
  return {
    ...before,
    ...stage,
    reason: `${before.reason}; ${stage.reason}`,
    ...(limits.length === 0 ? {} : { limits }),
  };
}

function policyName(text: string): string {
  const hash = text.indexOf("#");
  return hash < 0 ? text : text.slice(0, hash);
}
