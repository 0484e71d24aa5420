/**
 * Entries of the sections allowlist and denylist: address ranges that may end, each with the policy that wrote it. The address is the
 * client's as the listener found it: the TCP peer unless `clientIP` says otherwise (rules A12).
 */
import type { AddressEntry } from "../schema/address-entry.ts";
import { dateTimeMs } from "../schema/date-time.ts";
import type { Lookup, Source } from "../slice.ts";
import type { JsonObject } from "../world.ts";

export interface AddressRange {
  readonly cidr: string;
  readonly live: boolean;
  readonly policy: string; // "namespace/name#section"
}

/** The engine asks again when the next entry ends. */
export function resolveEntries(
  entries: readonly AddressEntry[],
  source: Source,
  lookup: Lookup,
): readonly AddressRange[] {
  return entries.map(({ cidr, expiresAt }) => {
    const end = expiresAt === undefined ? Number.POSITIVE_INFINITY : dateTimeMs(expiresAt);
    const live = end > lookup.nowMs;
    if (live && Number.isFinite(end)) lookup.until(end);
    return { cidr, live, policy: source.text };
  });
}

/** Entries of both; of the same range the nearer policy's. */
export function mergeEntries(far: readonly AddressRange[], near: readonly AddressRange[]): readonly AddressRange[] {
  const ranges = new Set(near.map(({ cidr }) => cidr));
  return [...far.filter(({ cidr }) => !ranges.has(cidr)), ...near];
}

/** Entries of both; of a range that both have the floor's, as long as it is live. */
export function unionEntries(floor: readonly AddressRange[], near: readonly AddressRange[]): readonly AddressRange[] {
  const live = new Set(floor.flatMap((range) => (range.live ? [range.cidr] : [])));
  return [...floor, ...near.filter(({ cidr }) => !live.has(cidr))];
}

/** RBAC principals of the ranges that are live. */
export function addresses(ranges: readonly AddressRange[]): readonly JsonObject[] {
  return ranges.filter(({ live }) => live).map(({ cidr }) => ({ remote_ip: cidrRange(cidr) }));
}

/** For people: an entry that has ended admits nobody and refuses nobody. */
export function shownRange({ cidr, live }: AddressRange): JsonObject {
  return live ? { cidr } : { cidr, ended: true };
}

export function cidrRange(cidr: string): JsonObject {
  const at = cidr.lastIndexOf("/");
  return { address_prefix: cidr.slice(0, at), prefix_len: Number(cidr.slice(at + 1)) };
}
