/** One rule of an HTTPRoute under one host: its Envoy routes with everything that its policies ask for, or the answer that closes it. */
import type { Backend } from "../attach/backend.ts";
import { clusterName } from "../attach/backend.ts";
import type { Closed } from "../attach/layer.ts";
import type { Effective, Verdict } from "../attach/policies.ts";
import type { Listener } from "../attach/listeners.ts";
import { contentHash } from "../hash.ts";
import type { BackendRef, HttpRoute, RouteMatch, RouteRule } from "../kinds/gateway-api/http-route.ts";
import { idOf } from "../kinds/meta.ts";
import type { Problem } from "../problems.ts";
import type {
  BackendTls,
  ExtensionName,
  NamedResource,
  RouteContext,
  RoutePiece,
  SectionKey,
  SharedEntry,
  Source,
} from "../slice.ts";
import type { CertificateChange, JsonObject } from "../world.ts";
import { actionJson, headerEdits, type Mirror, type Target } from "./action.ts";
import { limitKeyMutation } from "../envoy/collect.ts";
import { TYPE } from "./chain.ts";
import { type Closure, closuresOf, knowsListener } from "./closure.ts";
import type { ClusterUse } from "./cluster.ts";
import { answerRoute, configFault } from "./host.ts";
import { ROUTE_METADATA } from "./local-reply.ts";
import { matchJson } from "./match.ts";
import { mergeJson } from "./merge-json.ts";
import { type Draft, drafts, joinPieces, type SlicePiece } from "./piece.ts";
import { type Answer, answerMetadata, closedAnswer, NO_BACKEND, NO_POLICY, refusalRoute } from "./refusal.ts";

export interface RuleInput {
  readonly gateway: string; // namespace/name
  readonly listener: Listener;
  readonly route: HttpRoute;
  readonly rule: RouteRule;
  readonly at: number;
  readonly verdict: Verdict;
  readonly clientCertificates: RouteContext["clientCertificates"];
  /** Answer 403 where nothing says who may call. */
  readonly requirePolicy: boolean;
  /** Header names that only we may set here. */
  readonly ownHeaders: readonly string[];
  readonly backend: (ref: BackendRef) => Backend;
  /** How the Service's port is called when no policy of ours says it. */
  readonly backendTls: (service: string, port: number) => TlsToBackend | undefined;
}

/** From a BackendTLSPolicy; one that cannot be followed leaves the backend uncallable. */
export type TlsToBackend =
  { readonly ok: true; readonly id: string; readonly transportSocket: JsonObject } | { readonly ok: false };

/** What a rule puts into an extension that the whole Gateway shares. */
export interface GatewayEntry extends SharedEntry {
  readonly slot: ExtensionName;
  readonly section: SectionKey;
  readonly sources: readonly Source[];
}

export interface RuleOutput {
  /** Envoy routes by match of the rule. */
  readonly matches: readonly (readonly JsonObject[])[];
  readonly clusters: readonly ClusterUse[];
  /** Services that are called, also those that cannot be. */
  readonly services: readonly string[];
  readonly host: readonly { readonly section: SectionKey; readonly entry: SharedEntry }[];
  readonly gateway: readonly GatewayEntry[];
  /** Namespaces of the ApiConsumers whose credentials stand in the routes. */
  readonly consumers: readonly string[];
  /** Whether a route sets the header that slot `collect` reads. */
  readonly collects: boolean;
  readonly resources: readonly NamedResource[];
  readonly certificates: readonly CertificateChange[];
  /** What only this place shows, by policy (`namespace/name`). */
  readonly problems: readonly { readonly policy: string; readonly problem: Problem }[];
  /** Policies (`namespace/name`) that want client certificates, and get them here, as far as can be known. */
  readonly certified: readonly string[];
  /** What closes it. */
  readonly closures: readonly Closure[];
}

const nothing = {
  clusters: [],
  services: [],
  host: [],
  gateway: [],
  consumers: [],
  collects: false,
  resources: [],
  certificates: [],
} as const;

/** What statuses say of it. */
type Said = Pick<RuleOutput, "problems" | "certified" | "closures">;

/** What becomes of a rule before anything is said in Envoy's words. */
export type RuleDecision = Said &
  (
    | { readonly answer: Answer } // closed, or nobody says who may call
    | { readonly answer?: never; readonly usable: readonly Effective[]; readonly contextOf: ContextOf }
  );

