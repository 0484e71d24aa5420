/** ApiGrant: schema of its spec, and the parser. A right of one consumer to rules of one policy, with an end; broken, it gives nothing. */
import * as z from "zod";
import type { Problem } from "../problems.ts";
import { dateTimeMs } from "../schema/date-time.ts";
import { later } from "../schema/later.ts";
import { listSet } from "../schema/list.ts";
import { parse } from "../schema/parse.ts";
import { defaultsTo, rule, transition } from "../schema/rule.ts";
import { dateTime, name, text } from "../schema/text.ts";
import type { KubeObject, ObjectKey } from "../world.ts";
import { type ObjectIdentity, identityOf } from "./object.ts";

export const DEFAULTS = { revoked: false } as const;
const MAX_RULES = 64;

const immutable = { message: "cannot be changed", fix: "make another ApiGrant" } as const;

function consumer() {
  const shape = z.strictObject({ name: name().describe("Name of the ApiConsumer, in the same namespace.") });
  return transition(shape, { cel: "self == oldSelf", ...immutable });
}

function policy() {
  const shape = z.strictObject({
    name: name().describe("Name of the ApiPolicy, in the same namespace."),
    rules: listSet(name(), MAX_RULES).describe("Rules of its section authorization that ask for a grant."),
  });
  return transition(shape, { cel: "self == oldSelf", ...immutable });
}

function spec() {
  const shape = z.strictObject({
    consumer: consumer().describe("Who gets the right."),
    policy: policy().describe("To what."),
    notBefore: dateTime().describe("When it begins; absent: at once.").exactOptional(),
    expiresAt: transition(dateTime(), {
      cel: "timestamp(self) <= timestamp(oldSelf)",
      message: "can only move earlier",
      fix: "make another ApiGrant",
    }).describe("When it ends; may only move earlier."),
    ticket: text(253).describe("Where it was asked for and granted, for people.").exactOptional(),
    revoked: defaultsTo(z.boolean(), DEFAULTS.revoked)
      .describe("Whether it has ended for good; only from false to true.")
      .exactOptional(),
  });
  const window = rule(shape, {
    cel: "!has(self.notBefore) || timestamp(self.notBefore) < timestamp(self.expiresAt)",
    message: "ends before it begins",
    fix: "write an expiresAt after notBefore",
    check: ({ notBefore, expiresAt }) => notBefore === undefined || dateTimeMs(notBefore) < dateTimeMs(expiresAt),
  });
  const fixedStart = transition(window, {
    cel: "has(self.notBefore) == has(oldSelf.notBefore) && (!has(self.notBefore) || self.notBefore == oldSelf.notBefore)",
    message: "begins at another time, and notBefore cannot be changed",
    fix: immutable.fix,
  });
  return transition(fixedStart, {
    cel: "!has(oldSelf.revoked) || !oldSelf.revoked || (has(self.revoked) && self.revoked)",
    message: "was revoked, which is for good",
    fix: immutable.fix,
  });
}

export const specSchema = later(spec);

export interface ParsedApiGrant extends ObjectIdentity {
  readonly key: ObjectKey & { readonly kind: "ApiGrant" };
  /** Undefined where the spec cannot be read: then there is no right. */
  readonly right: Right | undefined;
  readonly problems: readonly Problem[];
}

export interface Right {
  readonly consumer: string; // names, in the grant's namespace
  readonly policy: string;
  readonly rules: readonly string[];
  readonly notBeforeMs: number | undefined;
  readonly expiresAtMs: number;
  readonly revoked: boolean;
}

export function parseApiGrant(object: KubeObject): ParsedApiGrant {
  const identity = identityOf("ApiGrant", object);
  const parsed = parse(specSchema(), object.spec, "spec");
  if (!parsed.ok) return { ...identity, right: undefined, problems: parsed.problems };
  const { consumer: who, policy: what, notBefore, expiresAt, revoked = DEFAULTS.revoked } = parsed.value;
  const right: Right = {
    consumer: who.name,
    policy: what.name,
    rules: what.rules,
    notBeforeMs: notBefore === undefined ? undefined : dateTimeMs(notBefore),
    expiresAtMs: dateTimeMs(expiresAt),
    revoked,
  };
  return { ...identity, right, problems: [] };
}
