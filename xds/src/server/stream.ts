/**
 * One ADS stream, free of gRPC: requests in, responses out. At most one response per type is unanswered, the newest state wins, order.ts
 * says what waits for what. It owns its subscriptions; resources and acknowledgements are the book's.
 */
import { randomBytes } from "node:crypto";
import type { Clock, Metrics, ResourceType } from "../types.ts";
import { RESOURCE_TYPES, TYPE_URLS } from "../types.ts";
import type { Book } from "./book.ts";
import { type Completeness, watchCompleteness } from "./completeness.ts";
import { type Content, disguiseScope } from "./content.ts";
import { encodeDelta, encodeSotw, type Protocol, type Request } from "./discovery.ts";
import { choose, type Entry } from "./entry.ts";
import { LONGEST_WAIT_MS, REMOVAL_ORDER, WAITS_FOR } from "./order.ts";
import type { Subscriber } from "./proxy.ts";
import { blame } from "./refusal.ts";
import { isNamed } from "./kept.ts";
import { type Client, queue, subscribe, subscribeToAll } from "./subscribe.ts";
import { type InFlight, MOST_NAMES, Subscription } from "./subscription.ts";

export interface Transport {
  send(bytes: Buffer): void;
  /** Ends the stream; nothing may be sent any more. */
  end(status: "UNAVAILABLE" | "RESOURCE_EXHAUSTED", message: string): void;
}

/** A client that has not answered for that long does not read any more. Clusters are excepted: order.ts says why. */
const LONGEST_SILENCE_MS = 60_000;

/** Different in each process: what an earlier one sent to the same Envoy is not known here. */
const PROCESS = randomBytes(6).toString("base64url");

const TYPE_OF_URL = new Map(RESOURCE_TYPES.map((type) => [TYPE_URLS[type], type]));

export class AdsStream implements Subscriber {
  readonly #protocol: Protocol;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #client: Client;
  readonly #completeness: Completeness;
  readonly #subscriptions: ReadonlyMap<ResourceType, Subscription>;
  #nonce = 0;
  #closed = false;
  #complete = false;

  constructor(
    options: {
      readonly protocol: Protocol;
      readonly node: string;
      readonly resumes: boolean;
      readonly standIn: boolean;
    },
    parts: {
      readonly book: Book;
      readonly transport: Transport;
      readonly clock: Clock;
      readonly metrics: Metrics;
      readonly onComplete: () => void;
    },
  ) {
    this.#protocol = options.protocol;
    this.#transport = parts.transport;
    this.#clock = parts.clock;
    this.#metrics = parts.metrics;
    this.#subscriptions = new Map(RESOURCE_TYPES.map((type) => [type, new Subscription(type)]));
    const subscriptions = [...this.#subscriptions.values()];
    this.#completeness = watchCompleteness(subscriptions, parts.book, parts.clock, () => {
      this.#complete = true;
      parts.book.completed(this.#client.proxy);
      parts.onComplete();
      this.flush();
    });
    const proxy = parts.book.attach(options.node, this, options.resumes);
    this.#client = { book: parts.book, proxy, resumes: options.resumes, standIn: options.standIn };
  }

