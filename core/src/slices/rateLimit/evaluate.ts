/** Which limits count one request, and with whom it shares its buckets. How full they are nobody knows here: nothing is refused. */
import type { Call, CountedLimit, Evaluate, Evaluating, Finding } from "../../simulate/contract.ts";
import { decodedParameters } from "../../simulate/parameters.ts";
import { fits } from "../../simulate/expression.ts";
import { pathOf } from "../../simulate/match.ts";
import { pathRegex } from "../../envoy/pattern.ts";
import type { KeyPart } from "../../envoy/collect.ts";
import { CONSUMER_HEADER } from "../../translate/chain.ts";
import type { JsonObject } from "../../world.ts";
import type { Keys, Limit, Match, Model } from "./model.ts";

export const evaluate: Evaluate<Model> = {
  limits: (model, evaluating) => counted(model, evaluating, false),
  identifiedLimits: (model, evaluating) => counted(model, evaluating, true),
};

function counted({ limits }: Model, evaluating: Evaluating, identified: boolean): Finding {
  const asked = limits.filter((limit) => limit.identified === identified);
  if (asked.length === 0) return undefined;
  const counts = asked
    .filter(({ match }) => match === undefined || matches(match, evaluating.call))
    .map((limit) => countOf(limit, evaluating));
  const names = counts.map(({ limit, bucket }) => `${nameOf(limit)} (${bucket})`);
  const later = identified ? [] : limits.filter((limit) => limit.identified).map(({ id }) => nameOf(id));
  return {
    result: "Pass",
    reason:
      counts.length === 0
        ? "no limit counts it"
        : `counts in ${names.join(", ")}; refused with 429 once that is used up`,
    counts,
    ...(later.length === 0 ? {} : { later: `not reached: ${later.join(", ")}` }),
  };
}

/** Of `namespace/policy#name`. */
function nameOf(limit: string): string {
  return limit.slice(limit.indexOf("#") + 1);
}

function matches({ methods, paths, headers, consumers }: Match, call: Call): boolean {
  return (
    (methods.length === 0 || methods.includes(call.method)) &&
    (paths.length === 0 || fits(pathRegex(paths), call.path)) &&
    Object.entries(headers).every(([name, value]) =>
      call.headers.all(name).some((line) => line === value || line.split(",").some((one) => one.trim() === value)),
    ) &&
    (consumers === undefined || consumers.includes(call.headers.joined(CONSUMER_HEADER) ?? ""))
  );
}

function countOf({ id, requests, per, burst, keys }: Limit, evaluating: Evaluating): CountedLimit {
  return { limit: id, requests, per, burst, bucket: bucketOf(keys, evaluating) };
}

const TOGETHER = "everybody";
const ABSENT = "all without the key";

function bucketOf(keys: Keys, evaluating: Evaluating): string {
  if (keys.type === "Together") return TOGETHER;
  if (keys.type === "Consumer") return evaluating.caller.consumer ?? ABSENT;
  const by = keys.type === "Address" ? [{ type: "ClientIP" } as const] : keys.by;
  const parts = by.map((part: KeyPart) => keyOf(part, evaluating));
  return parts.some((part) => part === undefined || part === "") ? ABSENT : parts.join(", ");
}

function keyOf({ type, name = "" }: KeyPart, { call, caller }: Evaluating): string | undefined {
  switch (type) {
    case "ClientIP":
      return call.address.includes(":") ? `${network(call.address)}::/64` : call.address;
    case "Consumer":
      return caller.consumer;
    case "Header": {
      const values = call.headers.all(name);
      return values.length === 1 ? values[0] : undefined;
    }
    case "Query": {
      const values = decodedParameters(call.path).filter(([one]) => one === name);
      return values.length === 1 ? values[0]?.[1] : undefined;
    }
    case "Claim":
      return claimOf(caller.claims, name);
    case "Path":
      return pathOf(call.path);
    case "Method":
      return call.method;
  }
}

/** The first four groups: what one customer has. */
function network(address: string): string {
  const [head = "", tail] = address.split("::");
  const groups = head.split(":").filter(Boolean);
  const rest = (tail ?? "").split(":").filter(Boolean);
  const filled =
    tail === undefined ? groups : [...groups, ...new Array<string>(8 - groups.length - rest.length).fill("0"), ...rest];
  return filled.slice(0, 4).join(":");
}

function claimOf(claims: JsonObject | undefined, name: string): string | undefined {
  if (claims === undefined) return undefined;
  const whole = claims[name];
  const value =
    whole ??
    name
      .split(".")
      .reduce<unknown>(
        (inner, segment) => (typeof inner === "object" && inner !== null ? (inner as JsonObject)[segment] : undefined),
        claims,
      );
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? String(value)
    : undefined;
}
