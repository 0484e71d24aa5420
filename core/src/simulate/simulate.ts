/**
 * What becomes of one request, without sending it: the answer that Envoy would give with the configuration that the same engine makes. Reads
 * the engine's views, changes nothing. The world has to be applied at the request's time (`Engine.apply`).
 */
import type { Effective } from "../attach/policies.ts";
import type { OpenEngine } from "../engine.ts";
import { joinKey } from "../key.ts";
import { compareText, idOf, splitId } from "../kinds/meta.ts";
import type { RouteContext } from "../slice.ts";
import { keyPartOf } from "../translate/chain.ts";
import { listenerSettings } from "../translate/gateway-stage.ts";
import { type Answer, MISDIRECTED, NOT_FOUND } from "../translate/refusal.ts";
import { type ContextOf, decideRule } from "../translate/rule.ts";
import type { Model as ClientIP } from "../slices/clientIP/slice.ts";
import { clientAddress } from "./address.ts";
import { answerOf } from "./backend.ts";
import type { Call, Caller, CountedLimit, Evaluating, Finding, PresentedCertificate } from "./contract.ts";
import { PHASES } from "./contract.ts";
import { headersOf, withHeaders } from "./headers.ts";
import { hasPathParameter, headerFault, methodFault, normalisePath } from "./normalise.ts";
import { type Arrival, arrive } from "./place.ts";
import type { SimRequest } from "./request.ts";
import { type Found, findRule } from "./rule.ts";
import type { OwnGateway } from "../views.ts";

/** `request`, `listener`, `route` and `backend` are no sections of a policy; all others are. */
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
  const run = startRun();
  const arrived = arrive(open, gatewaysOf(open), request);
  if (!arrived.ok) return run.deny("listener", { status: 0, code: "", reason: arrived.reason });
  const { own, entry } = arrived.value;
  run.at(`${idOf(own.gateway)}/${entry.name}`);
  if (arrived.others.length > 0)
    run.note(`${arrived.others.join(", ")} would take this call as well; --gateway chooses`);
  const certificates = open.reads.hosts.clientCertificates(own, entry);
  if (certificates === "Strict" && entry.protocol === "HTTPS" && presented(open, request, entry.protocol) === undefined)
    return run.deny("mtls", {
      status: 0,
      code: "",
      reason: "the listener asks for a client certificate, and there is none: the TLS handshake fails",
    });

  const fault = methodFault(request.method) ?? headerFault(request.headers);
  const path = normalisePath(request.path);
  if (fault !== undefined || !path.ok)
    return run.deny("request", { status: 400, code: "GW-HTTP-400", reason: fault ?? (path.ok ? "" : path.reason) });
  const { hostFault } = arrived.value;
  if (hostFault !== undefined) return run.deny("request", { status: 400, code: "GW-HTTP-400", reason: hostFault });
  if (hasPathParameter(path.path))
    return run.deny("request", {
      status: 400,
      code: "GW-PATH-001",
      reason: "the path holds a semicolon, which servers read differently",
    });
  run.pass({
    section: "request",
    policy: "",
    reason: path.path === request.path ? "well formed" : `read as ${path.path}`,
  });

  const call = callOf(open, arrived.value, request, path.path);
  const found = findRule(open, arrived.value, call);
  switch (found.type) {
    case "Misdirected":
      return run.deny("route", answered(MISDIRECTED));
    case "None":
      return run.deny("route", answered(NOT_FOUND));
    case "Broken":
      run.found(found.route);
      return run.deny("route", answered(found.answer));
    case "Rule":
      return follow(open, run, found, call, request);
  }
}

function gatewaysOf(open: OpenEngine): readonly OwnGateway[] {
  return open.gatewayIds().flatMap((id) => open.views.gateways.get(id) ?? []);
}

