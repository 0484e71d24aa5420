/**
 * Who is to blame when an Envoy refuses a response. It applies the good clusters and listeners and names the bad ones; any other response
 * that it refuses names nobody, and of a response with scopes nothing is applied (envoy.md I and M). So: the one that is named, or the only
 * one there is; else the response is cut in two and sent again, until the culprit stands alone.
 */
import type { ResourceType } from "../types.ts";

export type Verdict<T> = { readonly culprit: T } | { readonly halves: readonly [readonly T[], readonly T[]] };

/** How Envoy begins its text; the name and a colon follow. Only the first name is believed: the rest may quote what somebody wrote. */
const NAMING: Partial<Record<ResourceType, string>> = {
  cluster: "Error adding/updating cluster(s) ",
  listener: "Error adding/updating listener(s) ",
};

/** @param resources what the refused response carried, at least one */
export function blame<T extends { readonly name: string }>(
  type: ResourceType,
  message: string,
  resources: readonly [T, ...T[]],
): Verdict<T> {
  const [only] = resources;
  if (resources.length === 1) return { culprit: only };
  const named = namedIn(type, message, resources);
  if (named !== undefined) return { culprit: named };
  const middle = Math.ceil(resources.length / 2);
  return { halves: [resources.slice(0, middle), resources.slice(middle)] };
}

function namedIn<T extends { readonly name: string }>(
  type: ResourceType,
  message: string,
  resources: readonly T[],
): T | undefined {
  const start = NAMING[type];
  if (start === undefined || !message.startsWith(start)) return undefined;
  const rest = message.slice(start.length);
  // A name may hold a colon itself, so the longest one that fits is meant.
  return resources
    .filter(({ name }) => rest.startsWith(`${name}: `))
    .reduce<T | undefined>(
      (best, next) => (best === undefined || next.name.length > best.name.length ? next : best),
      undefined,
    );
}
