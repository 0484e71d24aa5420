/**
 * What goes into the core and what comes out: plain data, no I/O. The shell (operator, CLI) feeds {@link Change}s and carries out an
 * {@link Output}. Objects are the API server's JSON, deep-frozen or at least never mutated by anybody.
 */

/** The kinds that the core reads. `Jwks` is not a Kubernetes kind: it is a key set that the shell fetched (see {@link JwksSource}). */
export type Kind =
  | "GatewayClass"
  | "Gateway"
  | "HTTPRoute"
  | "ReferenceGrant"
  | "BackendTLSPolicy"
  | "ApiPolicy"
  | "ApiConsumer"
  | "ApiGrant"
  | "ProxyConfig"
  | "Namespace"
  | "Service"
  | "EndpointSlice"
  | "Secret"
  | "ConfigMap"
  | "Certificate"
  | "Jwks";

/** Identity of an object; `namespace` is "" for cluster-scoped kinds. */
export interface ObjectKey {
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
}

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

/** What every Kubernetes object has; the rest is read through the parsers of `kinds/`. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly generation?: number;
    readonly resourceVersion?: string;
    readonly creationTimestamp?: string;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly {
      readonly uid: string;
      readonly kind: string;
      readonly name: string;
      readonly apiVersion?: string;
      readonly controller?: boolean;
    }[];
  };
  readonly spec?: unknown;
  readonly status?: unknown;
  readonly [key: string]: unknown;
}

/**
 * One change of the world. `undefined` = the object is not there. For Secrets and ConfigMaps, which are read by reference only
 * ({@link Output.watch}), `denied` says that the shell may not read it (403); an object that was looked for and is absent is `undefined`.
 */
export interface Change {
  readonly key: ObjectKey;
  readonly object: KubeObject | undefined;
  readonly denied?: boolean;
}

/** Who made (part of) a resource or a status, with the generation that was read. */
export interface Owner {
  readonly key: ObjectKey;
  readonly uid: string;
  readonly generation: number;
}

/** A key set that the shell is to keep fetched (rules R32–R34); it answers with a `Jwks` change named `id`. */
export interface JwksSource {
  readonly id: string; // content hash of the rest
  readonly type: "Discovery" | "URI";
  readonly uri: string; // Discovery: the issuer
  readonly backend?: { readonly host: string; readonly port: number }; // dial this in place of the URI's host; Host and SNI stay the URI's
  readonly caPem?: string;
}

/** The object of a `Jwks` change: `spec` of a KubeObject. */
export interface JwksState {
  readonly jwks?: string; // the JSON text of the last good set, private members stripped
  readonly fetchedAt?: string;
  readonly error?: string; // why the newest attempt failed
}

export type ResourceType = "listener" | "cluster" | "endpoint" | "scope" | "secret" | "extension";

/** One xDS resource of one Gateway's proxies: new content, or removed where `json` is undefined. */
export interface ResourceChange {
  readonly gateway: string; // "namespace/name"
  readonly type: ResourceType;
  readonly name: string;
  readonly json: JsonObject | undefined; // Envoy's documented JSON, `@type` included
  /** What proxies get that cannot be given `json` because an Envoy refused it and no earlier version was good. */
  readonly fallback?: JsonObject;
  readonly owners: readonly Owner[];
}

/** A condition without its transition time, which the writer keeps. */
export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

/** A cert-manager Certificate that is wanted, as a whole object for server-side apply, or to be deleted. */
export interface CertificateChange {
  readonly namespace: string;
  readonly name: string;
  readonly object: KubeObject | undefined;
}

/** What runs in the cluster for one Gateway: whole objects for server-side apply, whose owner is the Gateway. */
export interface InfrastructureChange {
  readonly gateway: string; // "namespace/name"
  /** undefined: nothing is wanted any more; "keep": nobody can tell now, so what is there stays. */
  readonly objects: readonly KubeObject[] | "keep" | undefined;
}

/** The status that an object should have, as far as the core knows it; Programmed is added from the book of acknowledgements. */
export interface StatusChange {
  readonly key: ObjectKey;
  readonly status: ObjectStatus | undefined; // undefined: the object is gone or no longer ours
}

export type ObjectStatus =
  | {
      readonly kind: "ApiPolicy";
      readonly generation: number;
      readonly target: string;
      readonly ancestors: readonly AncestorStatus[];
    }
  | {
      readonly kind: "ApiConsumer";
      readonly generation: number;
      readonly conditions: readonly Condition[];
      readonly credentials: readonly CredentialStatus[];
      readonly gateways: readonly string[];
    }
  | {
      readonly kind: "ApiGrant";
      readonly generation: number;
      readonly conditions: readonly Condition[]; // Accepted, ResolvedRefs, Active; not Programmed
      readonly timeLeft?: string;
      /** Expired or revoked: nothing more is needed of anybody but that proxies know it. */
      readonly ended: boolean;
      readonly gateways: readonly string[];
    }
  | { readonly kind: "HTTPRoute"; readonly generation: number; readonly parents: readonly RouteParentStatus[] }
  | {
      readonly kind: "Gateway";
      readonly generation: number;
      readonly conditions: readonly Condition[];
      readonly addresses: readonly { readonly type: string; readonly value: string }[];
      readonly listeners: readonly ListenerStatus[];
    }
  | {
      readonly kind: "GatewayClass";
      readonly generation: number;
      readonly conditions: readonly Condition[];
      readonly supportedFeatures?: readonly { readonly name: string }[];
    }
  | {
      readonly kind: "BackendTLSPolicy";
      readonly generation: number;
      readonly target: string;
      readonly ancestors: readonly AncestorStatus[];
    };

