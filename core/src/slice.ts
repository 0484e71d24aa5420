/**
 * The contract of a slice: one section of ApiPolicy from its schema to Envoy pieces. A slice is a folder `slices/<section>/`; slices never
 * import each other. The pipeline (translate/) asks them in the order of `slices.ts` and puts their pieces together.
 */
import type { z } from "zod";
import type { Problem } from "./problems.ts";
import type { Identity } from "./schema/identity.ts";
import type { Evaluate } from "./simulate/contract.ts";
import type {
  CertificateChange,
  Condition,
  JsonObject,
  JsonValue,
  JwksSource,
  JwksState,
  ObjectKey,
  PerProxyLimit,
} from "./world.ts";

export type SectionKey =
  | "authentication"
  | "authorization"
  | "rateLimit"
  | "mtls"
  | "transport"
  | "allowlist"
  | "denylist"
  | "clientIP"
  | "logging";

/** Where a policy sits, far to near (api.md "Composition" 1). */
export type Level = "Gateway" | "Listener" | "Namespace" | "Route" | "Rule";

/** Whether nearer policies may replace a policy's sections (Default) or only tighten them (Override). */
export type Precedence = "Default" | "Override";

/** Which policy a piece comes from. `text` is what refusals and logs print: `namespace/name#section`. */
export interface Source {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly section: SectionKey;
  readonly level: Level;
  readonly precedence: Precedence;
  readonly text: string;
}

/**
 * Reads of other objects. Each read is recorded, so that what is computed here is computed again when the object changes, and no sooner.
 * Reading a Secret or ConfigMap also makes the shell watch it (`Output.watch`).
 */
export interface Lookup {
  /** One key of a Secret or ConfigMap as bytes; `problem` carries RefNotFound, RefNotPermitted or InvalidRef with the mend. */
  value(kind: "Secret" | "ConfigMap", namespace: string, name: string, key: string): Found<Uint8Array>;
  jwks(source: JwksSource): JwksState | undefined; // undefined: not fetched yet
  /** ApiConsumers of a namespace that match the selector (undefined: all), sorted by name; also suspended ones. */
  consumers(namespace: string, selector: ConsumerSelector | undefined): readonly Consumer[];
  /** Whether any consumer of the namespace is known by its tokens, by its client certificates. */
  recognises(namespace: string): { readonly tokens: boolean; readonly certificates: boolean };
  /**
   * Names of the consumers of the policy's namespace that an ApiGrant gives the right to this rule of the policy now, sorted. No grant, no
   * name. Asks for another evaluation when the next one begins or ends.
   */
  grants(namespace: string, policy: string, rule: string): readonly string[];
  /** A Service port, as `backendRef` names it; across namespaces only with a ReferenceGrant for `fromKind`. `cluster` is the xDS cluster that the engine then emits. */
  backend(
    ref: BackendRef,
    from: { readonly kind: string; readonly namespace: string },
  ): Found<{ readonly cluster: string; readonly host: string; readonly port: number }>;
  readonly nowMs: number; // reading it does not record anything; use `until`
  /** Says that the result holds only until then (expiry, notBefore); the engine evaluates again at that time. */
  until(epochMs: number): void;
}

export type Found<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: Problem };
/** All parts that are there must hold: all labels, one of the roles, all attributes. */
export interface ConsumerSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly roles?: readonly string[];
  readonly attributes?: Readonly<Record<string, string>>;
}
export interface BackendRef {
  readonly name: string;
  readonly namespace?: string;
  readonly port: number;
}

/** An ApiConsumer as slices see it. Keys are not in here: the credential extensions look them up by consumer. */
export interface Consumer {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly roles: readonly string[];
  readonly attributes: Readonly<Record<string, string>>;
  readonly suspended: boolean;
  /** Live API keys now: cleartext values, after conflicts (older consumer wins) were settled. */
  readonly liveKeys: readonly string[];
  /** The live password of `basic`, when there is one. */
  readonly password: string | undefined;
  /**
   * Tokens and client certificates that are this consumer, after conflicts were settled. Also those of a suspended consumer: what carries one
   * of them is known, and has to be refused.
   */
  readonly tokens: readonly TokenClaim[];
  readonly identities: readonly Identity[];
  /** By age and name, over all namespaces: of several consumers that one credential is, the first counts. */
  readonly seniority: string;
}

/** Every verified token of the issuer with this claim. */
export interface TokenClaim {
  readonly issuer: string;
  readonly claim: readonly string[]; // path
  readonly value: string; // the claim as text: a string as it is, whole numbers and booleans as JSON writes them
}