export function decideRule(input: RuleInput): RuleDecision {
  const { verdict } = input;
  const contextOf = contextsOf(input);
  const known = knowsListener(verdict.closed);
  const unsupported = unsupportedSections(verdict.sections, contextOf).filter(
    ({ problem }) => known || problem.perListener !== true,
  );
  const closes = [...verdict.closed, ...unsupported.flatMap((one) => one.closes ?? [])];
  const said: Said = {
    problems: unsupported.map(({ policy, problem }) => ({ policy, problem })),
    certified: input.clientCertificates === "Off" && known ? [] : certifiedPolicies(verdict.sections),
    closures: closuresOf(closes, input.listener.name, verdict.sections),
  };
  const [closed] = closes;
  if (closed !== undefined) return { ...said, answer: closedAnswer(closed.policy, closed.detail) };
  const authenticated = verdict.sections.some(
    ({ slice, enforced }) => slice.key === "authentication" && enforced !== undefined,
  );
  if (!authenticated && input.requirePolicy) return { ...said, answer: NO_POLICY };
  const unusable = unsupported.filter(({ problem }) => problem.severity !== "warning");
  const usable = verdict.sections.filter(({ slice }) => !unusable.some((one) => one.section === slice.key));
  return { ...said, usable, contextOf };
}

export function translateRule(input: RuleInput): RuleOutput {
  const { rule } = input;
  const decision = decideRule(input);
  const { problems, certified, closures } = decision;
  const said: Said = { problems, certified, closures };
  if (decision.answer !== undefined) return { ...nothing, ...said, matches: answered(input, decision.answer) };
  const { usable, contextOf } = decision;
  const pieces = usable.map((effective): SlicePiece => ({
    slice: effective.slice,
    piece: pieceOf(effective, contextOf),
  }));
  const tls = pieces.find(({ piece }) => piece.backendTls !== undefined)?.piece.backendTls;
  const backends = backendsOf(input, tls);
  const branches = drafts(pieces);
  const faulty = branches.map(({ slots }) => configFault(slots)).find((fault) => fault !== undefined);
  if (faulty !== undefined)
    return { ...nothing, ...said, matches: answered(input, closedAnswer(idOf(input.route), faulty)) };

  return {
    ...said,
    problems: [...problems, ...backends.problems],
    matches: rule.matches.map((match, at) => matchRoutes(input, match, at, branches, backends)),
    clusters: backends.clusters,
    services: backends.services,
    collects: branches.some(({ limitKey }) => limitKey !== undefined),
    host: pieces.flatMap(({ slice, piece }) => (piece.host ?? []).map((entry) => ({ section: slice.key, entry }))),
    gateway: pieces.flatMap(({ slice, piece }) =>
      [...(piece.gateway ?? []), ...(piece.branches ?? []).flatMap((branch) => branch.piece.gateway ?? [])].map(
        (entry) => ({ ...entry, section: slice.key, sources: sourcesOf(usable, slice.key) }),
      ),
    ),
    consumers: pieces.flatMap(({ piece }) =>
      [piece, ...(piece.branches ?? []).map((branch) => branch.piece)].flatMap(({ consumers = [] }) => consumers),
    ),
    resources: tls?.resources ?? [],
    certificates: tls?.certificates ?? [],
  };
}

/** Policies that take part in the section, enforced or audited. */
function sourcesOf(sections: readonly Effective[], key: SectionKey): readonly Source[] {
  const effective = sections.find(({ slice }) => slice.key === key);
  return [...(effective?.enforced?.sources ?? []), ...(effective?.audited?.sources ?? [])];
}

export type ContextOf = (effective: Effective, audit: boolean) => RouteContext;

function contextsOf({ route, gateway, listener, clientCertificates, verdict }: RuleInput): ContextOf {
  const credentialHeaders = verdict.sections.flatMap(({ slice, enforced }) =>
    enforced === undefined ? [] : (slice.credentialHeaders?.(enforced.model) ?? []),
  );
  const [callers] = verdict.sections.flatMap(({ slice, enforced }) => {
    const found = enforced === undefined ? undefined : slice.callers?.(enforced.model);
    return found === undefined ? [] : [found];
  });
  return (effective, audit) => {
    const sources = (audit ? effective.audited : effective.enforced)?.sources;
    if (sources === undefined) throw new Error("a section without a source");
    return {
      namespace: route.namespace,
      gateway,
      source: sources[0],
      sources,
      clientCertificates,
      listener: listener.name,
      tls: listener.protocol === "HTTPS",
      audit,
      credentialHeaders,
      ...(callers === undefined ? {} : { callers }),
    };
  };
}

