/**
 * Who may write: a Lease with compare-and-swap on its resourceVersion (rules R27). A leader stops being one by its own clock before the
 * lease can be taken by another, so there are never two.
 */
import { hostname } from "node:os";
import type { KubeObject } from "@gatewarden/core/world.ts";
import { sleep, type Clock } from "./clock.ts";
import type { KubeClient } from "./kube/client.ts";
import type { Log } from "./log.ts";

/** Who holds the lease. */
export interface Leader {
  readonly identity: string;
  /** HOST:PORT of its xDS server; undefined while it has none, or of another version. */
  readonly address: string | undefined;
}

export interface LeaderElection {
  /** True while this process may write. Ask before each write. */
  readonly leads: () => boolean;
  /** As the lease said last; this process, too. */
  readonly leader: () => Leader | undefined;
  /** Gives the lease back, so that the next leader need not wait for it to run out. */
  stop(): Promise<void>;
}

export interface LeaderElectionOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  /** True for a holder that is known to have ended (see {@link endedOnThisMachine}). */
  readonly hasEnded?: (identity: string) => boolean;
  /** Where other replicas find this one; undefined while they cannot. */
  readonly address?: () => string | undefined;
  /** The API server answers again after it did not. One that still refuses (403, 503) has not read its own roles or paths yet. */
  readonly onReturn?: () => void;
  /** `after`: another process held the lease before, and others may still be on their way from it to this one. */
  readonly onChange: (leads: boolean, after: boolean) => void;
}

const ADDRESS_ANNOTATION = "gatewarden.io/xds-address";

/** With one retry to see a renewal and one to take it over, a new leader is there within 15 s. */
const LEASE_SECONDS = 10;
/** A leader that could not renew for so long no longer counts itself as one: 3 s before anybody else may. */
const TRUST_MS = 7_000;
const RENEW_MS = 2_500;
const RETRY_MS = 1_000;

interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly renewTime?: string;
  readonly acquireTime?: string;
  readonly leaseTransitions?: number;
}

/** `HOST_PID_random`: says on which machine and in which process the holder runs. */
export function processIdentity(random: () => number): string {
  return `${hostname()}_${process.pid}_${Math.floor(random() * 2 ** 32).toString(36)}`;
}

/** A holder on this machine (a pod is one) whose process is gone or had our number: a restart need not wait for its lease to run out. */
export function endedOnThisMachine(identity: string): boolean {
  const match = /^(.*)_(\d+)_[a-z0-9]+$/.exec(identity);
  if (match === null || match[1] !== hostname()) return false;
  const pid = Number(match[2]);
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

export function startLeaderElection(options: LeaderElectionOptions): LeaderElection {
  const { client, clock, log, identity, onChange } = options;
  const collection = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`;
  const path = `${collection}/${options.name}`;
  const stopping = new AbortController();
  let leadsUntil = Number.NEGATIVE_INFINITY; // by the clock that nobody sets
  let told = false;
  let leader: Leader | undefined;
  let followed = false;
  let away = false;
  // The holder's renewals as we see them: its clock is not ours, so a lease runs out when nothing changed for its duration.
  let observed = { version: "", at: 0 };

  const leads = (): boolean => clock.elapsed() < leadsUntil;
  const tell = (): void => {
    if (told === leads()) return;
    told = leads();
    log.info(told ? "this process writes from now on" : "this process no longer writes", { identity });
    onChange(told, followed);
  };

  const attempt = async (): Promise<boolean> => {
    const began = clock.elapsed();
    const got = await client.get(path, { signal: stopping.signal });
    const answered = got.ok || got.failure.status === 404;
    if (answered && away) options.onReturn?.();
    away = !answered;
    if (!got.ok && got.failure.status !== 404) {
      log.warn("the lease cannot be read", { status: got.failure.status, error: got.failure.message });
      return false;
    }
    const lease = got.ok ? got.value : undefined;
    const spec = (lease?.spec ?? {}) as LeaseSpec;
    leader = leaderOf(lease);
    if (lease !== undefined && !mayTake(lease, spec)) return false;
    const now = new Date(clock.now()).toISOString().replace("Z", "000Z");
    const mine = spec.holderIdentity === identity;
    const body = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: withAddress(lease?.metadata ?? { name: options.name, namespace: options.namespace }),
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: LEASE_SECONDS,
        renewTime: now,
        acquireTime: mine ? (spec.acquireTime ?? now) : now,
        leaseTransitions: (spec.leaseTransitions ?? 0) + (mine || lease === undefined ? 0 : 1),
      },
    };
    const written =
      lease === undefined
        ? await client.create(collection, body, { signal: stopping.signal })
        : await client.replace(path, body, { signal: stopping.signal });
    if (!written.ok) {
      if (written.failure.status !== 409)
        log.warn("the lease cannot be written", { status: written.failure.status, error: written.failure.message });
      return false;
    }
    if (!mine) followed = lease !== undefined;
    leader = leaderOf(written.value);
    leadsUntil = began + TRUST_MS;
    return true;
  };

  const withAddress = (metadata: KubeObject["metadata"]): KubeObject["metadata"] => {
    const { [ADDRESS_ANNOTATION]: _old, ...rest } = metadata.annotations ?? {};
    const address = options.address?.();
    return { ...metadata, annotations: address === undefined ? rest : { ...rest, [ADDRESS_ANNOTATION]: address } };
  };

  const mayTake = (lease: KubeObject, spec: LeaseSpec): boolean => {
    const holder = spec.holderIdentity ?? "";
    if (holder === "" || holder === identity || options.hasEnded?.(holder) === true) return true;
    const version = lease.metadata.resourceVersion ?? "";
    if (version !== observed.version) observed = { version, at: clock.elapsed() };
    return clock.elapsed() - observed.at > (spec.leaseDurationSeconds ?? LEASE_SECONDS) * 1000;
  };

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const renewed = await attempt();
      if (stopping.signal.aborted) break;
      tell();
      await sleep(clock, renewed ? RENEW_MS : RETRY_MS, stopping.signal);
      tell();
    }
  };
  const running = run();

  return {
    leads,
    leader: () => leader,
    async stop() {
      stopping.abort(new Error("stopped"));
      await running;
      const held = leads();
      leadsUntil = Number.NEGATIVE_INFINITY;
      tell();
      if (!held) return;
      const got = await client.get(path);
      if (!got.ok || (got.value.spec as LeaseSpec).holderIdentity !== identity) return;
      await client.replace(path, { ...got.value, spec: { ...(got.value.spec as object), holderIdentity: "" } });
    },
  };
}

function leaderOf(lease: KubeObject | undefined): Leader | undefined {
  const { holderIdentity: identity = "" } = (lease?.spec ?? {}) as LeaseSpec;
  if (identity === "") return undefined;
  return { identity, address: lease?.metadata.annotations?.[ADDRESS_ANNOTATION] };
}
