/** When a proxy counts: once it has acknowledged a first complete configuration (api.md, Status). */
import type { Clock } from "../types.ts";
import type { Book } from "./book.ts";
import type { Subscription } from "./subscription.ts";

export interface Completeness {
  /** To be called whenever something was sent or acknowledged. */
  check(): void;
  stop(): void;
}

/** A proxy that has all it asked for but never asks for scopes (it refused its listeners, say) counts after this time. */
const SETTLE_MS = 2_000;

/** Calls `onComplete` once. */
export function watchCompleteness(
  subscriptions: readonly Subscription[],
  book: Book,
  clock: Clock,
  onComplete: () => void,
): Completeness {
  const opened = new Map(subscriptions.map((subscription) => [subscription.type, subscription]));
  const has = (type: "cluster" | "listener" | "scope"): boolean => opened.get(type)?.opened === true;
  const isIdle = (): boolean =>
    has("cluster") && has("listener") && subscriptions.every((subscription) => subscription.isIdle());
  let done = false;
  let stopSettling: (() => void) | undefined;
  const complete = (): void => {
    done = true;
    stopSettling?.();
    onComplete();
  };
  return {
    check() {
      if (done || !isIdle()) return;
      if (has("scope") || book.entries("scope").size === 0) {
        complete();
        return;
      }
      stopSettling ??= clock.after(SETTLE_MS, () => {
        stopSettling = undefined;
        if (!done && isIdle()) complete();
      });
    },
    stop() {
      done = true;
      stopSettling?.();
    },
  };
}
