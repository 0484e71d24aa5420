/** The resolved section: defaults filled in, references read, nothing left to look up. Frozen, JSON-like. */
import type { Identity } from "../../schema/identity.ts";
import type { Lookup } from "../../slice.ts";
import type { Place } from "./place.ts";

export interface Model {
  /** "namespace/name#authentication" of the policy that refusals name. */
  readonly policy: string;
  /** Undecided: nothing says who may call, and nobody may. */
  readonly mode: "Required" | "Optional" | "Public" | "Undecided";
  /** Modes that an Override forbids. */
  readonly forbid: readonly ("Optional" | "Public")[];
  /** Namespace of the policy: its consumers live there. */
  readonly namespace: string;
  /** Whether consumer headers carry `namespace/name` (policies of a Gateway or listener) or the name alone. */
  readonly qualified: boolean;
  readonly issuers: readonly Issuer[];
  readonly apiKey?: ApiKey;
  readonly basic?: Basic;
  readonly identities?: readonly Identity[];
  /** Header that tells the upstream whose certificate it is. */
  readonly certificateHeader?: string;
  /** Whether any consumer of the namespace is known by a token, by a certificate. */
  readonly recognises: ReturnType<Lookup["recognises"]>;
  /** What an Override takes and a nearer policy does not: it chooses as before, and is refused. */
  readonly dropped?: Dropped;
}

export interface Dropped {
  readonly tokens: readonly Place[];
  readonly keys: readonly Place[];
  readonly basic: boolean;
  readonly certificate: boolean;
}

export interface Issuer {
  readonly name: string;
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly algorithms?: readonly string[]; // as written
  readonly keys: Keys;
  readonly places: readonly Place[];
  readonly claims: readonly { readonly claim: string; readonly header: string }[];
  readonly rolesClaim?: readonly string[];
  readonly consumerHeader?: string;
  readonly forwardToken: boolean;
  readonly clockSkewSeconds: number;
}

export interface Keys {
  /** Where they come from and what they are for; stays the same when they rotate, so that rotation touches no route. */
  readonly id: string;
  /** JWKS with every key's `alg` pinned; absent: none was ever obtained. */
  readonly jwks?: string;
}

export interface ApiKey {
  readonly places: readonly Place[];
  /** `namespace/name` of those who may call; absent: every consumer of the namespace. Empty: nobody. */
  readonly clients?: readonly string[];
  readonly consumerHeader?: string;
  readonly forwardKey: boolean;
}

export interface Basic {
  /** Whether the policy chooses among the consumers of its namespace. */
  readonly selected: boolean;
  /** Users as htpasswd has them, one text for all routes of the policy; absent: nobody. */
  readonly users?: string;
  readonly consumerHeader?: string;
}
