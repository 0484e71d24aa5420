/**
 * Tokens and client certificates that are an ApiConsumer: behind the method's own check the Gateway's slot `recognise` names the consumer, so that
 * limits, rules, logs and the upstream know it as they know the owner of an API key. Only where the namespace has such consumers; then
 * whatever the slot did not answer for is refused, and so are the credentials of suspended consumers.
 */
import { compareText } from "../../kinds/meta.ts";
import type { DenyRule } from "../../envoy/rbac.ts";
import {
  CONSUMERS_METADATA,
  type Known,
  namesFilter,
  RECOGNISED_HEADER,
  recogniseFilter,
  recogniseIn,
} from "../../envoy/recognise.ts";
import type { Branch, Lookup } from "../../slice.ts";
import { onlyWhenChosen } from "../../translate/chain.ts";
import type { JsonObject } from "../../world.ts";
import { choose, consumersOf } from "./consumers.ts";
import type { Issuer, Model } from "./model.ts";

type Piece = Pick<Branch["piece"], "slots" | "gateway" | "select" | "metadata">;

export interface Recognition {
  readonly piece: Piece;
  /** For slot `authn`. */
  readonly rules: readonly DenyRule[];
}

const nothing: Recognition = { piece: {}, rules: [] };

export function recogniseToken(model: Model, issuers: readonly Issuer[], policy: string): Recognition {
  if (!model.recognises.tokens) return nothing;
  const headers = issuers.flatMap(({ issuer, consumerHeader }) =>
    consumerHeader === undefined ? [] : [[issuer, consumerHeader] as const],
  );
  const { namespace, qualified } = model;
  return {
    piece: {
      slots: { recognise: recogniseIn(namespace, "token", Object.fromEntries(headers), qualified) },
      gateway: [{ slot: "recognise", ...consumersOf(namespace) }],
    },
    rules: refused(policy),
  };
}

export function recogniseCertificate(model: Model, policy: string): Recognition {
  if (!model.recognises.certificates) return nothing;
  const { namespace, qualified, certificateHeader } = model;
  const headers = certificateHeader === undefined ? {} : { certificate: certificateHeader };
  return {
    piece: {
      select: [choose("names")],
      slots: { recognise: recogniseIn(namespace, "certificate", headers, qualified) },
      gateway: [
        { slot: "names", ...consumersOf(namespace) },
        { slot: "recognise", ...consumersOf(namespace) },
      ],
      metadata: { [CONSUMERS_METADATA]: namespace },
    },
    rules: refused(policy),
  };
}

/** The ECDS resources of slots `names` and `recognise`. */
export function recogniseExtension(
  slot: "names" | "recognise",
  entries: ReadonlyMap<string, JsonObject>,
  lookup: Pick<Lookup, "consumers">,
): JsonObject {
  const byNamespace = new Map(
    [...entries.keys()]
      .sort(compareText)
      .map((namespace) => [namespace, inOrder(lookup.consumers(namespace, undefined))]),
  );
  return slot === "recognise" ? recogniseFilter(byNamespace) : onlyWhenChosen("names", namesFilter(byNamespace));
}

function inOrder(consumers: ReturnType<Lookup["consumers"]>): readonly Known[] {
  return consumers
    .filter(({ tokens, identities }) => tokens.length > 0 || identities.length > 0)
    .toSorted((a, b) => Number(b.suspended) - Number(a.suspended) || compareText(a.seniority, b.seniority));
}

/** Part of the name under which a suspended consumer is refused; `translate/local-reply.ts` knows it. */
const SUSPENDED = "/suspended";

function refused(policy: string): readonly DenyRule[] {
  const said = (value: string): JsonObject => ({ header: { name: RECOGNISED_HEADER, string_match: { exact: value } } });
  const neither = { not_id: { or_ids: { ids: [said("yes"), said("suspended")] } } };
  return [
    { policy, principals: [neither] },
    { policy: `${policy}${SUSPENDED}`, principals: [said("suspended")] },
  ];
}
