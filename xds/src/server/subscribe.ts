/** What a client asks for, in both protocols: keeps a subscription's names and queues what the client is to be told for them. */
import type { Book } from "./book.ts";
import { choose, type Entry } from "./entry.ts";
import type { Proxy } from "./proxy.ts";
import type { Subscription } from "./subscription.ts";

export interface Client {
  readonly book: Book;
  readonly proxy: Proxy;
  /** It has configuration from an earlier stream, and may have refused some of it there. */
  readonly resumes: boolean;
  /** It may have configuration from a server that stands in, without saying so. */
  readonly standIn: boolean;
}

export interface NameChanges {
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
}

/** The client is to be told the newest state of the entry. */
export function queue({ book, proxy }: Client, subscription: Subscription, entry: Entry): void {
  subscription.pending.add(entry);
  book.owe(proxy, entry);
}

/** @param initialVersions what the client has from an earlier stream, by name */
export function subscribe(
  client: Client,
  subscription: Subscription,
  names: NameChanges,
  initialVersions: Readonly<Record<string, string>>,
): void {
  const first = !subscription.opened;
  const entries = client.book.entries(subscription.type);
  subscription.opened = true;
  if (!subscription.wildcard && (names.subscribe.includes("*") || (first && names.subscribe.length === 0))) {
    subscription.wildcard = true;
    subscription.mustAnswer = Object.keys(initialVersions).length === 0;
    for (const entry of entries.values()) introduce(client, subscription, entry, initialVersions[entry.name]);
    if (!client.resumes && client.standIn)
      for (const name of client.book.former(subscription.type)) subscription.gone.add(name);
  }
  for (const name of names.subscribe) {
    if (name === "*") continue;
    const entry = entries.get(name);
    // Names live as long as the subscription: keep the copy that the resource has anyway.
    subscription.names.add(entry?.name ?? name);
    if (entry?.present === true) introduce(client, subscription, entry, first ? initialVersions[name] : undefined);
    else subscription.missing.add(name);
  }
  for (const name of Object.keys(initialVersions)) {
    if (subscription.covers(name) && !entries.has(name) && !subscription.missing.has(name)) subscription.gone.add(name);
  }
  for (const name of names.unsubscribe) {
    if (name === "*") subscription.wildcard = false;
    else subscription.names.delete(name);
    subscription.missing.delete(name);
    const entry = entries.get(name);
    // Still meant by the wildcard: the protocol wants it sent again.
    if (entry !== undefined && subscription.wildcard) queue(client, subscription, entry);
  }
  if (names.unsubscribe.length > 0) dropUncovered(client, subscription);
}

/** State of the world: every request carries all names; none in the first one means all resources. */
export function subscribeToAll(client: Client, subscription: Subscription, all: readonly string[]): void {
  const first = !subscription.opened;
  if (first && all.length === 0) subscribe(client, subscription, { subscribe: [], unsubscribe: [] }, {});
  if (subscription.wildcard) return;
  const wanted = new Set(all);
  const unsubscribed = [...subscription.names].filter((name) => !wanted.has(name));
  const subscribed = all.filter((name) => !subscription.names.has(name));
  if (subscribed.length + unsubscribed.length === 0) return;
  subscribe(client, subscription, { subscribe: subscribed, unsubscribe: unsubscribed }, {});
}

/** A subscription begins to cover the entry, or asks for it again. `version`: what the client has of it from an earlier stream. */
function introduce(client: Client, subscription: Subscription, entry: Entry, version: string | undefined): void {
  const { book, proxy } = client;
  subscription.noteHolds(entry, version !== undefined);
  if (!entry.present && version === undefined) return;
  if (entry.present && version !== undefined) {
    if (version === entry.wanted?.version) book.acknowledged(proxy, entry, entry.wanted, true);
    if (version === choose(entry, subscription.position(entry))?.version) {
      book.settle(proxy, entry);
      return;
    }
  }
  if (client.resumes) subscription.noteShaken(entry, true);
  queue(client, subscription, entry);
}

function dropUncovered({ book, proxy }: Client, subscription: Subscription): void {
  for (const entry of subscription.pending) {
    if (subscription.covers(entry.name)) continue;
    subscription.pending.delete(entry);
    book.settle(proxy, entry);
  }
}