/** Per ancestor of a policy. `gateway` names the proxies whose acknowledgement counts for Programmed; absent when not attached to one of ours. */
export interface AncestorStatus {
  readonly ancestorRef: JsonObject;
  readonly gateway?: string;
  readonly conditions: readonly Condition[]; // Accepted, ResolvedRefs, Audited…; not Programmed
  /** Set where Programmed cannot become True whatever the proxies say (Overridden, PartiallyProgrammed). */
  readonly programmed?: { readonly status: "True" | "False"; readonly reason: string; readonly message: string };
  /** Limits in force here that count in each proxy alone: what passes in all depends on how many there are (rules R35). */
  readonly perProxy?: readonly PerProxyLimit[];
}

export interface PerProxyLimit {
  readonly name: string;
  readonly requests: number;
  readonly per: string; // as written
}

export interface RouteParentStatus {
  readonly parentRef: JsonObject;
  readonly gateway?: string;
  readonly conditions: readonly Condition[];
}

export interface ListenerStatus {
  readonly name: string;
  readonly supportedKinds: readonly { readonly group: string; readonly kind: string }[];
  readonly attachedRoutes: number;
  readonly conditions: readonly Condition[];
}

export interface CredentialStatus {
  readonly name: string;
  readonly state: "Active" | "NotYetValid" | "Expired" | "Suspended" | "Conflicted" | "Unresolved";
  readonly message?: string;
  readonly expiresAt?: string;
}

/** Everything that follows from a batch of changes. Lists hold differences against the previous output only. */
export interface Output {
  readonly resources: readonly ResourceChange[];
  readonly statuses: readonly StatusChange[];
  readonly certificates: readonly CertificateChange[];
  /** Only with {@link EngineOptions.infrastructure}. */
  readonly infrastructure?: readonly InfrastructureChange[];
  readonly watch: { readonly add: readonly ObjectKey[]; readonly remove: readonly ObjectKey[] }; // Secrets and ConfigMaps
  readonly jwks: { readonly add: readonly JwksSource[]; readonly remove: readonly string[] };
  readonly nextEvaluationMs: number | undefined; // epoch ms at which something expires or begins: call apply([]) then
  readonly recomputed: Readonly<Record<string, number>>; // units recomputed in this pass, by stage
  /** Bugs of ours: units that threw. What they had made before stays; the shell logs them. */
  readonly faults?: readonly EngineFault[];
  /** The evaluation was interrupted: this is what may go ahead of its result. Call apply again, with what has changed since or nothing. */
  readonly unfinished?: true;
}

export interface EngineFault {
  readonly stage: string;
  readonly key: string;
  readonly message: string;
}

/** The core as the shell sees it. Deterministic: same sequence of calls, same outputs; same world, same bytes. */
export interface Engine {
  /**
   * @param nowMs epoch ms; the whole of an interrupted evaluation is about the time at which it began
   * @param spent asked between units of work: true interrupts the evaluation. Default: never. What comes of the changes is put out together
   *   at its end, with one exception: keys, certificates and endpoints that change meanwhile do not wait ({@link Output.unfinished}).
   */
  apply(changes: readonly Change[], nowMs: number, spent?: () => boolean): Output;
}

export interface EngineOptions {
  readonly controllerName: string; // gatewarden.io/gateway-controller
  readonly requirePolicy: boolean;
  readonly logDirectory: string; // where File sinks may write, in the proxy's file system
  /** Proxies run in the cluster; without it somebody else starts them. */
  readonly infrastructure?: InfrastructureOptions;
}

export interface InfrastructureOptions {
  readonly namespace: string; // the operator's, where ConfigMap gatewarden-ca is
  readonly image: string; // Envoy
  /** Image with `gatewarden drain`; without it a proxy that ends only waits for its connections. */
  readonly agentImage?: string;
  /** Envoy's bootstrap for "namespace/name"; a pure function. */
  readonly bootstrap: (gateway: string, paths: ProxyPaths) => JsonObject;
}

/** Where a proxy's container has what its bootstrap names. */
export interface ProxyPaths {
  readonly tokenFile: string;
  readonly caFile: string;
  readonly adminSocket: string;
  readonly readyPort: number;
}
