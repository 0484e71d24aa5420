/**
 * Make before break (rule R23). Additions: what is referred to travels, and is acknowledged, before what refers to it. Removals follow once
 * nothing else is outstanding, the other way round.
 *
 * Endpoints and secrets never wait: an Envoy holds its acknowledgement of a cluster back until the cluster is warm, and it is warm only
 * once it has these. For the same reason the acknowledgement of a cluster says that routes to it will find hosts.
 */
import type { ResourceType } from "../types.ts";

/** Types whose outstanding additions an addition of this type waits for. */
export const WAITS_FOR: Readonly<Record<ResourceType, readonly ResourceType[]>> = {
  cluster: [],
  endpoint: [],
  secret: [],
  extension: ["cluster", "endpoint", "secret"],
  listener: ["cluster", "endpoint", "secret", "extension"],
  scope: ["cluster", "endpoint", "secret", "extension", "listener"],
};

/**
 * Removed scopes are not in this list: they go as soon as the new and changed ones are acknowledged, whatever else is outstanding. Not with
 * them: an Envoy takes removals of one response over before its additions, and the host would be in neither scope in between.
 * What listeners and clusters ask for by name goes after them, by when an Envoy has lost its interest.
 */
export const REMOVAL_ORDER: readonly ResourceType[] = ["listener", "cluster", "extension", "secret", "endpoint"];

/** A client that does not acknowledge something must not keep everything else from it for longer than this. */
export const LONGEST_WAIT_MS = 3_000;
