/** Host patterns: an exact host, a wildcard `*.suffix` (any number of labels), or `*` for every host. */

export const EVERY_HOST = "*";

export function isWildcard(pattern: string): boolean {
  return pattern.startsWith("*");
}

/** Whether every host of `inner` is one of `outer`. */
export function covers(outer: string, inner: string): boolean {
  if (outer === inner || outer === EVERY_HOST) return true;
  if (!isWildcard(outer) || inner === EVERY_HOST) return false;
  return inner.endsWith(outer.slice(1)); // `*.a.test` covers `x.a.test` and `*.x.a.test`
}

/** The hosts that both have, as one pattern: of two that overlap one covers the other. */
export function intersect(a: string, b: string): string | undefined {
  if (covers(a, b)) return b;
  return covers(b, a) ? a : undefined;
}

/** The most specific of the patterns that cover `host`: exact before wildcard, longer before shorter. */
export function mostSpecific(patterns: readonly string[], host: string): string | undefined {
  const covering = patterns.filter((pattern) => covers(pattern, host));
  return covering.sort((a, b) => Number(isWildcard(a)) - Number(isWildcard(b)) || b.length - a.length)[0];
}

/** Hosts go into scope keys and Lua: only what DNS allows gets there. */
export function isHostPattern(pattern: string): boolean {
  return (
    pattern === EVERY_HOST || /^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(pattern)
  );
}
