/**
 * Holds back what an evaluation put out while a Secret or ConfigMap that it named for the first time is still being read. Until then the
 * core can only close what needs the object, so a policy that is edited to use another one would answer 503 for the moment of reading.
 * Everything waits together and for a moment only: order between resources stays, and nothing depends on an object that never answers.
 */
import type { Output, ResourceChange, StatusChange } from "@gatewarden/core/world.ts";
import type { Clock } from "./clock.ts";
import { keyText } from "./kube/kinds.ts";

/**
 * One read takes some 10 ms, on a machine with much to do some hundreds. An API server that does not answer must not keep other changes from
 * the proxies: half of the 2 s within which what was revoked has to be closed.
 */
const LONGEST_HOLD_MS = 1_000;

export type Published = Pick<Output, "resources" | "statuses">;

export interface HoldOptions {
  readonly clock: Clock;
  /** Whether objects that were named are still to be read. */
  readonly reading: () => boolean;
  readonly publish: (what: Published) => void;
}

/** Takes the output of one evaluation; call it after the shell was told what to watch. */
export type Hold = (output: Published & Pick<Output, "unfinished">) => void;

export function createHold({ clock, reading, publish }: HoldOptions): Hold {
  const resources = new Map<string, ResourceChange>();
  const statuses = new Map<string, StatusChange>();
  let cancel: (() => void) | undefined;

  const release = (): void => {
    cancel?.();
    cancel = undefined;
    const held: Published = { resources: [...resources.values()], statuses: [...statuses.values()] };
    resources.clear();
    statuses.clear();
    publish(held);
  };

  return (output) => {
    if (cancel === undefined && !reading()) {
      publish(output);
      return;
    }
    // The newest of each, at the newest place: removals stay behind what replaced them.
    for (const change of output.resources) {
      const name = `${change.gateway} ${change.type} ${change.name}`;
      resources.delete(name);
      resources.set(name, change);
    }
    for (const change of output.statuses) statuses.set(keyText(change.key), change);
    // An evaluation that was interrupted has taken in what was read, and what follows from it is still to come.
    if (reading() || output.unfinished === true) cancel ??= clock.after(LONGEST_HOLD_MS, release);
    else release();
  };
}
