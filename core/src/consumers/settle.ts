/**
 * Who keeps a key, token or certificate that several consumers claim: the older, else the first by `namespace/name`. A key keeps its claim
 * while it is expired, not yet valid or its consumer suspended, so that it never changes hands by the clock. Envoy refuses a filter with a key
 * twice and prints the key: nothing that lost may reach it.
 */
import type { ParsedApiConsumer } from "../kinds/api-consumer.ts";
import { compareText, idOf } from "../kinds/meta.ts";
import type { Consumer } from "../slice.ts";
import type { CredentialStatus } from "../world.ts";
import { BASIC_NAME, claimsOf, type Credentials, type Key, type Recognised } from "./credentials.ts";

export interface Settled {
  readonly consumer: Consumer;
  readonly credentials: readonly CredentialStatus[];
}

/** The consumers that claim a credential, by its digest; the asking one may be among them. */
export type Claimants = (digest: string) => Iterable<ParsedApiConsumer>;

export function settle({ consumer, keys, password, tokens, identities }: Credentials, claimants: Claimants): Settled {
  const { namespace, name } = consumer.key;
  const settled = keys.map((key) => ({
    key,
    winner: key.secret === undefined ? undefined : winnerOf(key.secret.digest, consumer, claimants),
  }));
  const live = settled.filter(
    ({ key, winner }) => winner === undefined && key.window === "Open" && !consumer.suspended,
  );
  const own = <T>(all: readonly Recognised<T>[]): readonly T[] =>
    all.filter(({ digest }) => winnerOf(digest, consumer, claimants) === undefined).map(({ value }) => value);
  const states = (all: readonly Recognised<unknown>[], list: string): readonly CredentialStatus[] =>
    all.map(({ digest }, at) => {
      const named = { name: `${list}[${at}]` };
      const winner = winnerOf(digest, consumer, claimants);
      return winner === undefined
        ? { ...named, state: stateOf(true, "Open", consumer) }
        : { ...named, state: "Conflicted", message: claimed(winner) };
    });
  return {
    consumer: {
      namespace,
      name,
      labels: consumer.labels,
      roles: consumer.roles,
      attributes: consumer.attributes,
      suspended: consumer.suspended,
      liveKeys: [...new Set(live.flatMap(({ key }) => (key.secret === undefined ? [] : [key.secret.value])))],
      password: consumer.suspended ? undefined : password?.value,
      tokens: own(tokens),
      identities: own(identities),
      seniority: `${consumer.creationTimestamp} ${namespace}/${name}`,
    },
    credentials: [
      ...settled.map(({ key, winner }) => keyStatus(key, winner, consumer)),
      ...(password === undefined
        ? []
        : [{ name: BASIC_NAME, state: stateOf(password.value !== undefined, "Open", consumer) }]),
      ...states(tokens, "jwt"),
      ...states(identities, "identities"),
    ],
  };
}

/** All at once, for those who need no increments. */
export function settleAll(all: readonly Credentials[]): readonly Settled[] {
  const claims = new Map<string, ParsedApiConsumer[]>();
  for (const credentials of all) {
    for (const digest of claimsOf(credentials)) {
      const claimants = claims.get(digest);
      if (claimants === undefined) claims.set(digest, [credentials.consumer]);
      else claimants.push(credentials.consumer);
    }
  }
  return all.map((credentials) => settle(credentials, (digest) => claims.get(digest) ?? []));
}

/** Who has it in place of `own`; undefined: `own` does. */
function winnerOf(digest: string, own: ParsedApiConsumer, claimants: Claimants): ParsedApiConsumer | undefined {
  let winner = own;
  for (const other of claimants(digest)) if (older(other, winner)) winner = other;
  return idOf(winner.key) === idOf(own.key) ? undefined : winner;
}

function older(a: ParsedApiConsumer, b: ParsedApiConsumer): boolean {
  return (compareText(a.creationTimestamp, b.creationTimestamp) || compareText(idOf(a.key), idOf(b.key))) < 0;
}

function keyStatus(key: Key, winner: ParsedApiConsumer | undefined, own: ParsedApiConsumer): CredentialStatus {
  const { name, expiresAtMs } = key;
  const end = expiresAtMs === undefined ? {} : { expiresAt: new Date(expiresAtMs).toISOString() };
  if (winner !== undefined) return { name, state: "Conflicted", message: conflict(winner, own), ...end };
  return { name, state: stateOf(key.secret !== undefined, key.window, own), ...end };
}

/** Another namespace's consumer is not named: whoever tries keys shall not learn whose they are. */
function conflict(winner: ParsedApiConsumer, own: ParsedApiConsumer): string {
  const whose =
    winner.key.namespace === own.key.namespace
      ? `ApiConsumer ${winner.key.name}`
      : "an ApiConsumer of another namespace";
  return `${whose}, which is older, has the same key: make a new one`;
}

/** Tokens and certificates are claimed within a namespace. */
function claimed(winner: ParsedApiConsumer): string {
  return `ApiConsumer ${winner.key.name}, which is older, has the same: write another claim or identity, or remove it there`;
}

function stateOf(
  resolved: boolean,
  window: Key["window"],
  { suspended }: ParsedApiConsumer,
): CredentialStatus["state"] {
  if (!resolved) return "Unresolved";
  if (suspended) return "Suspended";
  return window === "Open" ? "Active" : window;
}
