/** What the world hands to the xDS server and what it hears back: plain data. Nothing here knows Kubernetes or policies. */

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

export type ResourceType = "cluster" | "endpoint" | "secret" | "extension" | "listener" | "scope";

/** Every type that is served, in the order in which additions travel: what is referred to comes before what refers to it. */
export const RESOURCE_TYPES = [
  "cluster",
  "endpoint",
  "secret",
  "extension",
  "listener",
  "scope",
] as const satisfies readonly ResourceType[];

export const TYPE_URLS: Readonly<Record<ResourceType, string>> = {
  cluster: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
  endpoint: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
  secret: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
  extension: "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
  listener: "type.googleapis.com/envoy.config.listener.v3.Listener",
  scope: "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration",
};

/** Identity of a resource among the resources of one gateway. */
export interface ResourceKey {
  readonly type: ResourceType;
  readonly name: string;
}

/** New content of one resource of one gateway's proxies, or its removal where `json` is undefined. */
export interface ResourceChange extends ResourceKey {
  /** "namespace/name" */
  readonly gateway: string;
  /** Envoy's documented JSON with `@type`. */
  readonly json: JsonObject | undefined;
  /** What proxies get that cannot be given `json` because an Envoy refused it and no earlier version was good. */
  readonly fallback?: JsonObject;
}

/** Why a resource is not in force as written; `message` is Envoy's own text, or the encoder's where no proxy ever saw it. */
export interface Refusal {
  readonly by: "encoder" | "proxy";
  readonly message: string;
  /** Node id of the first proxy that refused it; "" for the encoder. */
  readonly node: string;
}

/** Where the newest content of a resource, or its removal, stands. `lacking` counts the proxies that have not acknowledged it yet. */
export type ResourceStatus =
  | { readonly state: "absent" }
  | { readonly state: "acknowledged" }
  | { readonly state: "pending"; readonly lacking: number }
  | { readonly state: "refused"; readonly lacking: number; readonly refusal: Refusal };

/** Where a resource stands here, for another replica. `version` "": it is not there; "-": it could not be encoded. */
export interface ResourceReport {
  readonly version: string;
  readonly lacking: number;
  readonly refusal?: Refusal;
}

/** A stream that was turned away although its token was good. */
export interface RefusedProxy {
  readonly gateway: string;
  readonly node: string;
  readonly version: string;
  readonly reason: "VulnerableVersion" | "ForeignGateway";
  readonly message: string;
}

/** The answer to "whose token is this?". `gateways` are those ("namespace/name") whose configuration it may read. */
export type Authentication =
  | {
      readonly ok: true;
      readonly gateways: string | ReadonlySet<string>;
      readonly expiresAtMs: number;
      /** It is a replica of this operator, not a proxy. */
      readonly replica?: boolean;
    }
  | { readonly ok: false; readonly message: string };

/** Metadata that may carry the token in place of `authorization`: binary, since a token that is read from a file may end in a line end. */
export const BINARY_TOKEN_HEADER = "authorization-bin";

/** Checks a bearer token. A rejection means that nobody could tell (the stream gets UNAVAILABLE), not that the token is bad. */
export type Authenticate = (token: string, signal: AbortSignal) => Promise<Authentication>;

/** Structured log of the shell; never given tokens or resource contents. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Counters of the server; the shell names and publishes them. */
export interface Metrics {
  /** +1 and -1 as streams open and close. */
  streams(delta: 1 | -1): void;
  /** A call that was turned away, by gRPC status name. */
  denied(status: string): void;
  /** A response was written. */
  push(type: ResourceType | "other", resources: number, bytes: number): void;
  ack(type: ResourceType): void;
  nack(type: ResourceType): void;
  /** A resource was put into quarantine. */
  quarantined(type: ResourceType): void;
  /** A resource was encoded, in `microseconds`. */
  encoded(type: ResourceType, microseconds: number): void;
}

/** Time as an input, so that tests own it. */
export interface Clock {
  now(): number;
  /** Runs `task` once after `delayMs`; the answer cancels it. */
  after(delayMs: number, task: () => void): () => void;
}