interface Unsupported {
  readonly section: SectionKey;
  readonly policy: string;
  readonly problem: Problem;
  readonly closes: Closed | undefined;
}

function unsupportedSections(sections: readonly Effective[], contextOf: ContextOf): readonly Unsupported[] {
  return sections.flatMap((effective) => {
    const { slice, enforced } = effective;
    if (enforced === undefined || slice.unsupported === undefined) return [];
    const context = contextOf(effective, false);
    const { source } = context;
    return slice
      .unsupported(enforced.model, context)
      .map((problem) => ({
        section: slice.key,
        policy: `${source.namespace}/${source.name}`,
        problem,
        closes:
          slice.closes && problem.severity !== "warning"
            ? { policy: source.text, level: source.level, detail: problem.message }
            : undefined,
      }));
  });
}

function certifiedPolicies(sections: readonly Effective[]): readonly string[] {
  return sections.flatMap(({ slice, enforced }) =>
    enforced !== undefined && slice.wantsCertificates?.(enforced.model) === true ? [idOf(enforced.sources[0])] : [],
  );
}

function pieceOf(effective: Effective, contextOf: ContextOf): RoutePiece {
  const { slice, enforced, audited } = effective;
  const piece = (part: Effective["enforced"], audit: boolean): RoutePiece =>
    part === undefined ? {} : (slice.route?.(part.model, contextOf(effective, audit)) ?? {});
  if (audited === undefined) return piece(enforced, false);
  return joinPieces(piece(enforced, false), piece(audited, true));
}

/** Names of Envoy routes are never empty: the `pick` filter knows by them that a host was found. */
function routeName({ route, rule, at }: RuleInput, match: number, part: string): string {
  return `${idOf(route)}/${rule.name ?? at}/${match}${part}`;
}

function answered(input: RuleInput, answer: Answer): readonly (readonly JsonObject[])[] {
  return input.rule.matches.map((match, at) => [answerRoute(routeName(input, at, ""), answer, matchJson(match))]);
}

export interface Backends {
  readonly targets: readonly Target[];
  readonly mirrors: readonly Mirror[];
  readonly clusters: readonly ClusterUse[];
  readonly services: readonly string[];
  readonly problems: RuleOutput["problems"];
  /** Share of the weight that leads to nothing and has to answer 500. */
  readonly lost: number;
}

/** Where calls go, and what share of them nowhere. */
export function backendsOf(input: RuleInput, tls: BackendTls | undefined): Backends {
  const { rule } = input;
  const clusters: ClusterUse[] = [];
  const services: string[] = [];
  const problems: RuleOutput["problems"][number][] = [];
  const use = (ref: BackendRef): string | undefined => {
    const backend = input.backend(ref);
    if (!backend.ok) return undefined;
    const { service, port } = backend;
    services.push(service);
    const standard = input.backendTls(service, port.port);
    const security =
      tls === undefined ? standard : standard === undefined ? ownTls(tls, ref) : besideTls(standard, tls);
    if (standard !== undefined && tls?.beside.contradicts !== undefined)
      problems.push({ policy: tls.beside.policy, problem: tls.beside.contradicts });
    if (security?.ok === false) return undefined;
    const name = clusterName(service, port.port, security?.id);
    clusters.push({
      name,
      service,
      port,
      ...(security === undefined ? {} : { transportSocket: security.transportSocket }),
    });
    return name;
  };
  const targets: Target[] = [];
  let lost = 0;
  for (const backend of rule.backends) {
    const cluster = use(backend);
    if (cluster === undefined) lost += backend.weight;
    else targets.push({ cluster, weight: backend.weight, filters: backend.filters });
  }
  const mirrors = rule.filters.flatMap((filter): readonly Mirror[] => {
    if (filter.type !== "RequestMirror") return [];
    const cluster = use(filter.backend);
    return cluster === undefined
      ? []
      : [{ cluster, ...(filter.fraction === undefined ? {} : { fraction: filter.fraction }) }];
  });
  const total = lost + targets.reduce((sum, { weight }) => sum + weight, 0);
  return { targets, mirrors, clusters, services, problems, lost: total === 0 ? 0 : lost / total };
}

