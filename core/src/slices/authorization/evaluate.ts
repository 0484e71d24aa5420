/** What the rules say to one request, from the model and not from what Envoy gets: the second opinion of the differential test. */
import { type Attributes, evaluateTree } from "../../cel/evaluate.ts";
import { parseCidr } from "../../schema/cidr.ts";
import type { Identity } from "../../schema/identity.ts";
import type { Callers } from "../../slice.ts";
import { nameFits } from "../../simulate/identity.ts";
import type { Call, Evaluate, Evaluating, Finding, PresentedCertificate } from "../../simulate/contract.ts";
import type { JsonObject, JsonValue } from "../../world.ts";
import type { Action, Claim, Mfa, Model, Roles, Rule, RuleSet } from "./model.ts";
import { CONSUMER_HEADER } from "../../translate/chain.ts";

export const evaluate: Evaluate<Model> = { authorization: decide };

/** All sets must allow; the first that does not says so. */
function decide(model: Model, evaluating: Evaluating): Finding {
  const found = model.sets.map((set) => decideSet(set, evaluating));
  return found.find((one) => one?.result === "Deny") ?? found.at(-1);
}

function decideSet(set: RuleSet, evaluating: Evaluating): Finding {
  const policy = set.source;
  const rule = set.rules.find((one) => fits(one, evaluating));
  if (rule === undefined) {
    return set.defaultAction === "Allow"
      ? { result: "Pass", reason: "no rule fits, and the default allows", policy }
      : {
          result: "Deny",
          reason: `no rule allows this call${nearest(set, evaluating)}`,
          status: 403,
          code: "GW-AUTHZ-001",
          policy,
        };
  }
  const { name, action, mfa } = rule;
  if (action === "Deny")
    return { result: "Deny", reason: `rule ${name} denies`, status: 403, code: "GW-AUTHZ-002", policy, rule: name };
  if (mfa !== undefined && !signedInWith(mfa, evaluating)) {
    const reason = `rule ${name} asks for a stronger or more recent authentication`;
    return { result: "Deny", reason, status: 401, code: "GW-AUTHZ-003", policy, rule: name };
  }
  return { result: "Pass", reason: `rule ${name} allows`, policy };
}

function fits(rule: Rule, evaluating: Evaluating): boolean {
  return misses(rule, evaluating).next().done === true;
}

/** The fields of a rule, as users write them, that do not hold for this call. */
function* misses(rule: Rule, evaluating: Evaluating): Generator<string, void> {
  const { call, caller, route } = evaluating;
  const { action, methods, paths, roles, scopes, consumers, identities, claims, sources, when, granted } = rule;
  const issuers = route.callers?.issuers ?? [];
  const is = (list: readonly string[]): boolean => caller.consumer !== undefined && list.includes(caller.consumer);
  if (methods !== undefined && !methods.includes(call.method)) yield "methods";
  if (paths !== undefined && !paths.some((template) => pathFits(template, call.path))) yield "paths";
  if (sources !== undefined && !sources.some((cidr) => addressIn(call.address, cidr))) yield "sources";
  if (consumers !== undefined && !is(consumers)) yield "consumers";
  if (granted !== undefined && !is(granted)) yield "grant";
  if (roles !== undefined && !is(roles.consumers) && !tokenHasRole(roles, caller.claims, issuers)) yield "roles";
  if (!(scopes ?? []).every((scope) => hasScope(scope, caller.claims))) yield "scopes";
  if (!(claims ?? []).every((claim) => hasClaim(claim, caller.claims, issuers))) yield "claims";
  if (identities !== undefined && !identities.some((one) => certificateHas(one, call.certificate, action)))
    yield "identities";
  if (when !== undefined && !holds(evaluateTree(when.ast, attributesOf(evaluating)), action)) yield "when";
}

/** Which rule that allows came nearest, and what it asked for in vain: the first with the fewest fields that do not hold. */
function nearest({ rules }: RuleSet, evaluating: Evaluating): string {
  const missed = rules
    .filter(({ action }) => action === "Allow")
    .map((rule) => ({ name: rule.name, fields: [...misses(rule, evaluating)] }));
  const best = missed.toSorted((a, b) => a.fields.length - b.fields.length)[0];
  return best === undefined ? "" : `; nearest is rule ${best.name}, which fails on ${best.fields.join(", ")}`;
}

/** What fails allows nothing. */
function holds(value: boolean | undefined, action: Action): boolean {
  return value ?? action === "Deny";
}

function pathFits(template: string, path: string): boolean {
  const asked = (path.split("?")[0] ?? "").split("/").slice(1);
  const wanted = template.split("/").slice(1);
  const rest = wanted.at(-1) === "**";
  const fixed = rest ? wanted.slice(0, -1) : wanted;
  if (rest ? asked.length < fixed.length : asked.length !== fixed.length) return false;
  return fixed.every((segment, at) =>
    segment === "*" || segment.startsWith("{") ? asked[at] !== "" : segment === asked[at],
  );
}

