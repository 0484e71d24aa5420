/**
 * What server-side apply may take over by force in statuses that have several writers. Conditions that Gateway API gives to the controller of a
 * Gateway (Accepted, Programmed…) are ours in a Gateway of our class: the API server's defaults, a former controller or a person's edit
 * stand there under another manager, and without force no status would ever be written. What Gateway API does not know, such as
 * `gatewarden.io/ApiPolicyAffected`, is whoever's it is: it is never forced, and left out where somebody else has it.
 */
import type { StatusJson } from "./own-part.ts";

/** Whether a field that is in conflict, as the API server names it, is in a condition that is never taken over. */
export function isNeverForced(field: string): boolean {
  return /\[type="gatewarden\.io\/[^"]*"\]/.test(field);
}

interface Conditioned {
  readonly conditions?: readonly { readonly type: string }[];
}

/** The status without these conditions, at the object and at its listeners. */
export function withoutNeverForced(status: StatusJson): StatusJson {
  const { listeners } = status as { readonly listeners?: readonly Conditioned[] };
  return { ...strip(status), ...(listeners === undefined ? {} : { listeners: listeners.map(strip) }) };
}

function strip<T extends Conditioned>(part: T): T {
  const { conditions } = part;
  if (conditions === undefined) return part;
  return { ...part, conditions: conditions.filter(({ type }) => !type.startsWith("gatewarden.io/")) };
}