function ownTls(tls: BackendTls, { namespace, name }: BackendRef): TlsToBackend {
  return { ok: true, id: tls.id, transportSocket: tls.transportSocket({ namespace, name }) };
}

/** What the standard object says, with our certificate: stricter, never looser. */
function besideTls(standard: TlsToBackend, { id, beside: { certificates } }: BackendTls): TlsToBackend {
  if (!standard.ok || certificates.length === 0) return standard;
  const own: JsonObject = {
    typed_config: { common_tls_context: { tls_certificate_sds_secret_configs: certificates } },
  };
  return { ok: true, id: contentHash([standard.id, id]), transportSocket: mergeJson(standard.transportSocket, own) };
}

function matchRoutes(
  input: RuleInput,
  match: RouteMatch,
  at: number,
  branches: readonly Draft[],
  backends: Backends,
): readonly JsonObject[] {
  const written = matchJson(match);
  const action = actionJson(input.rule, match, backends.targets, backends.mirrors, input.listener);
  const routes = branches.map((draft, branch) => {
    const name = routeName(input, at, branches.length === 1 ? "" : `/${branch}`);
    return draftRoute(input, name, mergeJson(written, draft.match), draft, action);
  });
  if (action === undefined || "redirect" in action || backends.lost === 0) return routes;
  // The share of backends that do not exist answers 500 (Gateway API), before the others are chosen.
  const share = { default_value: { numerator: Math.round(backends.lost * 1_000_000), denominator: "MILLION" } };
  return [answerRoute(routeName(input, at, "/lost"), NO_BACKEND, { ...written, runtime_fraction: share }), ...routes];
}

function draftRoute(
  input: RuleInput,
  name: string,
  match: JsonObject,
  draft: Draft,
  action: JsonObject | undefined,
): JsonObject {
  const { refuse } = draft;
  const refusal = refuse === undefined ? undefined : refusalRoute(refuse, draft.rateLimits);
  const answers = refusal === undefined && action !== undefined && "redirect" in action;
  const slots: Record<string, JsonObject> = { ...draft.slots, ...(answers ? draft.direct : {}) };
  if (refusal !== undefined) slots["authz"] = refusal.authz;
  const { limitKey } = draft;
  const select = [
    ...input.ownHeaders.map((header): JsonObject => ({ remove: header })),
    ...draft.select,
    ...(limitKey === undefined ? [] : [limitKeyMutation(limitKey, slots["collect"] !== undefined)]),
  ];
  if (select.length > 0 || draft.response.length > 0) slots["select"] = mutations(select, draft.response);
  const { identity } = draft;
  if (identity.length > 0) slots["identity"] = mutations(identity);
  const metadata: JsonObject = {
    ...draft.metadata,
    ...(refuse === undefined ? {} : answerMetadata(refuse)),
    ...(refusal === undefined && action === undefined ? answerMetadata(NO_BACKEND) : {}),
  };
  const acting = refusal?.action ??
    withLimits(action, draft.rateLimits) ?? { direct_response: { status: NO_BACKEND.status } };
  return {
    name,
    match,
    ...acting,
    ...headerEdits(input.rule.filters),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata: { filter_metadata: { [ROUTE_METADATA]: metadata } } }),
    ...(Object.keys(slots).length === 0 ? {} : { typed_per_filter_config: slots }),
  };
}

function withLimits(action: JsonObject | undefined, rateLimits: readonly JsonObject[]): JsonObject | undefined {
  const route = action?.["route"] as JsonObject | undefined;
  if (route === undefined || rateLimits.length === 0) return action;
  return { ...action, route: { ...route, rate_limits: rateLimits } };
}

function mutations(list: readonly JsonObject[], response: readonly JsonObject[] = []): JsonObject {
  return {
    "@type": `${TYPE}extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute`,
    mutations: { request_mutations: list, ...(response.length === 0 ? {} : { response_mutations: response }) },
  };
}
