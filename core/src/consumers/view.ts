/** Consumers as views of the graph: their credentials read, conflicts settled, one list per namespace. */
import { idOf } from "../kinds/meta.ts";
import { compareText } from "../kinds/meta.ts";
import type { Derived, Graph, Relation } from "../memo.ts";
import type { Objects } from "../objects.ts";
import type { Consumer, ConsumerSelector, Lookup } from "../slice.ts";
import { claimsOf, type CredentialLookup, type Credentials, readCredentials } from "./credentials.ts";
import { settle, type Settled } from "./settle.ts";

export interface Consumers {
  /** Undefined where the consumer does not exist. Keys are `namespace/name`. */
  readonly credentials: Derived<Credentials | undefined>;
  readonly settled: Derived<Settled | undefined>;
  readonly inNamespace: (namespace: string, selector: ConsumerSelector | undefined) => readonly Consumer[];
  readonly recognises: Lookup["recognises"];
}

/** Before everything that reads consumers. */
const RANK = 0;

export function createConsumers(graph: Graph, objects: Objects, lookup: CredentialLookup): Consumers {
  const claims: Relation<true> = graph.relation("claims-by-key"); // by digest: consumers
  const credentials = graph.derived<Credentials | undefined>(
    "credentials",
    (id) => {
      const consumer = objects.consumers.get(id);
      return consumer && readCredentials(consumer, lookup);
    },
    undefined,
  );
  const claiming = graph.effects("claims", RANK, (id, give) => {
    const own = credentials.get(id);
    for (const digest of own === undefined ? [] : claimsOf(own)) give(claims, digest, id, true);
  });
  objects.follow("ApiConsumer", claiming);

  const settled = graph.derived<Settled | undefined>(
    "consumers",
    (id) => {
      const own = credentials.get(id);
      const claimants = (digest: string) =>
        [...claims.get(digest).keys()].flatMap((other) => objects.consumers.get(other) ?? []);
      return own && settle(own, claimants);
    },
    undefined,
  );
  const byNamespace = graph.derived<readonly Consumer[]>(
    "consumers-of-namespace",
    (namespace) =>
      [...objects.consumersByNamespace.get(namespace).keys()]
        .flatMap((id) => settled.get(id)?.consumer ?? [])
        .sort((a, b) => compareText(idOf(a), idOf(b))),
    [],
  );
  const recognised = graph.derived<ReturnType<Lookup["recognises"]>>(
    "recognised-in-namespace",
    (namespace) => {
      const all = byNamespace.get(namespace);
      return {
        tokens: all.some(({ tokens }) => tokens.length > 0),
        certificates: all.some(({ identities }) => identities.length > 0),
      };
    },
    { tokens: false, certificates: false },
  );
  return {
    credentials,
    settled,
    inNamespace: (namespace, selector) =>
      byNamespace.get(namespace).filter((consumer) => isSelected(consumer, selector)),
    recognises: (namespace) => recognised.get(namespace),
  };
}

/** Whether the selector, if there is one, chooses the consumer. */
export function isSelected(consumer: Consumer, selector: ConsumerSelector | undefined): boolean {
  const { matchLabels = {}, roles, attributes = {} } = selector ?? {};
  return (
    holdsAll(consumer.labels, matchLabels) &&
    holdsAll(consumer.attributes, attributes) &&
    (roles === undefined || roles.some((role) => consumer.roles.includes(role)))
  );
}

function holdsAll(all: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(all, key) && all[key] === value);
}
