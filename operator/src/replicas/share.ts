/**
 * Replicas tell the leader which proxies they have and what these acknowledged, over a stream each to the leader's xDS port; the leader tells
 * them how many proxies there are elsewhere. Nothing of it passes the API server, and no content or Secret is in it.
 */
import { connectReplica } from "@gatewarden/xds/replica-client.ts";
import type { AcceptReplica, ReplicaLink } from "@gatewarden/xds/server/replicas.ts";
import type { JsonObject, ResourceKey } from "@gatewarden/xds/types.ts";
import { sleep, type Clock } from "../clock.ts";
import { createBackoff } from "../kube/backoff.ts";
import type { Leader } from "../lease.ts";
import { errorText, type Log } from "../log.ts";
import type { Book } from "../status/programmed.ts";
import type { Account } from "./account.ts";
import { elsewhereMessage, parseElsewhere, parseReport } from "./messages.ts";
import { createReporter, type Reported, type Reporter } from "./reporter.ts";
import { combinedBook, createReports, type OwnBook, type Replica } from "./reports.ts";

export interface ShareOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly account: Account;
  /** This process, as in the lease. */
  readonly identity: string;
  readonly leads: () => boolean;
  /** Who holds the lease as far as is known. */
  readonly leader: () => Leader | undefined;
  readonly serverName: string;
  /** PEM of the authority of every replica's certificate. */
  readonly caPem: () => string | undefined;
  readonly own: Reported & OwnBook;
  /** Other replicas' proxies said something about these resources, or ("all") came or went. */
  readonly onReplicas: (gateway: string, keys: readonly ResourceKey[] | "all") => void;
  /** How many proxies there are elsewhere differs. */
  readonly onElsewhere: (gateway: string) => void;
}

export interface Share {
  readonly accept: AcceptReplica;
  /** This replica's book and all others'. */
  readonly book: Book;
  /** Proxies of a gateway at other replicas. */
  readonly elsewhere: (gateway: string) => number;
  /** As the xDS server's `onChange`. */
  changed(gateway: string, keys: readonly ResourceKey[] | "all"): void;
  /** Looks for the leader from now on. */
  start(): void;
  /** Other replicas that are connected, or that this one is connected to. */
  links(): number;
  stop(): Promise<void>;
}

/** The leader is looked for that often; the lease is read each second. */
const LOOK_EVERY_MS = 250;
/** What a replica said counts on for that long when its stream ends: it comes back, or its proxies do elsewhere. */
const REPLICA_GRACE_MS = 15_000;
const TOGETHER_MS = 50;