/** Where the policy that is being resolved stands. */
export interface At {
  readonly source: Source;
  readonly path: string; // "spec.rateLimit": prefix for Problem.path
  readonly audit: boolean; // mode: Audit
}

export type Resolution<M> =
  | { readonly ok: true; readonly model: M; readonly warnings?: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly [Problem, ...Problem[]] };

/**
 * The slots of the fixed filter chain, in order (design: docs/design/filter-chain.md). Their names are keys of typed_per_filter_config.
 * `collect`, `collect-post` (envoy/collect.ts) and `recognise` (envoy/recognise.ts) are Lua that sleeps (envoy/lua.ts) until a route or its host asks for it.
 */
export type SlotName =
  | "pick"
  | "select"
  | "collect"
  | "denylist"
  | "allowlist"
  | LimitSlot<"pre"> // local_ratelimit
  | "jwt"
  | "api_key"
  | "basic"
  | "names" // rbac, inert by itself: client certificates whose names have to be compared, for `recognise`
  | "recognise" // lua: the consumer whose token or client certificate it is (envoy/recognise.ts)
  | "authn" // rbac: what the methods of a section cannot check themselves (certificate identities, namespace of an API key's consumer)
  | "consumer" // header_to_metadata: parts of headers that a formatter cannot cut out (consumer's name, cookies without credentials)
  | "identity" // header_mutation: credentials off, identity headers on; before `cert` so that later slots read x-gatewarden-consumer
  | "cert"
  | "authz"
  | "collect-post"
  | LimitSlot<"post">;

/** Limits before and behind authentication: for the whole Gateway in ECDS, or in the virtual host (translate/limit-slots.ts). */
type LimitSlot<When extends "pre" | "post"> =
  `rl-${When}-${"gateway-audit" | "host-audit" | "gateway" | "gateway-2" | "gateway-shared" | "host" | "host-2" | "host-3"}`;

/** One of the parts into which the API keys of a Gateway are divided by namespace: what slot `api_key` runs (translate/chain.ts). */
export type KeyPart = `api_key-${number}`;
/** ECDS resources of a Gateway. */
export type ExtensionName = SlotName | KeyPart;

/** What a section becomes on one Envoy route. Everything optional; empty = nothing. All JSON is Envoy's documented JSON with `@type`. */
export interface RoutePiece {
  /**
   * typed_per_filter_config of the route. A slot is given by one slice only, but for `collect`; what an enforced and an audited section, or two
   * slices, give for one slot is merged key by key (`mergeJson`). Header mutations go through the two lists below.
   */
  readonly slots?: Partial<Readonly<Record<SlotName, JsonObject>>>;
  /** Mutations (`HeaderMutation` JSON) for slot `select` (before every check: strip, choose) and slot `identity` (after authentication). */
  readonly select?: readonly JsonObject[];
  readonly identity?: readonly JsonObject[];
  /** `HeaderMutation` JSON for the answer, in slot `select`: behind every filter that adds headers to it. */
  readonly response?: readonly JsonObject[];
  /** RouteAction.rate_limits entries, with `stage`. */
  readonly rateLimits?: readonly JsonObject[];
  /** What slot `collect` gets in the header of envoy/collect.ts: the key of the one limit whose callers are told apart by address alone. */
  readonly limitKey?: string;
  /** Slots in place of `rateLimits` on a route that Envoy answers itself (redirect), since it has no RouteAction. */
  readonly direct?: Partial<Readonly<Record<SlotName, JsonObject>>>;
  /** Entries for the virtual host's shared configuration, given to `Slice.host` of the same slice with those of all routes of the host. */
  readonly host?: readonly SharedEntry[];
  /** Entries for extensions of the whole Gateway (ECDS), given to `Slice.extensions` once per distinct (slot, key). */
  readonly gateway?: readonly (SharedEntry & { readonly slot: ExtensionName })[];
  /** Namespace of the ApiConsumers whose credentials stand in the route itself; of those in extensions `gateway` says it. */
  readonly consumers?: string;
  /** Merged into filter_metadata.gatewarden of the route; read by local replies and logs. */
  readonly metadata?: Readonly<Record<string, JsonValue>>;
  /** Alternatives by what the request carries; the first whose match holds is taken. Absent: one branch without a further match. */
  readonly branches?: readonly Branch[];
  /** How calls to the backends of this route are protected (mtls.backend). */
  readonly backendTls?: BackendTls;
  /** Answers instead of routing (closed, refused); `status` 401/403/503. */
  readonly refuse?: Refusal;
}

