/** Limits with their defaults filled in: what `resolve` makes and `translate` reads. */
import type { CallerBound, CollectedLimit, KeyPart } from "../../envoy/collect.ts";
import type { Source } from "../../slice.ts";

export interface Limit {
  /** Identity of its buckets, the same on every route: "namespace/policy#limit". */
  readonly id: string;
  readonly name: string;
  readonly source: Source;
  readonly requests: number;
  readonly per: string; // as written
  readonly perMs: number;
  readonly burst: number;
  readonly shared: boolean; // PerGateway: over all proxies of the Gateway
  /** Whether identity must be known first: then it counts behind authentication. */
  readonly identified: boolean;
  readonly keys: Keys;
  readonly match: Match | undefined;
}

/** How callers are told apart. */
export type Keys =
  | { readonly type: "Together" }
  /** Consumers are few and nobody can invent one: Envoy's own wildcard descriptor holds them all. */
  | { readonly type: "Consumer"; readonly maxKeys: number }
  /** By the client's address alone: the key travels in a header, which costs a third of what the general way does. */
  | ({ readonly type: "Address" } & CallerBound)
  | ({ readonly type: "Collected" } & CollectedLimit);

export interface Match {
  readonly methods: readonly string[];
  readonly paths: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /** "namespace/name" of those that the selector chooses now; undefined: not asked. */
  readonly consumers: readonly string[] | undefined;
}

export interface Model {
  readonly limits: readonly Limit[];
  readonly headers: boolean;
}

export function isIdentity({ type }: KeyPart): boolean {
  return type === "Consumer" || type === "Claim";
}
