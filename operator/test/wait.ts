/** Waiting for a condition: the only kind of waiting in tests. */

/** Resolves when `condition` is true; rejects after `limitMs` with `what`, which may be computed. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string),
  limitMs = 20_000,
): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > end)
      throw new Error(`waited ${limitMs} ms for: ${typeof what === "string" ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