  request(request: Request): void {
    if (this.#closed) return;
    const type = TYPE_OF_URL.get(request.typeUrl);
    const subscription = type === undefined ? undefined : this.#subscriptions.get(type);
    if (subscription === undefined) {
      this.#answerUnknown(request);
      return;
    }
    const { inFlight } = subscription;
    if (inFlight !== undefined && request.nonce === inFlight.nonce) {
      subscription.inFlight = undefined;
      inFlight.stopTimer();
      if (request.error === undefined) {
        this.#metrics.ack(subscription.type);
        this.#accepted(subscription, inFlight);
      } else this.#refused(subscription, inFlight, request.error);
    } else if (request.names.protocol === "sotw" && request.nonce !== "") {
      return; // about an older response: what it asks for is asked for again in the answer to the newer one
    }
    if (request.names.protocol === "delta")
      subscribe(this.#client, subscription, request.names, request.initialVersions);
    else subscribeToAll(this.#client, subscription, request.names.all);
    if (subscription.names.size > MOST_NAMES) this.#end("RESOURCE_EXHAUSTED", `more than ${String(MOST_NAMES)} names`);
    else this.flush();
  }

  changed(entry: Entry, isNew: boolean): void {
    const subscription = this.#of(entry.type);
    if (!subscription.opened || !subscription.covers(entry.name)) return;
    if (isNew) subscription.noteHolds(entry, false);
    queue(this.#client, subscription, entry);
  }

  owes(entry: Entry): boolean {
    return this.#of(entry.type).owes(entry);
  }

  flush(): void {
    if (this.#closed) return;
    const busy = new Set<ResourceType>();
    for (const type of RESOURCE_TYPES) {
      const subscription = this.#of(type);
      if (subscription.inFlight !== undefined) busy.add(type);
      else if (subscription.opened && subscription.isDue()) {
        const waits = WAITS_FOR[type].some((other) => busy.has(other)) && !subscription.impatient;
        if (waits) this.#wait(subscription);
        if (waits || this.#send(subscription, "additions")) busy.add(type);
        else if (type === "scope" && this.#send(subscription, "removals")) busy.add(type);
      }
    }
    if (busy.size === 0) {
      for (const type of REMOVAL_ORDER) {
        const subscription = this.#of(type);
        if (subscription.opened && subscription.hasRemovals() && this.#send(subscription, "removals")) return;
      }
    }
    this.#completeness.check();
  }

  /** The stream is over; whoever ended it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#completeness.stop();
    const owed = new Set<Entry>();
    for (const subscription of this.#subscriptions.values()) {
      subscription.stopWaiting?.();
      subscription.inFlight?.stopTimer();
      for (const entry of subscription.pending) owed.add(entry);
      for (const entry of subscription.inFlight?.sent.keys() ?? []) owed.add(entry);
      subscription.inFlight = undefined;
      subscription.pending.clear();
    }
    this.#client.book.detach(this.#client.proxy, owed);
  }

  #of(type: ResourceType): Subscription {
    const subscription = this.#subscriptions.get(type);
    if (subscription === undefined) throw new Error(`no subscription of type ${type}`);
    return subscription;
  }

  /** A type that this server does not have: there is none of it, and the client is not to wait. */
  #answerUnknown(request: Request): void {
    const asked = request.names.protocol === "delta" ? request.names.subscribe : request.names.all;
    if (request.nonce !== "" && (request.names.protocol === "sotw" || asked.length === 0)) return;
    const nonce = this.#nextNonce();
    const bytes =
      this.#protocol === "delta"
        ? encodeDelta(
            request.typeUrl,
            nonce,
            [],
            asked.filter((name) => name !== "*"),
          )
        : encodeSotw(request.typeUrl, nonce, []);
    this.#metrics.push("other", 0, bytes.length);
    this.#transport.send(bytes);
  }

  // ---- what the client answers

  #accepted(subscription: Subscription, { sent }: InFlight): void {
    for (const [entry, content] of sent) {
      subscription.noteHolds(entry, content !== undefined);
      subscription.noteShaken(entry, false);
      this.#client.book.acknowledged(this.#client.proxy, entry, content, !subscription.pending.has(entry));
    }
  }

  #refused(subscription: Subscription, inFlight: InFlight, message: string): void {
    const { sent, gone } = inFlight;
    const { type } = subscription;
    this.#metrics.nack(type);
    const [first, ...others] = [...sent.keys()].filter((entry) => sent.get(entry) !== undefined);
    if (first === undefined) {
      this.#accepted(subscription, inFlight); // nothing but removals: there is no other way to say them
      return;
    }
    const verdict = blame(type, message, [first, ...others]);
    for (const name of gone) subscription.gone.add(name);
    for (const entry of sent.keys()) {
      subscription.noteShaken(entry, true);
      if (!("culprit" in verdict) || entry !== verdict.culprit) queue(this.#client, subscription, entry);
    }
    if ("halves" in verdict) {
      subscription.groups = [...verdict.halves, ...subscription.groups];
      return;
    }
    const content = sent.get(verdict.culprit);
    if (content === undefined) return;
    subscription.noteRefused(verdict.culprit, content.version);
    this.#client.book.refused(this.#client.proxy, verdict.culprit, content, message);
  }

  // ---- what the client is told

  #send(subscription: Subscription, phase: "additions" | "removals"): boolean {
    const { type } = subscription;
    const sent = new Map<Entry, Content | undefined>();
    const removed: string[] = [];
    for (const entry of subscription.next(phase)) {
      subscription.pending.delete(entry);
      const content = entry.present ? choose(entry, subscription.position(entry)) : undefined;
      if (entry.present && content === undefined) {
        this.#client.book.settle(this.#client.proxy, entry);
        continue; // refused, and nothing better is known than what the client has
      }
      if (!entry.present) removed.push(entry.name);
      sent.set(entry, content);
    }
    // What an earlier process sent may still be named by an old version: of what is to be replaced, or of what is refused.
    const stays = isNamed(type) && subscription.gone.size > 0 && (!this.#complete || this.#client.book.keepsOld());
    const gone = phase === "removals" && !stays ? [...subscription.gone] : [];
    removed.push(...subscription.missing, ...gone);
    if (sent.size === 0 && removed.length === 0 && !subscription.mustAnswer) return false;

    const nonce = this.#nextNonce();
    const bytes = this.#encode(subscription, nonce, sent, removed, phase);
    const stopTimer =
      type === "cluster"
        ? () => undefined
        : this.#clock.after(LONGEST_SILENCE_MS, () => this.#end("UNAVAILABLE", "no acknowledgement"));
    subscription.inFlight = { nonce, sent, gone, stopTimer };
    subscription.mustAnswer = false;
    subscription.missing.clear();
    if (gone.length > 0) subscription.gone.clear();
    subscription.stopWaiting?.();
    subscription.stopWaiting = undefined;
    // Removed scopes do not wait a second time behind the new ones.
    subscription.impatient &&= type === "scope" && phase === "additions" && subscription.hasRemovals();
    this.#metrics.push(type, sent.size, bytes.length);
    this.#transport.send(bytes);
    if (type === "cluster") this.#repeatEndpoints(sent);
    return true;
  }

  #encode(
    subscription: Subscription,
    nonce: string,
    sent: ReadonlyMap<Entry, Content | undefined>,
    removed: readonly string[],
    phase: "additions" | "removals",
  ): Buffer {
    const url = TYPE_URLS[subscription.type];
    const outgoing = (contents: Iterable<readonly [Entry, Content | undefined]>): Content[] => {
      const list: Content[] = [];
      for (const [entry, content] of contents) {
        if (content === undefined) continue;
        const token = `gatewarden.resent.${PROCESS}.${nonce}`;
        list.push(subscription.isShaken(entry) ? disguiseScope(entry.name, content, token) : content);
      }
      return list;
    };
    if (this.#protocol === "delta") return encodeDelta(url, nonce, outgoing(sent), removed);
    return encodeSotw(url, nonce, outgoing(subscription.wildcard ? this.#world(subscription, sent, phase) : sent));
  }

  /** State of the world: everything of a type, with what is to be removed still in it while additions are under way. */
  *#world(
    subscription: Subscription,
    sent: ReadonlyMap<Entry, Content | undefined>,
    phase: "additions" | "removals",
  ): Iterable<readonly [Entry, Content | undefined]> {
    for (const entry of this.#client.book.entries(subscription.type).values()) {
      const position = subscription.position(entry);
      if (sent.has(entry)) yield [entry, sent.get(entry)];
      else if (!entry.present) yield [entry, phase === "additions" && position.holds ? entry.wanted : undefined];
      // The turn of a part of a refused response comes later.
      else if (subscription.pending.has(entry)) yield [entry, entry.good];
      else yield [entry, choose(entry, { ...position, holds: false })];
    }
  }

  /** An Envoy warms a changed cluster anew and waits for its endpoints, which may be unchanged: they are sent again (rule R24). */
  #repeatEndpoints(clusters: ReadonlyMap<Entry, Content | undefined>): void {
    const subscription = this.#of("endpoint");
    const endpoints = this.#client.book.entries("endpoint");
    for (const [{ endpoint }, content] of clusters) {
      if (content === undefined || endpoint === undefined || !subscription.names.has(endpoint)) continue;
      const entry = endpoints.get(endpoint);
      if (entry?.present === true) queue(this.#client, subscription, entry);
      else subscription.missing.add(endpoint);
    }
  }

  #nextNonce(): string {
    this.#nonce += 1;
    return String(this.#nonce);
  }

  #wait(subscription: Subscription): void {
    subscription.stopWaiting ??= this.#clock.after(LONGEST_WAIT_MS, () => {
      subscription.stopWaiting = undefined;
      subscription.impatient = true;
      this.flush();
    });
  }

  #end(status: "UNAVAILABLE" | "RESOURCE_EXHAUSTED", message: string): void {
    this.#transport.end(status, message);
    this.close();
  }
}
