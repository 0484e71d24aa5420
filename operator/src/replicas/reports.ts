/**
 * What other replicas have said about their proxies, and the book of all replicas together: a resource counts as acknowledged when every
 * proxy of every replica has acknowledged the version that this one has. Versions are hashes of the content, so replicas agree on them.
 */
import type { RefusedProxy, ResourceKey, ResourceReport, ResourceStatus } from "@gatewarden/xds/types.ts";
import type { Book } from "../status/programmed.ts";
import type { Counts, Report } from "./messages.ts";

/** What one replica said; owned by {@link Reports}. */
export interface Replica {
  readonly counts: Map<string, Counts>;
  readonly resources: Map<string, Map<string, ResourceReport>>; // by gateway, then by {@link resourceId}
}

export interface Reports {
  add(): Replica;
  remove(replica: Replica): void;
  /** Takes a report over; answers which gateways' proxies came or went. */
  take(replica: Replica, report: Report): readonly string[];
  /** Of all others; without one replica. */
  counts(gateway: string, without?: Replica): Counts;
  /** Gateways that anybody else has proxies of, or had. */
  gateways(): ReadonlySet<string>;
  combine(gateway: string, key: ResourceKey, own: ResourceReport, status: ResourceStatus): ResourceStatus;
}

const NONE: Counts = { complete: 0, joining: 0 };

export function createReports(): Reports {
  const replicas = new Set<Replica>();
  return {
    add() {
      const replica: Replica = { counts: new Map(), resources: new Map() };
      replicas.add(replica);
      return replica;
    },
    remove: (replica) => void replicas.delete(replica),
    take(replica, report) {
      if (report.type === "counts") {
        for (const [gateway, counts] of report.gateways) {
          replica.counts.set(gateway, counts);
          // Without proxies what it said says nothing any more.
          if (counts.complete === 0) replica.resources.delete(gateway);
        }
        return [...report.gateways.keys()];
      }
      const known = replica.resources.get(report.gateway) ?? new Map<string, ResourceReport>();
      replica.resources.set(report.gateway, known);
      for (const [key, { version, lacking, refusal }] of report.reports) {
        const id = resourceId(key);
        if (version === "" && lacking === 0) known.delete(id);
        else known.set(id, refusal === undefined ? { version, lacking } : { version, lacking, refusal });
      }
      return [];
    },
    counts(gateway, without) {
      let [complete, joining] = [0, 0];
      for (const replica of replicas) {
        if (replica === without) continue;
        const counts = replica.counts.get(gateway) ?? NONE;
        complete += counts.complete;
        joining += counts.joining;
      }
      return { complete, joining };
    },
    gateways: () => new Set([...replicas].flatMap(({ counts }) => [...counts.keys()])),
    combine(gateway, key, own, status) {
      const id = resourceId(key);
      let lacking = status.state === "pending" || status.state === "refused" ? status.lacking : 0;
      let refusal = status.state === "refused" ? status.refusal : undefined;
      for (const replica of replicas) {
        const complete = replica.counts.get(gateway)?.complete ?? 0;
        if (complete === 0) continue;
        const said = replica.resources.get(gateway)?.get(id);
        // What it says of another version says nothing of ours: none of its proxies is known to have it.
        if ((said?.version ?? "") !== own.version) lacking += complete;
        else {
          lacking += said?.lacking ?? 0;
          refusal ??= said?.refusal;
        }
      }
      if (refusal !== undefined) return { state: "refused", lacking, refusal };
      return lacking > 0 ? { state: "pending", lacking } : status;
    },
  };
}

function resourceId({ type, name }: ResourceKey): string {
  return `${type} ${name}`;
}

/** The part of the xDS server that the book is made of. */
export interface OwnBook {
  readonly status: (gateway: string, key: ResourceKey) => ResourceStatus;
  readonly report: (gateway: string, key: ResourceKey) => ResourceReport;
  readonly proxies: (gateway: string) => Counts;
  readonly turnedAway: (gateway: string) => RefusedProxy | undefined;
}

/** The book that statuses are written from: this replica's and all others'. */
export function combinedBook(own: OwnBook, reports: Reports): Book {
  return {
    proxies: (gateway) => own.proxies(gateway).complete + reports.counts(gateway).complete,
    resource(gateway, key) {
      const status = own.status(gateway, key);
      if (reports.counts(gateway).complete === 0) return status;
      return reports.combine(gateway, key, own.report(gateway, key), status);
    },
    turnedAway: own.turnedAway,
  };
}
