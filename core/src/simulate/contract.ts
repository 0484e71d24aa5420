/**
 * How a section judges one request without an Envoy: what `Slice.evaluate` is told and what it answers. It works on models, not on Envoy's
 * JSON, so that the differential test against a real Envoy is a second opinion.
 */
import type { Consumer, RouteContext } from "../slice.ts";
import type { JsonObject } from "../world.ts";

/**
 * The checks in the order in which a request meets them (docs/design/filter-chain.md). `refusal` is where credentials that are missing are
 * refused: behind the check of certificates, and in place of authorization.
 */
export const PHASES = [
  "denylist",
  "allowlist",
  "limits",
  "authentication",
  "certificate",
  "refusal",
  "authorization",
  "identifiedLimits",
] as const;
export type Phase = (typeof PHASES)[number];

/** Names in a client certificate that the listener verified. */
export interface PresentedCertificate {
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  readonly emails: readonly string[];
}

/** The request as the checks see it: path normalised, headers that only we may set removed, the client's address found. */
export interface Call {
  readonly method: string;
  /** Normalised, query included. */
  readonly path: string;
  /** As sent, without a port. */
  readonly host: string;
  readonly scheme: "http" | "https";
  readonly headers: CallHeaders;
  /** The client's address, after `clientIP`. */
  readonly address: string;
  readonly certificate: PresentedCertificate | undefined;
  /** `namespace/name` of a consumer whose valid credential the request is to carry, whichever the route takes. */
  readonly as: string | undefined;
  readonly nowMs: number;
}

/** Names in any case. */
export interface CallHeaders {
  /** All values in order; none: the header is not there. */
  readonly all: (name: string) => readonly string[];
  /** What Envoy compares: values joined with commas; undefined: the header is not there. */
  readonly joined: (name: string) => string | undefined;
  readonly names: () => readonly string[];
}

/** What authentication found out about who is calling; nothing before it, and nothing where nobody is asked. */
export interface Caller {
  readonly method?: "jwt" | "apiKey" | "basic" | "clientCertificate";
  /** `namespace/name` of the ApiConsumer: header `x-gatewarden-consumer`. */
  readonly consumer?: string;
  /** Claims of the verified token; `iss` is its issuer. */
  readonly claims?: JsonObject;
}

export interface Evaluating {
  /** From `authorization` on with credentials off and identity headers on, as those filters see it. */
  readonly call: Call;
  readonly caller: Caller;
  readonly route: RouteContext;
  /** As `Lookup.consumers` without a selector. */
  readonly consumers: (namespace: string) => readonly Consumer[];
  /** `namespace/name` of the consumer who has this API key on the Gateway, looked up where the keys of the policy's `namespace` are. */
  readonly keyHolder: (key: string, namespace: string) => string | undefined;
}

export interface Pass {
  readonly result: "Pass";
  /** One sentence for people: what was found. Never a credential. */
  readonly reason: string;
  /** `authentication` only: who it is. */
  readonly caller?: Caller;
  /** `authentication` only: headers that later checks see changed; undefined: gone. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Names of query parameters that later checks do not see any more. */
  readonly hiddenParameters?: readonly string[];
  /** Whose entry decided; absent: that of the section's nearest policy. */
  readonly policy?: string; // namespace/name#section
  /** Name of the rule that decided, where the section has rules. */
  readonly rule?: string;
  /** `limits` and `identifiedLimits`: what counts this request. */
  readonly counts?: readonly CountedLimit[];
  /** What the section looks at in a later phase, said where the request is refused before: `limit x is not reached`. */
  readonly later?: string;
}

export interface CountedLimit {
  readonly limit: string; // namespace/policy#name
  readonly requests: number;
  readonly per: string;
  readonly burst: number;
  /** Who shares the bucket: `everybody`, or the key. */
  readonly bucket: string;
}

export interface Deny {
  readonly result: "Deny";
  readonly reason: string;
  readonly status: number;
  readonly code: string; // GW-…
  readonly policy: string; // namespace/name#section
  /** Name of the rule that decided, where the section has rules. */
  readonly rule?: string;
}

/** Undefined: the section has nothing to say in this phase. */
export type Finding = Pass | Deny | undefined;

/** Pure; one function for each phase in which the section acts. */
export type Evaluate<M> = Partial<Readonly<Record<Phase, (model: M, evaluating: Evaluating) => Finding>>>;
