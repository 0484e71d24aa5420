/**
 * Who keeps a key that several consumers claim: the older, else the first by `namespace/name`. A key keeps its claim while it is expired,
 * not yet valid or its consumer suspended, so that it never changes hands by the clock. Envoy refuses a filter with a key twice and prints
 * the key: nothing that lost may reach it.
 */
import type { ParsedApiConsumer } from "../kinds/api-consumer.ts";
import { compareText, idOf } from "../kinds/meta.ts";
import type { Consumer } from "../slice.ts";
import type { CredentialStatus } from "../world.ts";
import { BASIC_NAME, type Credentials, type Key } from "./credentials.ts";

export interface Settled {
  readonly consumer: Consumer;
  readonly credentials: readonly CredentialStatus[];
}

/** The consumers that claim a key, by its digest; the asking one may be among them. */
export type Claimants = (digest: string) => Iterable<ParsedApiConsumer>;

export function settle({ consumer, keys, password }: Credentials, claimants: Claimants): Settled {
  const { namespace, name } = consumer.key;
  const settled = keys.map((key) => ({ key, winner: winnerOf(key, consumer, claimants) }));
  const live = settled.filter(
    ({ key, winner }) => winner === undefined && key.window === "Open" && !consumer.suspended,
  );
  return {
    consumer: {
      namespace,
      name,
      labels: consumer.labels,
      roles: consumer.roles,
      suspended: consumer.suspended,
      liveKeys: [...new Set(live.flatMap(({ key }) => (key.secret === undefined ? [] : [key.secret.value])))],
      password: consumer.suspended ? undefined : password?.value,
    },
    credentials: [
      ...settled.map(({ key, winner }) => keyStatus(key, winner, consumer)),
      ...(password === undefined
        ? []
        : [{ name: BASIC_NAME, state: stateOf(password.value !== undefined, "Open", consumer) }]),
    ],
  };
}

/** All at once, for those who need no increments. */
export function settleAll(all: readonly Credentials[]): readonly Settled[] {
  const claims = new Map<string, ParsedApiConsumer[]>();
  for (const { consumer, keys } of all) {
    for (const { secret } of keys) {
      if (secret === undefined) continue;
      const claimants = claims.get(secret.digest);
      if (claimants === undefined) claims.set(secret.digest, [consumer]);
      else claimants.push(consumer);
    }
  }
  return all.map((credentials) => settle(credentials, (digest) => claims.get(digest) ?? []));
}

function winnerOf({ secret }: Key, own: ParsedApiConsumer, claimants: Claimants): ParsedApiConsumer | undefined {
  if (secret === undefined) return undefined;
  let winner = own;
  for (const other of claimants(secret.digest)) if (older(other, winner)) winner = other;
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

function stateOf(
  resolved: boolean,
  window: Key["window"],
  { suspended }: ParsedApiConsumer,
): CredentialStatus["state"] {
  if (!resolved) return "Unresolved";
  if (suspended) return "Suspended";
  return window === "Open" ? "Active" : window;
}