export function createShare(options: ShareOptions): Share {
  const { clock, log, own } = options;
  const reports = createReports();
  const stopping = new AbortController();
  const connected = new Map<ReplicaLink, Peer>();
  const leaving = new Map<string, () => void>(); // by identity: forgets what it said
  const told = new Map<string, number>(); // to this replica, by the leader
  let reporter: Reporter | undefined;
  let link: { readonly address: string; readonly link: ReplicaLink } | undefined;
  let cancelTell: (() => void) | undefined;
  let running: Promise<void> | undefined;

  // ---- the leader's side

  interface Peer {
    readonly replica: Replica;
    readonly elsewhere: Map<string, number>; // as it was told
    identity: string;
  }

  const accept: AcceptReplica = (other) => {
    const peer: Peer = { replica: reports.add(), elsewhere: new Map(), identity: "" };
    connected.set(other, peer);
    if (!options.leads()) other.end();
    else tellLater();
    return {
      onMessage(message) {
        const { hello } = message;
        if (hello === options.identity) {
          // It found its own address: a restart where the last leader was. Its proxies are not counted a second time.
          other.end();
          return;
        }
        if (typeof hello === "string") {
          peer.identity = hello;
          log.info("another replica reports its proxies", { replica: hello });
          return;
        }
        const report = parseReport(message);
        if (report === undefined) return;
        // It speaks for itself again: what it said before is over.
        leaving.get(peer.identity)?.();
        const gateways = reports.take(peer.replica, report);
        if (report.type === "resources")
          options.onReplicas(
            report.gateway,
            report.reports.map(([key]) => key),
          );
        for (const gateway of gateways) changedElsewhere(gateway);
        if (gateways.length > 0) tellLater();
      },
      onDrain: tellLater,
      onEnd(reason) {
        connected.delete(other);
        const { identity, replica } = peer;
        const forget = (): void => {
          cancel();
          leaving.delete(identity);
          reports.remove(replica);
          for (const gateway of replica.counts.keys()) changedElsewhere(gateway);
          tellLater();
        };
        const cancel = clock.after(REPLICA_GRACE_MS, forget);
        leaving.get(identity)?.();
        leaving.set(identity, forget);
        log.info("a replica reports no longer", { replica: identity, reason });
      },
    };
  };

  const changedElsewhere = (gateway: string): void => {
    options.onReplicas(gateway, "all");
    options.onElsewhere(gateway);
  };

  /** Each is told what there is at all others, where that differs from what it knows. */
  const tell = (): void => {
    cancelTell = undefined;
    if (!options.leads()) {
      for (const other of connected.keys()) other.end();
      return;
    }
    const gateways = new Set([...own.gateways(), ...reports.gateways()]);
    for (const [other, { replica, elsewhere }] of connected) {
      const news = new Map<string, number>();
      for (const gateway of gateways) {
        const here = own.proxies(gateway);
        const others = reports.counts(gateway, replica);
        const count = here.complete + here.joining + others.complete + others.joining;
        if ((elsewhere.get(gateway) ?? 0) !== count) news.set(gateway, count);
        elsewhere.set(gateway, count);
      }
      if (news.size > 0) other.send(elsewhereMessage(news));
    }
  };
  const tellLater = (): void => {
    if (connected.size > 0) cancelTell ??= clock.after(TOGETHER_MS, tell);
  };

  // ---- the side of the others

  const heard = (message: JsonObject): void => {
    for (const [gateway, count] of parseElsewhere(message) ?? []) {
      told.set(gateway, count);
      options.onElsewhere(gateway);
    }
  };

  const disconnect = (): void => {
    reporter?.stop();
    reporter = undefined;
    link?.link.end();
    link = undefined;
  };

  /** Resolves when the stream is over. */
  const report = async (address: string): Promise<void> => {
    const caPem = options.caPem();
    const token = await options.account.token(stopping.signal);
    if (caPem === undefined || token === undefined || stopping.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const { serverName } = options;
      const opened = connectReplica(
        { address, caPem, serverName, token },
        {
          onMessage: heard,
          onDrain: () => reporter?.drained(),
          onEnd(reason) {
            log.info("the stream to the leader is over", { address, reason });
            if (link?.link === opened) disconnect();
            resolve();
          },
        },
      );
      link = { address, link: opened };
      opened.send({ hello: options.identity });
      reporter = createReporter(own, clock, (message) => opened.send(message));
    });
  };

  const run = async (): Promise<void> => {
    const backoff = createBackoff(clock, 200, 5_000);
    const { signal } = stopping;
    for (;;) {
      const known = await options.account.learn(signal);
      if (signal.aborted) return;
      if (known === false) {
        log.warn("replicas share nothing: this is no ServiceAccount, so it has no token to show them");
        return;
      }
      if (known === true) break;
      await sleep(clock, backoff.next(), signal);
    }
    let pauseMs = LOOK_EVERY_MS;
    while (!signal.aborted) {
      const leader = options.leader();
      // Its own name stands there, too, while it could not renew the lease for a moment.
      const address = options.leads() || leader?.identity === options.identity ? undefined : leader?.address;
      if (options.leads()) told.clear();
      if (address === undefined) pauseMs = LOOK_EVERY_MS;
      else {
        const began = clock.elapsed();
        await report(address).catch((error: unknown) =>
          log.warn("no stream to the leader", { error: errorText(error) }),
        );
        if (clock.elapsed() - began > 10_000) backoff.reset();
        pauseMs = backoff.next();
      }
      await sleep(clock, pauseMs, signal);
    }
  };

  return {
    accept,
    book: combinedBook(own, reports),
    elsewhere(gateway) {
      if (!options.leads()) return told.get(gateway) ?? 0;
      const { complete, joining } = reports.counts(gateway);
      return complete + joining;
    },
    changed(gateway, keys) {
      reporter?.changed(gateway, keys);
      if (keys === "all") tellLater();
    },
    start: () => void (running ??= run()),
    links: () => connected.size + (link === undefined ? 0 : 1),
    async stop() {
      stopping.abort(new Error("stopped"));
      cancelTell?.();
      for (const forget of [...leaving.values()]) forget();
      disconnect();
      await running;
    },
  };
}
