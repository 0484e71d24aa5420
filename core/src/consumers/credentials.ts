/** The credentials of one ApiConsumer as they stand now: Secrets read, times compared. Who keeps a key that two claim is settled in settle.ts. */
import { contentHash } from "../hash.ts";
import type { ParsedApiConsumer, ParsedApiKey } from "../kinds/api-consumer.ts";
import type { Problem } from "../problems.ts";
import type { Identity } from "../schema/identity.ts";
import type { Found, Lookup, TokenClaim } from "../slice.ts";

/** The name under which the password stands in the status, beside the keys. */
export const BASIC_NAME = "basic";

export interface Credentials {
  readonly consumer: ParsedApiConsumer;
  readonly keys: readonly Key[];
  readonly password: Password | undefined;
  readonly tokens: readonly Recognised<TokenClaim>[];
  readonly identities: readonly Recognised<Identity>[];
  /** References that could not be read, and values that cannot be used. */
  readonly problems: readonly Problem[];
}

export interface Key {
  readonly name: string;
  readonly window: "Open" | "NotYetValid" | "Expired";
  readonly expiresAtMs: number | undefined;
  /** Absent: it could not be read. */
  readonly secret: Secret | undefined;
}

export interface Secret {
  readonly value: string;
  /** Stands for the value where it must not appear. */
  readonly digest: string;
}

/** A token or certificate that is the consumer. */
export interface Recognised<T> {
  readonly value: T;
  /** The same for every consumer of the namespace that claims it; elsewhere it may be another one's. */
  readonly digest: string;
}

export interface Password {
  readonly value: string | undefined;
}

export type CredentialLookup = Pick<Lookup, "value" | "nowMs" | "until">;

export function readCredentials(consumer: ParsedApiConsumer, lookup: CredentialLookup): Credentials {
  const problems: Problem[] = [];
  const read = (
    ref: { readonly name: string; readonly key: string },
    path: string,
    fault: Fault,
  ): string | undefined => {
    const found = usable(lookup.value("Secret", consumer.key.namespace, ref.name, ref.key), path, fault);
    if (found.ok) return found.value;
    problems.push(found.problem);
    return undefined;
  };
  const keys = consumer.apiKeys.map((key, at): Key => {
    const value = read(key.secretRef, `spec.apiKeys[${at}].secretRef`, keyFault);
    return {
      name: key.name,
      window: windowOf(key, lookup),
      expiresAtMs: key.expiresAtMs,
      secret: value === undefined ? undefined : { value, digest: contentHash(value) },
    };
  });
  const { basic } = consumer;
  const password = basic && { value: read(basic.secretRef, "spec.basic.secretRef", passwordFault) };
  const recognised = <T>(kind: string, value: T): Recognised<T> => ({
    value,
    digest: contentHash([kind, consumer.key.namespace, value]),
  });
  return {
    consumer,
    keys,
    password,
    tokens: consumer.tokens.map((token) => recognised("token", token)),
    identities: consumer.identities.map((identity) => recognised("identity", identity)),
    problems,
  };
}

/** Digests of everything that it claims for itself. */
export function claimsOf({ keys, tokens, identities }: Credentials): readonly string[] {
  return [
    ...keys.flatMap(({ secret }) => (secret === undefined ? [] : [secret.digest])),
    ...[...tokens, ...identities].map(({ digest }) => digest),
  ];
}

/** Asks for another evaluation when the answer changes. */
function windowOf({ notBeforeMs, expiresAtMs }: ParsedApiKey, { nowMs, until }: CredentialLookup): Key["window"] {
  if (expiresAtMs !== undefined && expiresAtMs <= nowMs) return "Expired";
  if (notBeforeMs !== undefined && notBeforeMs > nowMs) {
    until(notBeforeMs);
    return "NotYetValid";
  }
  if (expiresAtMs !== undefined) until(expiresAtMs);
  return "Open";
}

type Fault = (value: string) => string | undefined;

/** The line end that editors and `echo` leave behind is no part of a credential. */
function usable(found: Found<Uint8Array>, path: string, fault: Fault): Found<string> {
  if (!found.ok) return { ok: false, problem: { ...found.problem, path } };
  const value = Buffer.from(found.value)
    .toString("utf8")
    .replace(/\r?\n$/, "");
  const wrong = fault(value);
  if (wrong === undefined) return { ok: true, value };
  const fix = "put another value into the Secret";
  return { ok: false, problem: { reason: "InvalidRef", path, message: `${path} ${wrong}`, fix } };
}

/** A key stands in a header, a query or a cookie: whatever one of them would change or cut cannot be in it. */
function keyFault(value: string): string | undefined {
  if (value === "") return "is empty";
  if (value.length > MAX_KEY) return `is longer than ${MAX_KEY} characters`;
  return /^[\x21-\x7e]+$/.test(value) && !/[,;"\\]/.test(value)
    ? undefined
    : 'has characters that no header, query and cookie can all carry: spaces, controls, , ; " \\ or non-ASCII';
}
const MAX_KEY = 4_096;

function passwordFault(value: string): string | undefined {
  if (value === "") return "is empty";
  return value.length > MAX_PASSWORD ? `is longer than ${MAX_PASSWORD} characters` : undefined;
}
const MAX_PASSWORD = 1_024;
