/**
 * The slots `names` and `recognise`, behind the credential filters: whose token or client certificate a request came with. The consumers stand in
 * two resources of the whole Gateway (ECDS); a route says only in which namespace to look, so that a consumer who comes, changes or is
 * suspended touches no route. Looking up a claim or an exact name is one table access; other names (`names`) are compared one by one.
 *
 * Of several consumers that a credential is, the first counts: suspended ones before others, then the older.
 */
import type { Consumer } from "../slice.ts";
import type { Identity } from "../schema/identity.ts";
import type { JsonObject } from "../world.ts";
import { awake, sleepingLua } from "./lua.ts";
import { recogniseScript } from "./recognise-script.ts";
import { certificateWith } from "./san.ts";
import { HTTP_FILTER } from "./type-url.ts";

/** What slot `recognise` found: `yes` where it looked, `suspended` where the consumer is. Whatever else stands here is to be refused. */
export const RECOGNISED_HEADER = "x-gatewarden-recognised";
const ROUTE_METADATA = "gatewarden";
/** Key of a route's metadata for slot `names`: the namespace whose consumers count. */
export const CONSUMERS_METADATA = "consumersOf";

/** No name of a consumer. */
const NOBODY = "-";

export type Known = Pick<Consumer, "namespace" | "name" | "suspended" | "tokens" | "identities">;

/** Slot `recognise`; `consumers` in the order in which they count, by namespace. */
export function recogniseFilter(consumers: ReadonlyMap<string, readonly Known[]>): JsonObject {
  const source = recogniseScript.replace("LINES", () => JSON.stringify(linesOf(consumers)));
  return sleepingLua(source);
}

/** Per route: look for the consumer in `namespace`. `headers` says in which header the upstream gets it: by issuer, or `certificate`. */
export function recogniseIn(
  namespace: string,
  by: "token" | "certificate",
  headers: Readonly<Record<string, string>>,
  qualified: boolean,
): JsonObject {
  return awake({ namespace, by, ...(Object.keys(headers).length === 0 ? {} : { headers, qualified }) });
}

/** Slot `names`: who has a certificate that no table can find, as shadow rules that only name the consumer. */
export function namesFilter(consumers: ReadonlyMap<string, readonly Known[]>): JsonObject {
  const policies = [...consumers].flatMap(([namespace, known]) => [
    ...known.flatMap((consumer, rank) => {
      const compared = consumer.identities.filter((identity) => !isLookedUp(identity));
      if (compared.length === 0) return [];
      // Envoy goes through them in the order of their names.
      const name = `${String(rank).padStart(6, "0")} ${word(namespace)} ${word(consumer.name)}`;
      const principal = {
        and_ids: { ids: [onRoutesOf(namespace), { or_ids: { ids: compared.map(certificateWith) } }] },
      };
      return [[name, { permissions: [{ any: true }], principals: [principal] }]];
    }),
    // Nobody, as a verdict: without any, the filter is not there, and `recognise` does not answer.
    [`~ ${word(namespace)} ${NOBODY}`, { permissions: [{ any: true }], principals: [onRoutesOf(namespace)] }],
  ]);
  return {
    "@type": `${HTTP_FILTER}.rbac.v3.RBAC`,
    shadow_rules: { action: "ALLOW", policies: Object.fromEntries(policies) as JsonObject },
    shadow_rules_stat_prefix: "names_",
  };
}

function onRoutesOf(namespace: string): JsonObject {
  return {
    sourced_metadata: {
      metadata_matcher: {
        filter: ROUTE_METADATA,
        path: [{ key: CONSUMERS_METADATA }],
        value: { string_match: { exact: namespace } },
      },
      metadata_source: "ROUTE",
    },
  };
}

function isLookedUp({ type, san }: Identity): boolean {
  return type === "Exact" && san !== "Email"; // Envoy's Lua sees no mail addresses
}

function linesOf(consumers: ReadonlyMap<string, readonly Known[]>): string {
  return [...consumers]
    .map(([namespace, known]) => [`n ${word(namespace)}`, ...known.flatMap(consumerLines)].join(";"))
    .join(";");
}

function consumerLines({ name, suspended, tokens, identities }: Known): readonly string[] {
  return [
    `u ${suspended ? "suspended" : "live"} ${word(name)}`,
    ...tokens.map(({ issuer, claim, value }) => `t ${word(issuer)} ${claim.map(word).join(".")} ${word(value)}`),
    ...identities.filter(isLookedUp).map(({ san, value }) => `x ${san} ${word(value)}`),
  ];
}

/** Letters, digits, `-`, `_` and `%XX`: nothing of what a user wrote is left that Lua or the lines could read as theirs. */
function word(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(/[.!~*'()]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
}