export interface Branch {
  /** Added to the RouteMatch: `headers`, `query_parameters`, `cookies`, `tls_context`. */
  readonly match: {
    readonly headers?: readonly JsonObject[];
    readonly query_parameters?: readonly JsonObject[];
    readonly cookies?: readonly JsonObject[];
    readonly tls_context?: JsonObject;
  };
  readonly piece: Omit<RoutePiece, "branches" | "backendTls" | "host">;
}

export interface Refusal {
  readonly status: 401 | 403 | 503;
  readonly code: string; // GW-…
  readonly policy: string; // "namespace/name#section"
  readonly detail: string;
  readonly challenge?: string; // WWW-Authenticate
}

/** `key` identifies, `value` is what the key stands for: equal keys have equal values. */
export interface SharedEntry {
  readonly key: string;
  readonly value: JsonObject;
}

export interface BackendTls {
  readonly id: string; // content hash: part of the cluster's name
  readonly transportSocket: (service: { readonly namespace: string; readonly name: string }) => JsonObject;
  /** Where a BackendTLSPolicy says how to verify, only our own certificate is added to it. */
  readonly beside: {
    readonly policy: string; // "namespace/name"
    /** Entries of `tls_certificate_sds_secret_configs`. */
    readonly certificates: readonly JsonObject[];
    /** Set where the section says itself how to verify: a contradiction. */
    readonly contradicts?: Problem;
  };
  readonly resources: readonly NamedResource[];
  readonly certificates?: readonly CertificateChange[];
}

/** A resource that a piece needs; the engine emits it once and removes it with its last user. */
export interface NamedResource {
  readonly type: "cluster" | "secret" | "extension";
  readonly name: string;
  readonly json: JsonObject;
}

/** What a section changes on a listener (the few listener settings of api.md). */
export interface ListenerPiece {
  /** Fields of DownstreamTlsContext / CommonTlsContext to merge. */
  readonly tls?: { readonly context?: JsonObject; readonly common?: JsonObject };
  /** Fields of HttpConnectionManager to merge. */
  readonly hcm?: JsonObject;
  readonly accessLogs?: readonly JsonObject[];
  readonly resources?: readonly NamedResource[];
  readonly certificates?: readonly CertificateChange[];
  readonly conditions?: readonly Condition[];
  /** What only the listener shows (no hostname, somebody else's Certificate): the policy gets it as its condition at this listener. */
  readonly problems?: readonly Problem[];
}

export interface ListenerContext {
  readonly gateway: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly listener: {
    readonly name: string;
    readonly port: number;
    readonly protocol: "HTTP" | "HTTPS";
    readonly hostname: string | undefined;
    readonly certificateRefs: readonly ObjectKey[];
  };
  /** Hostnames of all listeners of the Gateway whose first certificateRef is this listener's: one Certificate serves them. */
  readonly certificateHostnames?: readonly string[];
  /** Whether `Gateway.spec.tls.frontend` gives this listener a CA for client certificates. */
  readonly frontendCA?: boolean;
  /** cert-manager Certificates of the Gateway's namespace that are not ours, with the Secret that each writes. */
  readonly foreignCertificates?: readonly { readonly name: string; readonly secretName: string }[];
  readonly logDirectory: string;
}

/** What the authentication of a route can tell about a caller. */
export interface Callers {
  /** Namespace of the ApiConsumers that it takes; absent where it takes none. */
  readonly consumers?: string;
  /** The issuers of its tokens, by name of the jwt entry. */
  readonly issuers: readonly {
    readonly name: string;
    readonly issuer: string;
    readonly rolesClaim?: readonly string[];
  }[];
}

export interface RouteContext {
  readonly namespace: string; // of the HTTPRoute
  readonly gateway: string; // namespace/name
  readonly source: Source; // the nearest policy of the section
  readonly sources: readonly Source[]; // all that took part in a merge, nearest first
  /** The listener's effective mtls.client mode: client certificates can only be asked for where it is not Off. */
  readonly clientCertificates: "Strict" | "Optional" | "Off";
  readonly listener: string; // its name in the Gateway
  readonly tls: boolean;
  readonly audit: boolean; // evaluate beside, deny nothing
  /** Lower-case names of headers in which this route takes credentials, from all its sections. */
  readonly credentialHeaders?: readonly string[];
  /** Absent: nobody is asked who he is (no authentication, or Public). */
  readonly callers?: Callers;
}

