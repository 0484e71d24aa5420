/** Whether a right holds now. Time is an input: whoever asks is asked again when the answer changes. */
import type { Right } from "../kinds/api-grant.ts";
import type { Lookup } from "../slice.ts";

export type GrantState = "Live" | "NotYetActive" | "Expired" | "Revoked";

export function stateOf(
  { notBeforeMs, expiresAtMs, revoked }: Right,
  { nowMs, until }: Pick<Lookup, "nowMs" | "until">,
): GrantState {
  if (revoked) return "Revoked";
  if (expiresAtMs <= nowMs) return "Expired";
  if (notBeforeMs !== undefined && notBeforeMs > nowMs) {
    until(notBeforeMs);
    return "NotYetActive";
  }
  until(expiresAtMs);
  return "Live";
}