function addressIn(address: string, cidr: string): boolean {
  const [range, own] = [parseCidr(cidr), parseCidr(`${address}/${address.includes(":") ? "128" : "32"}`)];
  if (range === undefined || own === undefined || range.family !== own.family) return false;
  return range.bytes.every((byte, at) => {
    const bits = Math.min(8, Math.max(0, range.prefix - at * 8));
    const mask = (0xff << (8 - bits)) & 0xff;
    return (byte & mask) === ((own.bytes[at] ?? 0) & mask);
  });
}

function tokenHasRole({ names }: Roles, claims: JsonObject | undefined, issuers: Callers["issuers"]): boolean {
  return issuers.some(
    ({ issuer, rolesClaim }) =>
      rolesClaim !== undefined && claims?.["iss"] === issuer && hasOneOf(at(claims, rolesClaim), names),
  );
}

function hasClaim(
  { provider, path, values }: Claim,
  claims: JsonObject | undefined,
  issuers: Callers["issuers"],
): boolean {
  const meant = issuers.filter(({ name }) => provider === undefined || name === provider);
  return meant.some(({ issuer }) => claims?.["iss"] === issuer) && hasOneOf(at(claims, path), values);
}

function hasScope(scope: string, claims: JsonObject | undefined): boolean {
  return ["scope", "scp"].some((name) => {
    const value = claims?.[name];
    const words =
      typeof value === "string" ? value.split(" ") : Array.isArray(value) ? (value as readonly JsonValue[]) : [];
    return words.includes(scope);
  });
}

function at(claims: JsonObject | undefined, path: readonly string[]): JsonValue | undefined {
  return path.reduce<JsonValue | undefined>(
    (value, key) =>
      typeof value === "object" && value !== null && !Array.isArray(value) && Object.hasOwn(value, key)
        ? (value as JsonObject)[key]
        : undefined,
    claims,
  );
}

function hasOneOf(value: JsonValue | undefined, texts: readonly string[]): boolean {
  const list = Array.isArray(value) ? (value as readonly JsonValue[]) : [value];
  return list.some((one) => (typeof one === "object" || one === undefined ? false : texts.includes(String(one))));
}

function signedInWith({ acr, amr, maxAgeSeconds }: Mfa, { call, caller: { claims } }: Evaluating): boolean {
  const { acr: context, amr: methods, auth_time: time } = claims ?? {};
  const since =
    typeof time === "number"
      ? Math.trunc(time)
      : typeof time === "string" && /^-?\d+$/.test(time)
        ? Number(time)
        : undefined;
  return (
    (acr === undefined || (typeof context === "string" && acr.includes(context))) &&
    (amr === undefined || hasOneOf(methods, amr)) &&
    (maxAgeSeconds === undefined || (since !== undefined && Math.floor(call.nowMs / 1_000) - since <= maxAgeSeconds))
  );
}

function certificateHas(
  { type, san, value }: Identity,
  presented: PresentedCertificate | undefined,
  action: Action,
): boolean {
  if (presented === undefined) return false;
  const fit = (name: string): boolean => nameFits({ type, value }, name);
  switch (san) {
    case "URI":
      return presented.uris.some(fit);
    case "DNS":
      return presented.dns.some(fit);
    case "Email": {
      const joined = presented.emails.join(",");
      return action === "Deny" ? joined.split(",").some(fit) : !joined.includes(",") && fit(joined);
    }
  }
}

function attributesOf({ call, caller }: Evaluating): Attributes {
  const headers = new Map<string, string>([["host", call.host]]);
  for (const name of call.headers.names()) {
    const value = call.headers.joined(name);
    if (value !== undefined) headers.set(name.toLowerCase(), value);
  }
  headers.delete(CONSUMER_HEADER);
  if (caller.consumer !== undefined) headers.set(CONSUMER_HEADER, caller.consumer);
  return {
    request: { ...requestOf(call), id: headers.get("x-request-id") ?? "", headers },
    nowMs: call.nowMs,
    source: { address: call.address.includes(":") ? `[${call.address}]:0` : `${call.address}:0`, port: 0 },
    ...(caller.claims === undefined ? {} : { claims: caller.claims }),
  };
}

function requestOf({ method, path, host, scheme, headers }: Call): Omit<Attributes["request"], "id" | "headers"> {
  const length = Number(headers.joined("content-length") ?? 0);
  return { method, path, host, scheme, protocol: "HTTP/1.1", size: Number.isSafeInteger(length) ? length : 0 };
}