function follow(
  open: OpenEngine,
  run: Run,
  { input, route, listener }: Extract<Found, { type: "Rule" }>,
  call: Call,
  request: SimRequest,
): Simulation {
  run.found(route);
  run.at(`${input.gateway}/${listener}`);
  run.pass({ section: "route", policy: "", reason: `rule ${route} for ${call.host}${call.path}` });
  const decision = decideRule(input);
  if (decision.answer !== undefined) {
    const { policy = "" } = decision.answer;
    return run.deny(policy.includes("#") ? policy.slice(policy.indexOf("#") + 1) : "policy", answered(decision.answer));
  }
  const { usable, contextOf } = decision;
  let evaluating: Omit<Evaluating, "route"> = {
    call: {
      ...call,
      headers: withHeaders(call.headers, Object.fromEntries(input.ownHeaders.map((name) => [name, undefined]))),
    },
    caller: {},
    consumers: (namespace) => open.consumers.inNamespace(namespace, undefined),
    keyHolder: (key, namespace) => keyHolder(open, input.gateway, key, namespace),
  };
  for (const phase of PHASES) {
    for (const effective of usable) {
      const { slice, enforced } = effective;
      const evaluate = slice.evaluate?.[phase];
      if (evaluate === undefined) continue;
      audit(run, effective, evaluating, contextOf, evaluate);
      if (enforced === undefined) continue;
      const context = contextOf(effective, false);
      const finding = evaluate(enforced.model, { ...evaluating, route: context });
      if (finding === undefined) continue;
      if (finding.result === "Deny") {
        run.later(sectionsBehind(usable, phase, slice.key));
        return run.deny(slice.key, finding);
      }
      run.pass({
        section: slice.key,
        policy: policyName(finding.policy ?? context.source.text),
        reason: finding.reason,
        ...(finding.counts === undefined ? {} : { limits: finding.counts }),
      });
      evaluating = { ...evaluating, ...afterwards(evaluating, finding) };
    }
  }
  const end = answerOf(input, usable, contextOf, evaluating.call);
  for (const note of end.notes) run.note(note);
  if (end.refused !== undefined) return run.deny("backend", end.refused);
  run.pass({ section: "backend", policy: "", reason: end.reason });
  if (!asked(usable) && request.as !== undefined)
    run.note("nobody is asked who is calling: the consumer of --as plays no part");
  return run.allow(end.status);
}

function asked(usable: readonly Effective[]): boolean {
  return usable.some(({ slice, enforced }) => slice.key === "authentication" && enforced !== undefined);
}

/** Says what an audited section would do. */
function audit(
  run: Run,
  effective: Effective,
  evaluating: Omit<Evaluating, "route">,
  contextOf: ContextOf,
  evaluate: (model: never, evaluating: Evaluating) => Finding,
): void {
  const { slice, audited } = effective;
  if (audited === undefined || slice.key === "authentication") return;
  const context: RouteContext = contextOf(effective, true);
  const finding = evaluate(audited.model as never, { ...evaluating, route: context });
  if (finding === undefined) return;
  run.pass({
    section: slice.key,
    policy: policyName(finding.policy ?? context.source.text),
    reason: finding.result === "Deny" ? `would deny: ${finding.reason}` : finding.reason,
    audit: true,
  });
}

function afterwards(
  { call }: Omit<Evaluating, "route">,
  { caller, headers, hiddenParameters }: Extract<Finding, { result: "Pass" }>,
): { readonly caller?: Caller; readonly call?: Call } {
  const changed = headers !== undefined || hiddenParameters !== undefined;
  return {
    ...(caller === undefined ? {} : { caller }),
    ...(changed
      ? {
          call: {
            ...call,
            headers: withHeaders(call.headers, headers ?? {}),
            path: withoutParameters(call.path, hiddenParameters ?? []),
          },
        }
      : {}),
  };
}

function withoutParameters(path: string, names: readonly string[]): string {
  const query = path.indexOf("?");
  if (query < 0 || names.length === 0) return path;
  const kept = path
    .slice(query + 1)
    .split("&")
    .filter((pair) => !names.includes(decodeURIComponentOr(pair.split("=")[0] ?? "")));
  return kept.length === 0 ? path.slice(0, query) : `${path.slice(0, query)}?${kept.join("&")}`;
}

