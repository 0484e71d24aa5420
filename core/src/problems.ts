/** Everything that can be wrong, as values: status, CLI and logs print the same text. Never throws, never holds a secret. */

/** Condition reasons of api.md "Status" that a problem can lead to. */
export type Reason =
  | "Invalid"
  | "TargetNotFound"
  | "Conflicted"
  | "UnsupportedForTarget"
  | "OverrideNotPermitted"
  | "Overridden"
  | "RefNotFound"
  | "RefNotPermitted"
  | "InvalidRef";

export interface Problem {
  readonly reason: Reason;
  readonly path: string; // "spec.authentication.jwt[0].issuer"
  readonly message: string; // what is wrong, one sentence
  readonly fix?: string; // what mends it
  /**
   * Default error: the section is broken. Unmet and pending: something that it names is not there (was not looked for yet), and what needs it is
   * refused; the rest of the section holds. A warning takes nothing away.
   */
  readonly severity?: "error" | "unmet" | "pending" | "warning";
  /** One listener cannot do it and another can: where the section acts by another listener of the same Gateway, it is a warning. */
  readonly perListener?: true;
  /** A key that this version does not know: it closes the targets in every section, whatever the policy says about failures (api.md). */
  readonly unknown?: true;
}
