/**
 * One resource of one gateway: what is wanted, what some proxy accepted, what was refused, and who still lacks it. Owned and changed by
 * the gateway's book (book.ts); streams only read.
 */
import type { JsonObject, Refusal, ResourceReport, ResourceStatus, ResourceType } from "../types.ts";
import { type Content, encodeContent } from "./content.ts";
import { ProxySet } from "./proxy.ts";

export interface Entry {
  readonly type: ResourceType;
  readonly name: string;
  /** False once the resource is removed: kept until every stream has acknowledged that. */
  present: boolean;
  /** The newest content; undefined where it could not be encoded. Of a removed resource: the last one. */
  wanted: Content | undefined;
  /** The newest content that a proxy acknowledged; the same object as `wanted` once that is accepted. */
  good: Content | undefined;
  /** Not needed, and dropped, as soon as there is a good one. */
  fallback: JsonObject | Content | undefined;
  /** Why `wanted` is not in force everywhere. */
  refusal: Refusal | undefined;
  /** Proxies that refused `wanted` although another accepted it; empty otherwise. */
  readonly refusers: ProxySet;
  /** Proxies whose acknowledgement is outstanding, of those that count. */
  readonly lacking: ProxySet;
  /** Of a cluster: the endpoint resource that it will ask for. */
  endpoint: string | undefined;
}

export function createEntry(type: ResourceType, name: string): Entry {
  return {
    type,
    name,
    present: true,
    wanted: undefined,
    good: undefined,
    fallback: undefined,
    refusal: undefined,
    refusers: new ProxySet(),
    lacking: new ProxySet(),
    endpoint: undefined,
  };
}

/** Whether nobody is to get `wanted`: it was refused and no proxy has accepted it. */
export function isQuarantined(entry: Entry): boolean {
  return entry.refusal !== undefined && (entry.wanted === undefined || entry.good !== entry.wanted);
}

/** What a client is known to have of a resource and to think of its versions. */
export interface Position {
  /** Whether it has some version of the resource. */
  readonly holds: boolean;
  /** Versions that this client refused. */
  readonly refused: ReadonlySet<string> | undefined;
}

/**
 * What a client gets: the wanted content, else the last good one, else (where it has none) the fallback. Undefined: nothing is sent and
 * it keeps what it has. Bytes that it refused are never sent to it again.
 */
export function choose(entry: Entry, { holds, refused }: Position): Content | undefined {
  const may = (content: Content | undefined): content is Content =>
    content !== undefined && refused?.has(content.version) !== true;
  if (!isQuarantined(entry) && may(entry.wanted)) return entry.wanted;
  if (entry.good !== entry.wanted && may(entry.good)) return entry.good;
  if (holds) return undefined;
  const fallback = fallbackOf(entry);
  return may(fallback) ? fallback : undefined;
}

/** Encodes the fallback at its first use. One that cannot be encoded is dropped: its author's mistake must not end a stream. */
function fallbackOf(entry: Entry): Content | undefined {
  const { fallback, name } = entry;
  if (fallback === undefined || isContent(fallback)) return fallback;
  try {
    const content = encodeContent(name, fallback);
    entry.fallback = content;
    return content;
  } catch {
    entry.fallback = undefined;
    return undefined;
  }
}

function isContent(fallback: JsonObject | Content): fallback is Content {
  return fallback["any"] instanceof Uint8Array;
}

export function statusOf(entry: Entry | undefined): ResourceStatus {
  const lacking = entry?.lacking.size ?? 0;
  if (entry?.present !== true) return lacking > 0 ? { state: "pending", lacking } : { state: "absent" };
  if (entry.refusal !== undefined) return { state: "refused", lacking, refusal: entry.refusal };
  return lacking > 0 ? { state: "pending", lacking } : { state: "acknowledged" };
}

export function reportOf(entry: Entry | undefined): ResourceReport {
  const lacking = entry?.lacking.size ?? 0;
  if (entry?.present !== true) return { version: "", lacking };
  const version = entry.wanted?.version ?? "-";
  return entry.refusal === undefined ? { version, lacking } : { version, lacking, refusal: entry.refusal };
}
