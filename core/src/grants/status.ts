/** The status of an ApiGrant, but for Programmed, which the book of acknowledgements adds. */
import type { ParsedApiConsumer } from "../kinds/api-consumer.ts";
import type { ParsedApiGrant, Right } from "../kinds/api-grant.ts";
import type { ParsedApiPolicy } from "../kinds/api-policy.ts";
import type { Reason } from "../problems.ts";
import type { Lookup } from "../slice.ts";
import type { Condition, ObjectStatus } from "../world.ts";
import { timeLeft } from "./time-left.ts";
import { type GrantState, stateOf } from "./window.ts";

/** What a grant names, as far as it is there. */
export interface Named {
  readonly consumer: ParsedApiConsumer | undefined;
  readonly policy: ParsedApiPolicy | undefined;
}

type GrantStatus = Extract<ObjectStatus, { readonly kind: "ApiGrant" }>;
interface Said {
  readonly reason: string;
  readonly message: string;
}

/** `gateways`: those whose proxies ask for it, as `namespace/name`. */
export function grantStatus(
  { generation, right, problems }: ParsedApiGrant,
  named: (right: Right) => Named,
  gateways: readonly string[],
  clock: Pick<Lookup, "nowMs" | "until">,
): GrantStatus {
  const condition = (type: string, fault: Said | undefined, good: Said): Condition => ({
    type,
    status: fault === undefined ? "True" : "False",
    ...(fault ?? good),
    observedGeneration: generation,
  });
  const base = { kind: "ApiGrant", generation, gateways } as const;
  if (right === undefined) {
    const message = problems
      .map((one) => (one.fix === undefined ? one.message : `${one.message} (${one.fix})`))
      .join("; ");
    const invalid = { reason: "Invalid", message };
    return {
      ...base,
      ended: false,
      conditions: ["Accepted", "Active"].map((type) => condition(type, invalid, invalid)),
    };
  }
  const accepted = condition("Accepted", undefined, { reason: "Accepted", message: "the grant is valid" });
  const state = stateOf(right, clock);
  const ended = state === "Expired" || state === "Revoked";
  // What has ended needs nothing any more.
  if (ended) return { ...base, ended, conditions: [accepted, condition("Active", timing(state, right), LIVE)] };
  const found = named(right);
  const missing = missingOf(right, found);
  const inactive = timing(state, right) ?? missing ?? suspension(found);
  return {
    ...base,
    ended,
    ...(inactive === undefined ? { timeLeft: timeLeft(right.expiresAtMs, clock) } : {}),
    conditions: [
      accepted,
      condition("ResolvedRefs", missing, { reason: "ResolvedRefs", message: "consumer, policy and rules are there" }),
      condition("Active", inactive, { ...LIVE, message: `until ${time(right.expiresAtMs)}` }),
    ],
  };
}

const LIVE: Said = { reason: "Active", message: "" };

function timing(state: GrantState, { notBeforeMs, expiresAtMs }: Right): Said | undefined {
  switch (state) {
    case "Live":
      return undefined;
    case "NotYetActive":
      return { reason: "NotYetActive", message: `from ${time(notBeforeMs ?? 0)}` };
    case "Expired":
      return { reason: "Expired", message: `ended at ${time(expiresAtMs)}` };
    case "Revoked":
      return { reason: "Revoked", message: "was revoked" };
  }
}

function missingOf(right: Right, { consumer, policy }: Named): Said | undefined {
  const said = (reason: Reason, message: string): Said => ({ reason, message });
  if (consumer === undefined) return said("RefNotFound", `ApiConsumer ${right.consumer} does not exist`);
  if (policy === undefined) return said("RefNotFound", `ApiPolicy ${right.policy} does not exist`);
  const rules = rulesOf(policy);
  if (rules === undefined) return said("InvalidRef", `ApiPolicy ${right.policy} has no section authorization`);
  const absent = right.rules.filter((name) => !rules.has(name));
  if (absent.length > 0) return said("RefNotFound", `ApiPolicy ${right.policy} has no rule ${absent.join(", ")}`);
  const open = right.rules.filter((name) => rules.get(name) !== true);
  if (open.length === 0) return undefined;
  return said(
    "InvalidRef",
    `ApiPolicy ${right.policy} asks for no grant in rule ${open.join(", ")} (write grant: Required)`,
  );
}

function suspension({ consumer }: Named): Said | undefined {
  return consumer?.suspended === true
    ? { reason: "Suspended", message: `ApiConsumer ${consumer.key.name} is suspended` }
    : undefined;
}

/** Its authorization rules, and whether each asks for a grant; undefined without the section. */
function rulesOf({ sections }: ParsedApiPolicy): ReadonlyMap<string, boolean> | undefined {
  const { authorization } = sections;
  return authorization && new Map((authorization.rules ?? []).map(({ name, grant }) => [name, grant === "Required"]));
}

/** Whether a grant can make a difference to the policy. */
export function asksForGrants(policy: ParsedApiPolicy): boolean {
  return [...(rulesOf(policy)?.values() ?? [])].includes(true);
}

function time(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(".000Z", "Z");
}