export interface Tightened<M> {
  readonly model: M;
  /** What of `near` does not hold (reason Overridden; without a fix): `near` asks for something that the floor does not allow. */
  readonly overridden?: Problem;
  /** Whether the rest of `near` holds all the same; absent: nothing of it does. */
  readonly partly?: true;
}

/** A rule that an object can check on itself: CEL for the API server, `check` for us. Both must agree (a table test runs both). */
export interface CelRule {
  readonly path: string; // "" = the section
  readonly rule: string;
  readonly message: string;
}

export interface Slice<K extends SectionKey = SectionKey, S = never, M = unknown> {
  readonly key: K;
  /** Made with the first call. */
  readonly schema: () => z.ZodType<S>;
  /** Levels whose targets can carry the section (or its listener settings). */
  readonly levels: readonly Level[];
  /** Keys of the section that act on the listener and may stand only at Gateway and Listener level. */
  readonly listenerSettings: readonly string[];
  /** failurePolicy Open exists for it (api.md rule 9). */
  readonly mayOpen: boolean;
  /** A broken one closes its targets (503); otherwise it falls back to the inherited one and is reported. */
  readonly closes: boolean;
  /** Whether `mode: Audit` can be evaluated beside what is enforced; a text says why not. */
  readonly audit: true | string | ((spec: S) => true | string);
  /** Where the verdict of an audited section shows, if the record of a call (`wouldDeny`) does not have it. */
  readonly auditShows?: (spec: S) => string | undefined;
  /** What a schema cannot say, without other objects. */
  validate(spec: S, at: At): readonly Problem[];
  /** With other objects: references resolved, defaults filled in. Frozen JSON-like model; secrets only where Envoy needs them. */
  resolve(spec: S, at: At, lookup: Lookup): Resolution<M>;
  /** Two policies of different levels, the farther a Default; absent: the nearer replaces. */
  merge?(far: M, near: M): M;
  /**
   * What holds where `floor` comes from an Override and `near` is what everything nearer and the Default at the same target give, floors in
   * between included. Never lets pass what `floor` alone refuses. Absent: the floor's value stands and `near` is overridden.
   */
  tighten?(floor: M, near: M): Tightened<M>;
  /** Whether an Override's section only forbids, so that a farther Default stays in force beneath it instead of being replaced. */
  inherits?(floor: M): boolean;
  /** Whether nothing of a farther route-level section is left beside this one: then a broken farther one closes nothing here. */
  replaces?(near: M): boolean;
  route?(model: M, context: RouteContext): RoutePiece;
  /** Why the section cannot act on this route (reason UnsupportedForTarget); the engine then closes it (503). Absent, empty or warnings: it can. */
  unsupported?(model: M, context: RouteContext): readonly Problem[];
  /** Whether it wants client certificates, for which it needs the listener (`Problem.perListener`). Absent: it does not. */
  wantsCertificates?(model: M): boolean;
  /** Only `rateLimit`: limits of which every proxy lets as much pass; status shows what that makes in all. */
  perProxy?(model: M): readonly PerProxyLimit[];
  /** Header names that only we may set: the engine strips a client's copy on every route of the policy's namespace (of the Gateway, for its policies). */
  identityHeaders?(model: M): readonly string[];
  /** Headers that carry credentials on routes with this section: logs mask them. */
  credentialHeaders?(model: M): readonly string[];
  /** Only `authentication`: what rules of other sections can ask about a caller; undefined: nothing. */
  callers?(model: M): Callers | undefined;
  /** typed_per_filter_config of the virtual host from all distinct entries of its routes. */
  host?(entries: ReadonlyMap<string, JsonObject>): Partial<Readonly<Record<SlotName, JsonObject>>>;
  /**
   * ECDS resources of a Gateway: the filter configuration of `slot` from all distinct entries of its routes. First come entries that no
   * route names any more and that stay until proxies have changed over (translate/retire.ts); their values may be old.
   */
  extension?(slot: ExtensionName, entries: ReadonlyMap<string, JsonObject>, lookup: Lookup): JsonObject;
  listener?(model: M, context: ListenerContext): ListenerPiece;
  /** What the section says to one request, by phase, without an Envoy (simulate/); absent: it never refuses. */
  readonly evaluate?: Evaluate<M>;
  /** The effective value for people (`explain`), without secrets; absent: as its nearest policy wrote it. */
  shown?(model: M): JsonValue;
  /** Only `mtls`: whether the listener asks for client certificates; undefined: it says nothing of it. */
  clientCertificates?(model: M): RouteContext["clientCertificates"] | undefined;
}