function decodeURIComponentOr(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function sectionsBehind(
  usable: readonly Effective[],
  phase: (typeof PHASES)[number],
  section: string,
): readonly string[] {
  const later = PHASES.slice(PHASES.indexOf(phase) + 1);
  return usable.flatMap(({ slice, enforced }) =>
    enforced !== undefined && slice.key !== section && later.some((one) => slice.evaluate?.[one] !== undefined)
      ? [slice.key]
      : [],
  );
}

function callOf(open: OpenEngine, { own, entry }: Arrival, request: SimRequest, path: string): Call {
  const sent = request.headers.filter(([name]) => !/^x-(gatewarden|envoy)-/i.test(name));
  const settings = listenerSettings(own, entry, open.reads.hosts);
  const clientIP = settings.find(({ slice }) => slice.key === "clientIP")?.enforced?.model as ClientIP | undefined;
  const { address } = clientAddress(request.from, headersOf(sent), clientIP);
  const forwarded = [headersOf(sent).joined("x-forwarded-for"), request.from]
    .filter((one) => one !== undefined)
    .join(",");
  const headers = withHeaders(headersOf(sent), {
    host: request.host,
    "x-forwarded-for": forwarded,
    "x-forwarded-proto": request.scheme,
    "x-request-id": headersOf(sent).joined("x-request-id") ?? "(generated)",
  });
  return {
    method: request.method,
    path,
    host: request.host,
    scheme: request.scheme,
    headers,
    address,
    certificate: presented(open, request, entry.protocol),
    as: request.as,
    nowMs: request.atMs,
  };
}

/** A consumer who is known by exact names brings a certificate with them. */
function presented(open: OpenEngine, request: SimRequest, protocol: string): PresentedCertificate | undefined {
  if (protocol !== "HTTPS") return undefined;
  if (request.certificate !== undefined || request.as === undefined) return request.certificate;
  const { namespace, name } = splitId(request.as);
  const consumer = open.consumers.inNamespace(namespace, undefined).find((one) => one.name === name);
  const exact = (consumer?.identities ?? []).filter(({ type }) => type === "Exact");
  if (exact.length === 0) return undefined;
  const names = (san: string): readonly string[] => exact.flatMap((one) => (one.san === san ? [one.value] : []));
  return { uris: names("URI"), dns: names("DNS"), emails: names("Email") };
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

interface Refused {
  readonly status: number;
  readonly code: string;
  readonly reason: string;
  readonly policy?: string;
  readonly rule?: string;
}

function answered({ status, code, detail, policy }: Answer): Refused {
  return { status, code, reason: detail, ...(policy === undefined ? {} : { policy }) };
}

interface Run {
  at(gateway: string): void;
  found(route: string): void;
  pass(stage: Omit<Stage, "result">): void;
  note(text: string): void;
  later(sections: readonly string[]): void;
  deny(section: string, refused: Refused): Simulation;
  allow(status: number): Simulation;
}

function startRun(): Run {
  const stages: Stage[] = [];
  const notes: string[] = [];
  let gateway = "";
  let route = "";
  let behind: readonly string[] = [];
  const end = (more: Pick<Simulation, "verdict" | "status" | "code" | "policy">): Simulation => ({
    ...more,
    gateway,
    route,
    stages,
    notes,
  });
  return {
    at: (text) => void (gateway = text),
    found: (text) => void (route = text),
    pass: (stage) => void stages.push({ ...stage, result: "Pass" }),
    note: (text) => void notes.push(text),
    later: (sections) => void (behind = sections),
    deny(section, { status, code, reason, policy = "", rule }) {
      stages.push({
        section,
        result: "Deny",
        policy: policyName(policy),
        reason,
        ...(rule === undefined ? {} : { rule }),
      });
      for (const one of behind) stages.push({ section: one, result: "NotReached", policy: "", reason: "" });
      return end({ verdict: "Deny", status, code, policy });
    },
    allow: (status) => end({ verdict: "Allow", status, code: "", policy: "" }),
  };
}

function policyName(text: string): string {
  const hash = text.indexOf("#");
  return hash < 0 ? text : text.slice(0, hash);
}
