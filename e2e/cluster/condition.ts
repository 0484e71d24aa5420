/** Waiting for something to become true, in place of sleeping. */
import { setTimeout as wait } from "node:timers/promises";

const POLL_MS = 50;
const DEFAULT_LIMIT_MS = 30_000;

/**
 * Asks `probe` until it returns something other than `undefined` or `false`, and returns that. A probe that throws counts
 * as "not yet". Throws after `limitMs` with `what` and the last error; also when `giveUp` returns a reason.
 */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: { readonly limitMs?: number; readonly giveUp?: () => string | undefined } = {},
): Promise<T> {
  const limitMs = options.limitMs ?? DEFAULT_LIMIT_MS;
  const end = performance.now() + limitMs;
  let last = "";
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = ` (${error instanceof Error ? error.message : String(error)})`;
    }
    const reason = options.giveUp?.();
    if (reason !== undefined) throw new Error(`${what}: ${reason}`);
    if (performance.now() > end) throw new Error(`${what}: not within ${String(limitMs)} ms${last}`);
    await wait(POLL_MS);
  }
}
