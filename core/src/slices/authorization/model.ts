/** The resolved section: sets of rules, all of which must allow. A set is what one policy wrote; floors add theirs. */
import type { Identity } from "../../schema/identity.ts";
import type { JsonObject } from "../../world.ts";

export interface Model {
  readonly sets: readonly RuleSet[]; // farthest floor first
}

export interface RuleSet {
  readonly source: string; // "namespace/name#authorization"
  readonly namespace: string; // of the policy: its consumers live there
  readonly defaultAction: Action;
  readonly rules: readonly Rule[];
}

export type Action = "Allow" | "Deny";

/** Absent fields ask for nothing; what is there must hold. Consumers are `namespace/name`. */
export interface Rule {
  readonly name: string;
  readonly action: Action;
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
  readonly roles?: Roles;
  readonly scopes?: readonly string[];
  readonly consumers?: readonly string[];
  readonly identities?: readonly Identity[];
  readonly claims?: readonly Claim[];
  readonly sources?: readonly string[];
  readonly when?: Expression;
  readonly mfa?: Mfa;
  /** Consumers with a live grant. */
  readonly granted?: readonly string[];
}

export interface Roles {
  readonly names: readonly string[];
  /** ApiConsumers of the policy's namespace that have one of them. */
  readonly consumers: readonly string[];
}

export interface Claim {
  readonly provider?: string;
  readonly path: readonly string[];
  readonly values: readonly string[];
}

export interface Expression {
  readonly text: string;
  /** The variables that it reads. */
  readonly uses: readonly string[];
  /** `cel.expr.Expr` for Envoy. */
  readonly ast: JsonObject;
}

export interface Mfa {
  readonly acr?: readonly string[];
  readonly amr?: readonly string[];
  readonly maxAgeSeconds?: number;
}
